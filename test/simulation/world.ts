/**
 * Replicas, a network and hosts with a Redis, in virtual time: plays a schedule, watches what followers are told, and
 * looks in the end whether everything is as it should be.
 */
import { Effect, Exit, Fiber, FiberId, Metric } from "effect"
import * as metrics from "../../src/redis/metrics.js"
import { ownerOf } from "../../src/redis/protocol/keys.js"
import type { FakePartition } from "../support/partition.js"
import { SimulatedHost } from "./host.js"
import { type Kind, Network } from "./network.js"
import { type Held, type Life, SimulatedReplica, TIMEOUT, type Told } from "./replica.js"
import { type Deleted, type Line, type Move, type Schedule, TOPICS } from "./schedule.js"
import { Process, VirtualTime } from "./time.js"
import type { Heartbeats } from "./truth.js"

/** How long what happened to a replica excuses that it is seen to leave, in ms: others may hear of it late. */
const EXCUSED = 60_000

/** Up to this many ms a line is late, and its connection not dead: twice one and a half of it are less than the timeout. */
const LATE_ONLY = TIMEOUT / 3 - 20

/** Until everything must have settled: leases end, what is retained is let go, who is deaf is found out, the past is over. */
const CALM = 35_000

/** Followers are this far behind at the most, in ms, while commands pass: topics are compared every 10 s and then read. */
const BEHIND = 16_000

/** How many heartbeats after its lease a replica is found late at the latest, also when the clock of Redis has stepped. */
const FOUND = 2

class World {
  readonly problems: Array<string> = []
  readonly replicas: Array<SimulatedReplica> = []
  private readonly time: VirtualTime
  private readonly network: Network
  private master: SimulatedHost
  private history = 0
  /** What Redis had now and then. */
  private readonly saved: Array<{
    readonly at: number
    readonly restore: ReturnType<FakePartition["save"]>
    readonly heartbeats: Heartbeats
  }> = []
  /** When something last happened to a replica that excuses its leave, by its id. */
  private readonly excused = new Map<string, number>()
  private readonly pausedAt = new Map<Process, number>()
  private allExcused = Number.NEGATIVE_INFINITY
  private redisStepped = Number.NEGATIVE_INFINITY
  /** Connections that ended with their replica, as others saw it, and those of them that came back. */
  private readonly lost = new Set<string>()
  private readonly returned = new Set<string>()
  /** When somebody deleted how replicas live. */
  private numbersLost = Number.NEGATIVE_INFINITY
  private readonly evicted = new Map<string, number>()
  /** Whose connection it is, of those that were ever tracked. */
  private readonly owners = new Map<string, SimulatedReplica>()
  /** When topics came to their versions, of those that Redis has not lost; and the last one at which nobody was there. */
  private readonly reached = new Map<string, { readonly at: Map<number, number>; emptied: number }>()
  /** When last not all that a replica asks was answered by the master. */
  private readonly unservedAt = new Map<SimulatedReplica, number>()
  /** Whether a message may have been lost. */
  private loses = false

  constructor(private readonly schedule: Schedule) {
    this.time = new VirtualTime(schedule.seed)
    this.network = new Network(this.time, () => this.master)
    this.master = this.makeHost()
    this.master.data.history = this.newHistory()
  }

  /** What did not hold. */
  async play(): Promise<ReadonlyArray<string>> {
    const uninstall = this.time.install()
    const lateReads = lateMessages()
    const before = new Set(roots())
    try {
      for (const life of this.schedule.lives) this.start(life)
      this.watch()
      await this.time.run(1_000)
      for (const replica of this.replicas) for (const topic of TOPICS) this.as(replica, () => replica.follow(topic))
      await this.time.run(500)
      for (const move of this.schedule.moves) {
        await this.time.run(move.after)
        this.do(move)
      }
      // What waits for a paused process happens when it goes on.
      const paused = Math.max(...this.running.map(({ process }) => process.pausedUntil))
      await this.time.run(Math.max(0, paused - this.time.now) + 1_000)
      this.heal()
      await this.time.run(10_000)
      for (const replica of this.running) for (const topic of TOPICS) this.as(replica, () => replica.follow(topic))
      await this.time.run(CALM)
      // Some are looked at until what was told is over a minute old.
      if (this.schedule.seed % 8 === 0) await this.time.run(40_000)
      await this.check()
      if (!this.loses && lateMessages() > lateReads) this.problem("a topic was read anew for a message that was late")
    } finally {
      for (const { process } of this.replicas) process.isDead = true
      uninstall()
      forget(before)
    }
    return this.problems
  }

  get events(): number {
    return this.time.events
  }

  // Moves

  private do(move: Move): void {
    this.save()
    switch (move.do) {
      case "track":
        this.on(move.replica, (replica) => replica.track(move.topic, move.key))
        break
      case "evict":
        this.on(move.replica, (replica) => {
          this.evicted.set(`${move.topic} ${move.key}`, this.time.now)
          replica.evict(move.topic, move.key)
        })
        break
      case "update":
        this.on(move.replica, (replica) => {
          const [, held] = heldBy(replica, move.which)
          if (held !== undefined) replica.update(held)
        })
        break
      case "release":
        this.on(move.replica, (replica) => {
          const [connection, held] = heldBy(replica, move.which)
          if (held !== undefined) replica.release(connection, held)
        })
        break
      case "follow":
        this.on(move.replica, (replica) => replica.follow(move.topic))
        break
      case "unfollow":
        this.on(move.replica, (replica) => replica.unfollow(move.topic))
        break
      case "pause":
        this.with(move.replica, ({ process }) => {
          // Timers come before bytes when it goes on, so a connection may count as dead.
          this.loses = true
          if (process.pausedUntil <= this.time.now) this.pausedAt.set(process, this.time.now)
          process.pausedUntil = Math.max(process.pausedUntil, this.time.now + move.ms)
        })
        break
      case "kill":
        this.with(move.replica, ({ process }) => {
          process.isDead = true
          this.network.reset((connection) => connection.process === process)
          this.start(move.next)
        })
        break
      case "stop":
        this.with(move.replica, (replica) => {
          this.as(replica, () => replica.stop())
          this.start(move.next)
        })
        break
      case "step":
        this.with(move.replica, ({ process }) => {
          process.skew += move.ms
        })
        break
      case "lose":
        this.with(move.replica, ({ process }) => this.lose(process, move.line))
        break
      case "cut":
        this.with(move.replica, ({ process }) => this.cut(process, move.line, move.ms))
        break
      case "delay":
        this.with(move.replica, ({ process }) => {
          if (move.by > LATE_ONLY) this.loses = true
          for (const kind of kindsOf(move.line)) {
            const line = this.network.lineOf(process, kind)
            line.lateUntil = this.time.now + move.ms
            line.delay = move.by
          }
        })
        break
      case "deafen":
        this.with(move.replica, ({ process }) => {
          this.loses = true
          for (const connection of this.network.of(process, "subscriber")) connection.isDeaf = true
        })
        break
      case "cutAll":
        for (const { process } of this.running) this.cut(process, "both", move.ms)
        break
      case "refuse":
        this.master.refuses = true
        this.time.at(this.time.now + move.ms, undefined, () => {
          this.master.refuses = false
        })
        this.with(move.replica, ({ process }) => this.lose(process, "subscriber"))
        break
      case "fill":
        this.loses = true
        this.master.isFull = true
        this.time.at(this.time.now + move.ms, undefined, () => {
          this.master.isFull = false
          this.allExcused = this.time.now
        })
        break
      case "stepRedis":
        this.step(this.master, move.ms)
        break
      case "flush":
        this.loses = true
        this.master.data.flush()
        this.master.heartbeats = this.master.heartbeats.followedBy()
        this.reached.clear()
        break
      case "delete":
        this.delete(move.key)
        break
      case "restart": {
        this.loses = true
        const data = move.age === undefined ? undefined : this.oldest(move.age)
        this.network.reset(({ host }) => host === this.master)
        this.load(this.master, data)
        break
      }
      case "failOver":
        this.failOver(move)
        break
    }
  }

  private delete(key: Deleted): void {
    const { data, heartbeats } = this.master
    const [replica = ""] = data.numbers.keys()
    for (const one of key === "lr" ? ["l", "r"] : [key]) data.delete(one === "i" ? `i:${replica}` : one)
    if (key === "l") heartbeats.loseLeases(data.settings.keys())
    // Until all have beaten again nobody knows how long they may be silent.
    if (key === "r" || key === "lr") this.numbersLost = this.time.now
    // Whoever reads them before they are written again tells that they left; nobody knows whose lease was longer than theirs.
    if (key.startsWith("m") || key === "lr") this.allExcused = this.time.now
    // It is another epoch, or what is written into an index again moves the versions of its topics without a message.
    if (key === "v" || key === "i") this.loses = true
    if (key === "v") this.reached.clear()
  }

  private failOver({ age, skew, old }: Extract<Move, { readonly do: "failOver" }>): void {
    this.loses = true
    const before = this.master
    const after = this.makeHost()
    after.skew = before.skew
    this.step(after, skew)
    this.load(after, this.oldest(age))
    this.master = after
    const follow = (): void => {
      before.role = "slave"
      before.data = after.data
      before.heartbeats = after.heartbeats
    }
    if (old === "gone") this.network.reset(({ host }) => host === before)
    else if (old === "follows") follow()
    else this.time.at(this.time.now + this.time.random() * 6_000, undefined, follow)
  }

  /** What was saved at that age, or before. */
  private oldest(age: number): World["saved"][number] | undefined {
    this.save()
    return this.saved.findLast(({ at }) => at <= this.time.now - age) ?? this.saved[0]
  }

  private load(host: SimulatedHost, data: World["saved"][number] | undefined): void {
    host.restart(this.newHistory())
    this.reached.clear()
    data?.restore(host.data, host.data.history)
    host.heartbeats = this.master.heartbeats.followedBy(data?.heartbeats)
  }

  private save(): void {
    const { now } = this.time
    const { data, heartbeats } = this.master
    this.saved.push({ at: now, restore: data.save(), heartbeats: heartbeats.copy() })
    if (this.saved.length > 1 && (this.saved[1]?.at ?? now) < now - 30_000) this.saved.shift()
  }

  private step(host: SimulatedHost, ms: number): void {
    // Two steps within a lease are more than was promised.
    if (ms === 0 || this.time.now - this.redisStepped < 15_000) return
    host.skew += ms
    this.redisStepped = this.time.now
  }

  private lose(process: Process, line: Line): void {
    const kinds = kindsOf(line)
    if (kinds.includes("subscriber")) this.loses = true
    this.network.reset((connection) => connection.process === process && kinds.includes(connection.kind))
  }

  private cut(process: Process, line: Line, ms: number): void {
    const kinds = kindsOf(line)
    if (kinds.includes("subscriber")) this.loses = true
    for (const kind of kinds) this.network.lineOf(process, kind).cutUntil = this.time.now + ms
  }

  /** No more faults. */
  private heal(): void {
    this.network.heal()
    this.master.refuses = false
    this.master.isFull = false
    if (this.running.length === 0) this.start(this.schedule.lives[0] as Life)
  }

  private start(life: Life): void {
    const process = new Process(`r${this.replicas.length}`)
    const replica: SimulatedReplica = new SimulatedReplica(process, life, this.network, {
      problem: (text) => this.problem(text),
      onTracked: (connection) => this.owners.set(connection, replica),
      onLeave: (told, reason) => this.onLeave(told, reason),
      onReturn: (told) => this.onReturn(told)
    })
    this.replicas.push(replica)
    this.time.at(this.time.now, process, () => replica.start())
  }

  private get running(): ReadonlyArray<SimulatedReplica> {
    return this.replicas.filter(({ isRunning }) => isRunning)
  }

  private with(index: number, run: (replica: SimulatedReplica) => void): void {
    const { running } = this
    const replica = running[index % running.length]
    if (replica !== undefined) run(replica)
  }

  private on(index: number, run: (replica: SimulatedReplica) => void): void {
    this.with(index, (replica) => this.as(replica, () => run(replica)))
  }

  /** In a turn of its process, once it is not paused. */
  private as(replica: SimulatedReplica, run: () => void): void {
    this.time.at(this.time.now, replica.process, () => {
      if (replica.isRunning) run()
    })
  }

  private makeHost(): SimulatedHost {
    const host: SimulatedHost = new SimulatedHost({
      now: () => this.time.now,
      random: this.time.random,
      publish: (channel, text) => this.publish(host, channel, text),
      onRefused: (life) => host.heartbeats.hear(life, this.wholeMs),
      onBeat: (call, life, late) => this.onBeat(host, call.replica, call.mode, life, late)
    })
    return host
  }

  /** Looks every second whether followers are behind. */
  private watch(): void {
    const { now } = this.time
    for (const replica of this.running) {
      if (!this.isServed(replica)) this.unservedAt.set(replica, now)
      else if (now - (this.unservedAt.get(replica) ?? 0) > BEHIND) {
        for (const topic of replica.followers.keys()) this.mustHaveHeard(replica, topic)
      }
    }
    this.time.at(now + 1_000, undefined, () => this.watch())
  }

  private isServed({ process }: SimulatedReplica): boolean {
    const { now } = this.time
    const { cutUntil, lateUntil, delay } = this.network.lineOf(process, "commands")
    const slowUntil = delay > LATE_ONLY ? lateUntil : 0
    return (
      Math.max(process.pausedUntil, cutUntil, slowUntil) < now &&
      this.network.of(process, "commands").some(({ host }) => host?.data === this.master.data)
    )
  }

  /** Whether a replica hears what Redis answers, because nothing has stood in its way since long before it asked. */
  private isAnswered(id: string): boolean {
    const [, replica] = [...this.owners].find(([connection]) => ownerOf(connection).replica === id) ?? []
    return replica === undefined || this.time.now - (this.unservedAt.get(replica) ?? 0) > 2 * TIMEOUT
  }

  private mustHaveHeard(replica: SimulatedReplica, topic: string): void {
    const reached = this.reached.get(topic)
    const read = replica.readNow(topic)
    if (reached === undefined || read === undefined) return
    // Where nobody is, it does not matter when that was.
    const version = Math.max(read.version, read.connections.length === 0 ? reached.emptied : 0)
    const missed = [...reached.at].find(([later]) => later > version)
    if (missed === undefined || this.time.now - missed[1] < BEHIND) return
    this.problem(`${replica.process.name} has not heard of version ${missed[0]} of ${topic}, and is at ${read.version}`)
  }

  /** Replicas of a master publish what it does. */
  private publish(host: SimulatedHost, channel: string, text: string): void {
    if (host === this.master) this.onPublished(channel, text)
    this.network.publish(({ data }) => data === host.data, channel, text)
  }

  private onPublished(channel: string, text: string): void {
    const topic = TOPICS.find((topic) => channel.endsWith(`:${topic}`))
    if (topic === undefined || text === "") return
    const message: ReadonlyArray<unknown> = JSON.parse(text)
    const version = Number(message[3])
    this.watchReturns(message.slice(6))
    const reached = this.reached.get(topic) ?? { at: new Map<number, number>(), emptied: 0 }
    this.reached.set(topic, reached)
    reached.at.set(version, this.time.now)
    if (!this.master.data.topics.has(topic)) reached.emptied = version
  }

  /** Of operations by turns: who was ended with their replica, and came back with it. */
  private watchReturns(operations: ReadonlyArray<unknown>): void {
    for (let i = 0; i < operations.length; i += operations[i] === "+" ? 5 : 3) {
      const connection = String(operations[i + 1])
      if (operations[i] === "+" && this.lost.has(connection)) this.returned.add(connection)
      if (operations[i] === "-" && operations[i + 2] === "l") this.lost.add(connection)
    }
  }

  private newHistory(): string {
    return `h${++this.history}`
  }

  // What is promised

  private problem(text: string): void {
    this.problems.push(`${(this.time.now / 1_000).toFixed(1)} s: ${text}`)
  }

  /** As Redis counts: its rules compare differences, and a part of one would be the other side of them. */
  private get wholeMs(): number {
    return Math.floor(this.time.now)
  }

  private onBeat(
    { heartbeats, data }: SimulatedHost,
    id: string,
    mode: string,
    life: Life,
    late: ReadonlyArray<string>
  ): void {
    const now = this.wholeMs
    if (mode === "leave") heartbeats.leave(id, life, !data.leases.has(id), now)
    else heartbeats.beat(id, life, this.isAnswered(id), now)
    const hasStepped = now - this.redisStepped < EXCUSED
    const silent = heartbeats.silent(hasStepped ? 2 : 0)
    const isKnown = now - this.numbersLost > EXCUSED
    for (const other of [...silent, ...heartbeats.owing, ...late]) this.excused.set(other, now)
    for (const other of late) {
      if (isKnown && !silent.has(other)) this.problem(`${other} was found late, and has not been silent for its lease`)
      heartbeats.foundLate(other)
    }
    for (const other of isKnown ? heartbeats.silent(-FOUND) : []) {
      if ((data.leases.get(other) ?? Number.NEGATIVE_INFINITY) === Number.NEGATIVE_INFINITY) continue
      this.problem(`${other} was silent for its lease and ${FOUND} heartbeats, and is not found late`)
    }
  }

  private onLeave(told: Told, reason: string): void {
    const owner = this.owners.get(told.connection)
    const held = owner?.held.get(told.connection)
    if (owner === undefined || held === undefined || owner.process.isDead || owner.state !== "running") return
    if (reason !== "expired" && (held.lease.status !== "present" || this.stoodStill(owner) || this.isExcused(told)))
      return
    this.problem(
      `${told.by.process.name} was told that ${told.key} (${told.connection}) left ${told.topic} (${reason}), who is there`
    )
  }

  private onReturn(told: Told): void {
    const owner = this.owners.get(told.connection)
    if (owner === undefined) return
    const held = owner.held.get(told.connection)
    if (held !== undefined && !owner.process.isDead) return
    // That they were back may be heard after they have left.
    if (this.returned.has(told.connection)) return
    if (this.schedule.moves.some((move) => move.do === "delete" && move.key.startsWith("m"))) return
    // Whose old data are doubted is deleted with it.
    if (this.time.now - this.numbersLost < EXCUSED) return
    this.problem(
      `${told.by.process.name} was told again of ${told.key} (${told.connection}), who has left ${told.topic}`
    )
  }

  /** Whether it stood still for a whole lease a moment ago: others may end it, whatever became of Redis meanwhile. */
  private stoodStill({ process, life }: SimulatedReplica): boolean {
    const { now } = this.time
    const from = this.pausedAt.get(process) ?? Number.POSITIVE_INFINITY
    const until = Math.min(now, process.pausedUntil)
    return until - from >= life.lease && now - process.pausedUntil < EXCUSED
  }

  private isExcused({ connection, topic, key }: Told): boolean {
    const { now } = this.time
    const since = now - EXCUSED
    return (
      (this.excused.get(ownerOf(connection).replica) ?? Number.NEGATIVE_INFINITY) > since ||
      this.allExcused > since ||
      this.master.isFull ||
      (this.evicted.get(`${topic} ${key}`) ?? Number.NEGATIVE_INFINITY) > since
    )
  }

  /** In the end. */
  private async check(): Promise<void> {
    const { running, replicas } = this
    for (const { process, state, failure } of replicas) {
      if (process.isDead || state === "running" || state === "stopped") continue
      // One that starts while Redis is away gives up; until they beat again those whose numbers somebody deleted look old.
      const looksOld = this.schedule.moves.some((move) => move.do === "delete" && /r$/.test(move.key))
      if (state === "failed" && (looksOld || !/version|live by|partitions/.test(failure))) continue
      this.problem(`${process.name} is ${state} ${failure}`)
    }
    for (const topic of TOPICS) {
      const here = running.flatMap(({ held }) => [...held.values()])
      const wanted = here.filter((held) => held.topic === topic && held.lease.status === "present")
      const refs = wanted.map(({ lease }) => lease.ref).sort()
      const stored = [...(this.master.data.topics.get(topic)?.members.keys() ?? [])].length
      if (stored !== refs.length) this.problem(`Redis has ${stored} on ${topic}, and ${refs.length} are there`)
      for (const replica of running) {
        const { name } = replica.process
        const told = replica.followers.get(topic)?.refs
        if (told?.join() !== refs.join()) {
          this.problem(`${name} was told [${told?.join(" ")}] of ${topic}, and there are [${refs.join(" ")}]`)
        }
        this.as(replica, () =>
          replica.read(topic, ({ connections }) => {
            const read = connections.map(({ ref }) => ref).sort()
            if (read.join() !== refs.join()) {
              this.problem(`${name} lists [${read.join(" ")}] on ${topic}, and there are [${refs.join(" ")}]`)
            }
          })
        )
        this.checkPast(replica, topic)
      }
    }
    const ids = [...this.master.data.leases.keys()].length
    if (ids !== running.length) this.problem(`${ids} have a lease, and ${running.length} are there`)
    for (const replica of running) {
      if (replica.health !== "ok") this.problem(`${replica.process.name} says that it is ${replica.health}`)
    }
    await this.time.run(TIMEOUT)
  }

  /** Who was away for longer than a minute gets the state. */
  private checkPast(replica: SimulatedReplica, topic: string): void {
    const follower = replica.followers.get(topic)
    const { began, movedAt } = follower ?? {}
    if (began === undefined || movedAt === undefined || movedAt > this.time.now - 70_000) return
    this.as(replica, () =>
      replica.resume(topic, began, (first) => {
        if (first._tag === "Diff") this.problem(`${replica.process.name} keeps what was told of ${topic} for ever`)
      })
    )
  }
}

const kindsOf = (line: Line): ReadonlyArray<Kind> => (line === "both" ? ["commands", "subscriber"] : [line])

const heldBy = (replica: SimulatedReplica, which: number): readonly [connection: string, held: Held | undefined] => {
  const all = [...replica.held]
  return all[which % all.length] ?? ["", undefined]
}

const roots = (): ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>> => Effect.runSync(Fiber.roots)

/** Fibers of processes that are dead never end: Effect would keep them for ever, with all that they hold. */
const forget = (others: ReadonlySet<unknown>): void => {
  for (const fiber of roots()) {
    if (!others.has(fiber)) (fiber as unknown as Ending).setExitValue(Exit.interrupt(FiberId.none))
  }
}

/** What a fiber does of itself when it has run to its end. */
interface Ending {
  readonly setExitValue: (exit: Exit.Exit<never>) => void
}

/** How often a topic was read anew because a message did not come, in this process. */
const lateMessages = (): number => Effect.runSync(Metric.value(metrics.resyncsBy("late message"))).count

export const play = (schedule: Schedule): Promise<ReadonlyArray<string>> => new World(schedule).play()
