/**
 * A replica at work in one partition: sends what its decisions say, and tells them what became of it.
 *
 * Own connections are written in the turn in which they changed, or at once when a call is full; at most 16 calls are
 * on their way, so that a heartbeat never queues behind more than that. What fails is said again when the connection
 * is back, or after a pause that grows. Nobody's beat waits for another's answer.
 */
import type { Value } from "../../internal/input/json.js"
import type { LeaveReason } from "../../PresenceChange.js"
import type { Port } from "../client/port.js"
import { isAnswer, NotTaken } from "../client/reasons.js"
import { backoff, pause } from "../client/waiting.js"
import * as calls from "../protocol/calls.js"
import type { Keys } from "../protocol/keys.js"
import { placesOf } from "../protocol/pages.js"
import type { ApplyCall, BeatCall, Settings, StoredMember } from "../protocol/values.js"
import { AnsweredTime } from "./answeredTime.js"
import { ReplicaLease, type Todo } from "./lease.js"
import { Others } from "./others.js"
import { BATCH, type Cell, type Outbox } from "./outbox.js"

/** What a failed write is called. */
export const WRITING = "writing"

/** Calls on their way at the most. */
const WINDOW = 16

export interface PartitionOptions {
  readonly port: Port
  readonly keys: Keys
  readonly settings: Settings
  readonly replica: string
}

/** What a partition tells. None may wait. */
export interface PartitionEvents<O> {
  /** Connections that somebody else evicted. */
  readonly onEvicted: (cells: ReadonlyArray<Cell<O>>) => void
  /** Redis has new versions of topics by our own doing. */
  readonly onWritten: (epoch: string, versions: ReadonlyMap<string, number>) => void
  readonly onEpochChanged: () => void
  /** Others live by what this replica cannot live by: what they say. */
  readonly onRefused: (theirs: string) => void
  readonly onHealthChanged: () => void
  /** A heartbeat was answered, and the lease is kept. */
  readonly onBeaten: () => void
  /** A connection of a lost replica was ended by this one. */
  readonly onLost: (topic: string, member: StoredMember) => void
  readonly onReaped: (replica: string, connections: number) => void
  /** A key that no replica wrote so, and what is wrong with it. */
  readonly onForeign: (key: string, what: string) => void
  readonly onFailure: (what: string, cause: unknown) => void
}

export class Partition<O> {
  /** Whether the last heartbeat was answered; `undefined` before any could be. */
  isHealthy: boolean | undefined
  /** How often to beat, in ms: as often as the replica of this partition with the shortest heartbeat. */
  heartbeat: number
  /** The longest lease of this partition's replicas, in ms; also of those that a Redis which lost data has yet to learn of. */
  longestLease: number
  /** Since when Redis knows of shorter leases only. */
  private shorterSince: number | undefined
  private readonly answeredTime = new AnsweredTime()
  private inUse = false
  private stopped = false
  private flushing: NodeJS.Immediate | undefined
  private retry: NodeJS.Timeout | undefined
  private failures = 0
  private nudged = false
  private recovering = false
  private recoverAgain = false
  private readonly replica: ReplicaLease<O>
  private readonly others: Others

  constructor(
    private readonly options: PartitionOptions,
    private readonly events: PartitionEvents<O>
  ) {
    const { port, keys } = options
    this.replica = new ReplicaLease(options.replica)
    this.others = new Others({
      ...events,
      port,
      keys,
      replica: options.replica,
      about: (mode, replica, operations) => this.replica.about(mode, replica, operations)
    })
    this.heartbeat = options.settings.heartbeat
    this.longestLease = options.settings.lease
  }

  get keys(): Keys {
    return this.options.keys
  }

  /** Milliseconds that pass while heartbeats are answered here. */
  get now(): number {
    return this.answeredTime.now(this.heartbeat)
  }

  get isUsed(): boolean {
    return this.inUse
  }

  get isClaimed(): boolean {
    return this.replica.isIn
  }

  get outbox(): Outbox<O> {
    return this.replica.outbox
  }

  /** From now on it keeps a lease here, and with it sees who is late. */
  use(): void {
    if (this.inUse) return
    this.inUse = true
    this.beat()
  }

  // Own connections

  join(topic: string, key: string, seq: number, meta: Value, owner: O): Cell<O> {
    this.use()
    const cell = this.outbox.join(topic, key, seq, meta, owner)
    this.flushSoon()
    return cell
  }

  update(cell: Cell<O>, revision: number, meta: Value): void {
    this.outbox.update(cell, revision, meta)
    this.flushSoon()
  }

  leave(cell: Cell<O>, reason: LeaveReason): void {
    this.outbox.leave(cell, reason)
    this.flushSoon()
  }

  /** Why Redis last did not take what is wanted, until it takes some of it. */
  refusedWith: unknown

  /** Sends what is to be said, as far as may be on its way at once. */
  flush(only?: "leaves"): void {
    clearImmediate(this.flushing)
    this.flushing = undefined
    if (this.stopped || !this.options.port.isReady()) return
    while (this.outbox.flying < WINDOW) {
      const call = this.replica.write(only)
      if (call === undefined) return
      this.write(call)
    }
  }

  // The lease

  /** Beats, or claims. Run it every heartbeat, and whenever there is news of the connection. */
  beat(): void {
    if (!this.inUse || this.stopped) return
    this.sendBeat(this.replica.beat())
  }

  /** The connection is there again. */
  onReady(): void {
    clearTimeout(this.retry)
    this.failures = 0
    this.outbox.retry()
    this.beat()
    this.flush()
  }

  /** A connection was lost; of a cluster there may be others, and a beat tells. */
  onDown(): void {
    if (!this.inUse) return
    if (this.options.port.isReady()) this.beat()
    else this.setHealthy(false)
  }

  /** Somebody evicted something of ours, or beats more often. However often, one beat finds it all. */
  nudge(): void {
    if (this.nudged) return
    this.nudged = true
    setImmediate(() => {
      this.nudged = false
      this.beat()
    })
  }

  /** No beat and no write from here on. */
  stop(): void {
    this.stopped = true
    this.others.stop()
    clearImmediate(this.flushing)
    clearTimeout(this.retry)
  }

  /** Gives the lease back. */
  async giveBack(): Promise<void> {
    if (!this.inUse) return
    const { port, keys, settings } = this.options
    await calls.beat(port, keys, settings, this.replica.leave())
  }

  // Others' connections

  /** Ends the connections of a key that others own, and counts them. */
  evict(topic: string, key: string): Promise<number> {
    this.use()
    return this.others.evict(topic, key)
  }

  // Machinery

  private flushSoon(): void {
    if (this.outbox.dirty >= BATCH) this.flush()
    else this.flushing ??= setImmediate(() => this.flush())
  }

  private write(call: ApplyCall): void {
    const { port, keys } = this.options
    calls.apply(port, keys, call).then(
      (answer) => {
        const todo = this.replica.written(call, answer)
        if (answer.status === "OK") {
          this.events.onWritten(answer.epoch, answer.versions)
          if (call.operations.some(({ type }) => type === "put")) this.refusedWith = undefined
          if (answer.prevented.length === 0) this.failures = 0
          else this.onPrevented(call, answer.prevented)
        }
        this.do(todo)
      },
      (cause) => {
        this.replica.written(call, undefined)
        if (isAnswer(cause)) this.refusedWith = cause
        this.events.onFailure(WRITING, cause)
        this.flushLater()
        // A Redis that is full takes no join and no update, nor what is in one call with them.
        if (cause instanceof Error && cause.message.startsWith("OOM")) this.flush("leaves")
      }
    )
  }

  /** Somebody else has written the keys of these topics: others' writes go on, and these are tried again. */
  private onPrevented({ operations }: ApplyCall, prevented: ReadonlyArray<number>): void {
    const { keys } = this.options
    const topics = new Set(prevented.map((index) => operations[index]?.topic ?? ""))
    for (const topic of topics) {
      const found = `${keys.members(topic)} or ${keys.keys(topic)}`
      this.refusedWith = new NotTaken(`${found} is no hash, as it should be`)
      this.events.onForeign(found, "is no hash, as it should be")
    }
    this.flushLater()
  }

  private flushLater(): void {
    clearTimeout(this.retry)
    if (this.stopped) return
    this.retry = setTimeout(
      () => {
        this.outbox.retry()
        this.flush()
      },
      backoff(100, this.failures++)
    )
  }

  private sendBeat(call: BeatCall): void {
    const { port, keys, settings } = this.options
    calls.beat(port, keys, settings, call).then(
      (answer) => {
        if (this.stopped) return
        this.answeredTime.answered(this.heartbeat)
        const todo = this.replica.beatAnswered(call, answer)
        if (answer.status === "OK") {
          this.heartbeat = answer.heartbeat
          this.hearOf(answer.lease)
          this.setHealthy(true)
          this.events.onBeaten()
        }
        this.do(todo)
      },
      (cause) => {
        this.replica.beatAnswered(call, undefined)
        this.events.onFailure("the heartbeat", cause)
        this.setHealthy(false)
        if (calls.isForeign(cause)) this.findForeign().catch((cause) => this.events.onFailure("looking at keys", cause))
      }
    )
  }

  /** Redis does not say which key it is. */
  private async findForeign(): Promise<void> {
    const { port, keys, replica } = this.options
    const types = [
      [keys.leases, "zset"],
      [keys.versions, "hash"],
      [keys.index(replica), "hash"],
      [keys.evicted(replica), "hash"],
      [keys.shared, "string"],
      [keys.replicas, "hash"]
    ] as const
    for (const [key, type] of types) {
      const found = await port.command("TYPE", [key])
      if (found !== type && found !== "none") this.events.onForeign(key, `is a ${found}, where a ${type} should be`)
    }
  }

  private do(todo: Todo): void {
    const evicted = this.outbox.evicted.splice(0)
    if (evicted.length > 0) this.events.onEvicted(evicted)
    if (todo.refused !== undefined) {
      this.events.onRefused(todo.refused)
      this.setHealthy(false)
    }
    if (todo.beat) this.beat()
    if (todo.recover) this.recover()
    if (todo.epochChanged) this.events.onEpochChanged()
    for (const late of todo.late) this.others.reap(late)
    this.flush()
  }

  /** Who has a longer one may have been lost with Redis's data, and claim again within it. */
  private hearOf(lease: number): void {
    if (lease < this.longestLease) {
      this.shorterSince ??= this.now
      if (this.now - this.shorterSince < this.longestLease) return
    }
    this.longestLease = lease
    this.shorterSince = undefined
  }

  private setHealthy(isHealthy: boolean): void {
    if (this.isHealthy === isHealthy) return
    this.isHealthy = isHealthy
    this.events.onHealthChanged()
  }

  /** Finds what Redis has of this replica that it does not hold. What it holds is being written meanwhile. */
  private recover(): void {
    this.recoverAgain = true
    if (this.recovering) return
    this.recovering = true
    const run = async (): Promise<void> => {
      const { port, keys, replica } = this.options
      while (this.recoverAgain && !this.stopped) {
        this.recoverAgain = false
        try {
          for await (const page of placesOf(port, keys, replica)) {
            this.outbox.disown(page)
            this.flush()
          }
        } catch (cause) {
          this.events.onFailure("recovering", cause)
          this.recoverAgain = true
          await pause(1_000)
        }
      }
      this.recovering = false
      if (!this.stopped) this.do(this.replica.recovered())
    }
    void run()
  }
}
