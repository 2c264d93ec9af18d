/**
 * Replicas, a network and hosts with a Redis, in virtual time: plays a schedule, under the eyes of who knows what is promised.
 */
import { Effect, Exit, Fiber, FiberId, Metric } from "effect"
import * as metrics from "../../src/redis/metrics.js"
import type { FakePartition } from "../support/partition.js"
import { SimulatedHost } from "./host.js"
import { type Kind, Network } from "./network.js"
import { LATE_ONLY, Promises } from "./promises.js"
import { type Held, type Life, SimulatedReplica } from "./replica.js"
import { type Deleted, type Line, type Move, type Schedule, TOPICS } from "./schedule.js"
import { Process, VirtualTime } from "./time.js"
import type { Heartbeats } from "./truth.js"

/** Until everything must have settled: leases end, what is retained is let go, who is deaf is found out, the past is over. */
const CALM = 35_000

class World {
  readonly replicas: Array<SimulatedReplica> = []
  private readonly time: VirtualTime
  private readonly network: Network
  private readonly promises: Promises
  private master: SimulatedHost
  private history = 0
  /** What Redis had now and then. */
  private readonly saved: Array<{
    readonly at: number
    readonly restore: ReturnType<FakePartition["save"]>
    readonly heartbeats: Heartbeats
  }> = []
  /** Whether a message may have been lost. */
  private loses = false

  constructor(private readonly schedule: Schedule) {
    this.time = new VirtualTime(schedule.seed)
    this.network = new Network(this.time, () => this.master)
    this.promises = new Promises({
      schedule,
      time: this.time,
      network: this.network,
      replicas: this.replicas,
      running: () => this.running,
      master: () => this.master,
      as: (replica, run) => this.as(replica, run)
    })
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
      this.promises.watch()
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
      await this.promises.check()
      if (!this.loses && lateMessages() > lateReads)
        this.promises.problem("a topic was read anew for a message that was late")
    } finally {
      for (const { process } of this.replicas) process.isDead = true
      uninstall()
      forget(before)
    }
    return this.promises.problems
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
          this.promises.onEvict(move.topic, move.key)
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
          this.promises.onPause(process)
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
          this.promises.onEmptied()
        })
        break
      case "stepRedis":
        this.step(this.master, move.ms)
        break
      case "flush":
        this.loses = true
        this.master.data.flush()
        this.master.heartbeats = this.master.heartbeats.followedBy()
        this.promises.onOtherData()
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
    // It is another epoch, or what is written into an index again moves the versions of its topics without a message.
    if (key === "v" || key === "i") this.loses = true
    this.promises.onDelete(key)
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
    this.promises.onOtherData()
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
    if (ms !== 0 && this.promises.mayStep()) host.skew += ms
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
    const { promises } = this
    const replica: SimulatedReplica = new SimulatedReplica(process, life, this.network, {
      problem: (text) => promises.problem(text),
      onTracked: (connection) => promises.onTracked(connection, replica),
      onLeave: (told, reason) => promises.onLeave(told, reason),
      onReturn: (told) => promises.onReturn(told)
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
      onRefused: (life) => host.heartbeats.hear(life, this.promises.wholeMs),
      onBeat: (call, life, late) => this.promises.onBeat(host, call.replica, call.mode, life, late)
    })
    return host
  }

  /** Replicas of a master publish what it does. */
  private publish(host: SimulatedHost, channel: string, text: string): void {
    if (host === this.master) this.promises.onPublished(channel, text)
    this.network.publish(({ data }) => data === host.data, channel, text)
  }

  private newHistory(): string {
    return `h${++this.history}`
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
