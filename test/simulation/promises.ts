/**
 * What is promised, watched all along and looked at in the end: nobody is told to leave who is there, or to be back who has
 * left; who is silent is found late, and nobody else; followers are not behind; at last everybody agrees.
 */

import { ownerOf } from "../../src/redis/protocol/keys.js"
import type { SimulatedHost } from "./host.js"
import type { Network } from "./network.js"
import { type Life, type SimulatedReplica, TIMEOUT, type Told } from "./replica.js"
import { type Deleted, type Schedule, TOPICS } from "./schedule.js"
import type { Process, VirtualTime } from "./time.js"

/** How long what happened to a replica excuses that it is seen to leave, in ms: others may hear of it late. */
const EXCUSED = 60_000

/** Up to this many ms a line is late, and its connection not dead: twice one and a half of it are less than the timeout. */
export const LATE_ONLY = TIMEOUT / 3 - 20

/** Followers are this far behind at the most, in ms, while commands pass: topics are compared every 10 s and then read. */
const BEHIND = 16_000

/** How many heartbeats after its lease a replica is found late at the latest, also when the clock of Redis has stepped. */
const FOUND = 2

export interface Watched {
  readonly schedule: Schedule
  readonly time: VirtualTime
  readonly network: Network
  readonly replicas: ReadonlyArray<SimulatedReplica>
  readonly running: () => ReadonlyArray<SimulatedReplica>
  readonly master: () => SimulatedHost
  /** In a turn of a replica's process. */
  readonly as: (replica: SimulatedReplica, run: () => void) => void
}

export class Promises {
  readonly problems: Array<string> = []
  /** When something last happened to a replica that excuses its leave, by its id. */
  private readonly excused = new Map<string, number>()
  private allExcused = Number.NEGATIVE_INFINITY
  private redisStepped = Number.NEGATIVE_INFINITY
  private readonly pausedAt = new Map<Process, number>()
  private readonly evicted = new Map<string, number>()
  /** When somebody deleted how replicas live. */
  private numbersLost = Number.NEGATIVE_INFINITY
  /** Whose connection it is, of those that were ever tracked. */
  private readonly owners = new Map<string, SimulatedReplica>()
  /** Connections that ended with their replica, as others saw it, and those of them that came back. */
  private readonly lost = new Set<string>()
  private readonly returned = new Set<string>()
  /** When topics came to their versions, of those that Redis has not lost; and the last one at which nobody was there. */
  private readonly reached = new Map<string, { readonly at: Map<number, number>; emptied: number }>()
  /** When last not all that a replica asks was answered by the master. */
  private readonly unservedAt = new Map<SimulatedReplica, number>()

  constructor(private readonly watched: Watched) {}

  problem(text: string): void {
    this.problems.push(`${(this.now / 1_000).toFixed(1)} s: ${text}`)
  }

  // What happened

  onTracked(connection: string, replica: SimulatedReplica): void {
    this.owners.set(connection, replica)
  }

  onEvict(topic: string, key: string): void {
    this.evicted.set(`${topic} ${key}`, this.now)
  }

  /** It stands still from now on. */
  onPause(process: Process): void {
    if (process.pausedUntil <= this.now) this.pausedAt.set(process, this.now)
  }

  /** Redis takes writes again. */
  onEmptied(): void {
    this.allExcused = this.now
  }

  /** Whether the clock of Redis may step, as two steps within a lease are more than was promised. */
  mayStep(): boolean {
    if (this.now - this.redisStepped < 15_000) return false
    this.redisStepped = this.now
    return true
  }

  /** Redis has other data, so versions begin anew. */
  onOtherData(): void {
    this.reached.clear()
  }

  onDelete(key: Deleted): void {
    // Until all have beaten again nobody knows how long they may be silent.
    if (key === "r" || key === "lr") this.numbersLost = this.now
    // Whoever reads them before they are written again tells that they left; nobody knows whose lease was longer than theirs.
    if (key.startsWith("m") || key === "lr") this.allExcused = this.now
    if (key === "v") this.reached.clear()
  }

  /** Looks every second whether followers are behind. */
  watch(): void {
    const { now } = this
    for (const replica of this.watched.running()) {
      if (!this.isServed(replica)) this.unservedAt.set(replica, now)
      else if (now - (this.unservedAt.get(replica) ?? 0) > BEHIND) {
        for (const topic of replica.followers.keys()) this.mustHaveHeard(replica, topic)
      }
    }
    this.watched.time.at(now + 1_000, undefined, () => this.watch())
  }

  private isServed({ process }: SimulatedReplica): boolean {
    const { now } = this
    const { cutUntil, lateUntil, delay } = this.watched.network.lineOf(process, "commands")
    const slowUntil = delay > LATE_ONLY ? lateUntil : 0
    return (
      Math.max(process.pausedUntil, cutUntil, slowUntil) < now &&
      this.watched.network.of(process, "commands").some(({ host }) => host?.data === this.watched.master().data)
    )
  }

  /** Whether a replica hears what Redis answers, because nothing has stood in its way since long before it asked. */
  private isAnswered(id: string): boolean {
    const [, replica] = [...this.owners].find(([connection]) => ownerOf(connection).replica === id) ?? []
    return replica === undefined || this.now - (this.unservedAt.get(replica) ?? 0) > 2 * TIMEOUT
  }

  private mustHaveHeard(replica: SimulatedReplica, topic: string): void {
    const reached = this.reached.get(topic)
    const read = replica.readNow(topic)
    if (reached === undefined || read === undefined) return
    // Where nobody is, it does not matter when that was.
    const version = Math.max(read.version, read.connections.length === 0 ? reached.emptied : 0)
    const missed = [...reached.at].find(([later]) => later > version)
    if (missed === undefined || this.now - missed[1] < BEHIND) return
    this.problem(`${replica.process.name} has not heard of version ${missed[0]} of ${topic}, and is at ${read.version}`)
  }

  /** The master has published. */
  onPublished(channel: string, text: string): void {
    const topic = TOPICS.find((topic) => channel.endsWith(`:${topic}`))
    if (topic === undefined || text === "") return
    const message: ReadonlyArray<unknown> = JSON.parse(text)
    const version = Number(message[3])
    this.watchReturns(message.slice(6))
    const reached = this.reached.get(topic) ?? { at: new Map<number, number>(), emptied: 0 }
    this.reached.set(topic, reached)
    reached.at.set(version, this.now)
    if (!this.watched.master().data.topics.has(topic)) reached.emptied = version
  }

  /** Of operations by turns: who was ended with their replica, and came back with it. */
  private watchReturns(operations: ReadonlyArray<unknown>): void {
    for (let i = 0; i < operations.length; i += operations[i] === "+" ? 5 : 3) {
      const connection = String(operations[i + 1])
      if (operations[i] === "+" && this.lost.has(connection)) this.returned.add(connection)
      if (operations[i] === "-" && operations[i + 2] === "l") this.lost.add(connection)
    }
  }

  /** As Redis counts: its rules compare differences, and a part of one would be the other side of them. */
  get wholeMs(): number {
    return Math.floor(this.now)
  }

  onBeat({ heartbeats, data }: SimulatedHost, id: string, mode: string, life: Life, late: ReadonlyArray<string>): void {
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

  onLeave(told: Told, reason: string): void {
    const owner = this.owners.get(told.connection)
    const held = owner?.held.get(told.connection)
    if (owner === undefined || held === undefined || owner.process.isDead || owner.state !== "running") return
    if (reason !== "expired" && (held.lease.status !== "present" || this.stoodStill(owner) || this.isExcused(told)))
      return
    this.problem(
      `${told.by.process.name} was told that ${told.key} (${told.connection}) left ${told.topic} (${reason}), who is there`
    )
  }

  onReturn(told: Told): void {
    const owner = this.owners.get(told.connection)
    if (owner === undefined) return
    const held = owner.held.get(told.connection)
    if (held !== undefined && !owner.process.isDead) return
    // That they were back may be heard after they have left.
    if (this.returned.has(told.connection)) return
    if (this.watched.schedule.moves.some((move) => move.do === "delete" && move.key.startsWith("m"))) return
    // Whose old data are doubted is deleted with it.
    if (this.now - this.numbersLost < EXCUSED) return
    this.problem(
      `${told.by.process.name} was told again of ${told.key} (${told.connection}), who has left ${told.topic}`
    )
  }

  /** Whether it stood still for a whole lease a moment ago: others may end it, whatever became of Redis meanwhile. */
  private stoodStill({ process, life }: SimulatedReplica): boolean {
    const { now } = this
    const from = this.pausedAt.get(process) ?? Number.POSITIVE_INFINITY
    const until = Math.min(now, process.pausedUntil)
    return until - from >= life.lease && now - process.pausedUntil < EXCUSED
  }

  private isExcused({ connection, topic, key }: Told): boolean {
    const { now } = this
    const since = now - EXCUSED
    return (
      (this.excused.get(ownerOf(connection).replica) ?? Number.NEGATIVE_INFINITY) > since ||
      this.allExcused > since ||
      this.watched.master().isFull ||
      (this.evicted.get(`${topic} ${key}`) ?? Number.NEGATIVE_INFINITY) > since
    )
  }

  /** In the end. */
  async check(): Promise<void> {
    const { master, replicas } = this.watched
    const running = this.watched.running()
    for (const { process, state, failure } of replicas) {
      if (process.isDead || state === "running" || state === "stopped") continue
      // One that starts while Redis is away gives up; until they beat again those whose numbers somebody deleted look old.
      const looksOld = this.watched.schedule.moves.some((move) => move.do === "delete" && /r$/.test(move.key))
      if (state === "failed" && (looksOld || !/version|live by|partitions/.test(failure))) continue
      this.problem(`${process.name} is ${state} ${failure}`)
    }
    for (const topic of TOPICS) {
      const here = running.flatMap(({ held }) => [...held.values()])
      const wanted = here.filter((held) => held.topic === topic && held.lease.status === "present")
      const refs = wanted.map(({ lease }) => lease.ref).sort()
      const stored = [...(master().data.topics.get(topic)?.members.keys() ?? [])].length
      if (stored !== refs.length) this.problem(`Redis has ${stored} on ${topic}, and ${refs.length} are there`)
      for (const replica of running) {
        const { name } = replica.process
        const told = replica.followers.get(topic)?.refs
        if (told?.join() !== refs.join()) {
          this.problem(`${name} was told [${told?.join(" ")}] of ${topic}, and there are [${refs.join(" ")}]`)
        }
        this.watched.as(replica, () =>
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
    const ids = [...master().data.leases.keys()].length
    if (ids !== running.length) this.problem(`${ids} have a lease, and ${running.length} are there`)
    for (const replica of running) {
      if (replica.health !== "ok") this.problem(`${replica.process.name} says that it is ${replica.health}`)
    }
    await this.watched.time.run(TIMEOUT)
  }

  /** Who was away for longer than a minute gets the state. */
  private checkPast(replica: SimulatedReplica, topic: string): void {
    const follower = replica.followers.get(topic)
    const { began, movedAt } = follower ?? {}
    if (began === undefined || movedAt === undefined || movedAt > this.now - 70_000) return
    this.watched.as(replica, () =>
      replica.resume(topic, began, (first) => {
        if (first._tag === "Diff") this.problem(`${replica.process.name} keeps what was told of ${topic} for ever`)
      })
    )
  }

  private get now(): number {
    return this.watched.time.now
  }
}
