/**
 * The rules of presence, as a plain synchronous data structure.
 *
 * Time is an argument, in nanoseconds of any clock that never goes back. Every effective change is told once, at once
 * and in order, to `onChange`. Nothing here waits, fails half-way or knows of Effect.
 *
 * A connection is `present` until its ttl is swept (`expired`: it may come back), until it is evicted or released (for
 * good), or `lingering` after its scope closed, still listed, until its leave delay is over or its key is tracked again.
 */

import { equal, type Value, weigh } from "../input/json.js"
import { Deadlines, type Slotted } from "./deadlines.js"
import { KeyIndex } from "./keyIndex.js"
import { Roster, type RosterEntry, type RosterMember } from "./roster.js"

export type Status = "present" | "lingering" | "expired" | "evicted" | "released"

export type Reason = "released" | "expired" | "evicted"

/** What connections have in common. One object serves all that are tracked with the same options. */
export interface Terms {
  /** The process that owns the connection: the first part of its refs. */
  readonly replica: string
  /** Nanoseconds without a refresh. Infinity: for ever. */
  readonly ttl: number
  /** Nanoseconds that it stays after its scope has closed. */
  readonly leaveDelay: number
}

export interface CountLimits {
  readonly connectionsPerKey: number
  readonly keysPerTopic: number
  /** Bytes. */
  readonly metaTotal: number
}

/** One tracked presence of a key. Leases are its subclass, so that a lease needs no lookup and no second object. */
export class TrackedConnection implements RosterMember, Slotted {
  slot = -1
  seq = 0
  /** The seq it joined with: the smaller, the older. An update changes `seq` and keeps this. */
  joined = 0
  status: Status = "released"
  /** Whether its ttl was ever started anew by who holds it. */
  refreshed = false

  constructor(
    readonly topic: string,
    readonly key: string,
    public meta: Value,
    readonly terms: Terms
  ) {}

  get ref(): string {
    return refOf(this.terms.replica, this.joined, this.seq)
  }
}

const refOf = (replica: string, joined: number, seq: number): string =>
  `${replica}.${joined.toString(36)}.${seq.toString(36)}`

/** One changed connection, as it was at that moment: a join, a leave or an update, which it is made by. */
export class Change<C extends TrackedConnection> {
  readonly meta: Value
  /** The smaller, the longer the connection is there. */
  readonly age: number
  private readonly seq: number
  /** The topic's version after it. */
  readonly version: number
  /** Of an update: what it replaced. */
  previousMeta: Value = null
  private previousSeq = 0
  /** Of a leave: why. */
  reason: Reason = "released"
  /** Whether the key has no other connection: of a leave, that the key is gone with it. */
  last = false

  private constructor(
    readonly type: "join" | "leave" | "update",
    readonly roster: Roster<C>,
    readonly connection: C
  ) {
    this.meta = connection.meta
    this.age = connection.joined
    this.seq = connection.seq
    this.version = roster.version
  }

  static join<C extends TrackedConnection>(roster: Roster<C>, connection: C): Change<C> {
    return new Change("join", roster, connection)
  }

  static leave<C extends TrackedConnection>(
    roster: Roster<C>,
    connection: C,
    reason: Reason,
    last: boolean
  ): Change<C> {
    const change = new Change("leave", roster, connection)
    change.reason = reason
    change.last = last
    return change
  }

  static update<C extends TrackedConnection>(
    roster: Roster<C>,
    connection: C,
    previousMeta: Value,
    previousSeq: number
  ): Change<C> {
    const change = new Change("update", roster, connection)
    change.previousMeta = previousMeta
    change.previousSeq = previousSeq
    change.last = roster.size(connection.key) === 1
    return change
  }

  get topic(): string {
    return this.roster.topic
  }

  get key(): string {
    return this.connection.key
  }

  get ref(): string {
    return refOf(this.connection.terms.replica, this.age, this.seq)
  }

  get previousRef(): string {
    return refOf(this.connection.terms.replica, this.age, this.previousSeq)
  }
}

/** What is at its limit. */
export interface Full {
  readonly limit: keyof CountLimits
  readonly max: number
  /** What it would be. */
  readonly actual: number
}

/** One more than there may be. */
const over = (limit: keyof CountLimits, max: number): Full => ({ limit, max, actual: max + 1 })

const NOBODY: ReadonlyArray<never> = Object.freeze([])

export class Registry<C extends TrackedConnection> {
  /** Connections and topics that have one. */
  connections = 0
  topics = 0
  /** What the metas of all connections take of the heap, in bytes, nearly. */
  private metas = 0
  private closed = false
  private seq = 0
  private lives = 0
  private readonly rosters = new Map<string, Roster<C>>()
  private readonly expiring = new Deadlines<C>()
  private readonly lingering = new Deadlines<C>()
  private readonly keyIndex: KeyIndex<C> | undefined

  constructor(
    private readonly replica: string,
    private readonly limits: CountLimits,
    private readonly onChange: (change: Change<C>) => void,
    options?: { readonly keyIndex?: boolean }
  ) {
    this.keyIndex = options?.keyIndex === true ? new KeyIndex() : undefined
  }

  // Reading

  list(topic: string): ReadonlyArray<RosterEntry> {
    const roster = this.rosters.get(topic)
    return roster === undefined || roster.connections === 0 ? NOBODY : roster.list()
  }

  get(topic: string, key: string): RosterEntry | undefined {
    return this.rosters.get(topic)?.entry(key)
  }

  count(topic: string): { readonly keys: number; readonly connections: number } {
    const roster = this.rosters.get(topic)
    return { keys: roster?.keys ?? 0, connections: roster?.connections ?? 0 }
  }

  topicNames(): ReadonlyArray<string> {
    const names: Array<string> = []
    for (const roster of this.rosters.values()) if (roster.connections > 0) names.push(roster.topic)
    return names
  }

  /** The topics on which a key is: without a key index a look at each topic there is. */
  topicsOf(key: string): ReadonlyArray<string> {
    if (this.keyIndex !== undefined) return Array.from(this.keyIndex.of(key), ({ topic }) => topic)
    const names: Array<string> = []
    for (const roster of this.rosters.values()) if (roster.size(key) > 0) names.push(roster.topic)
    return names
  }

  /** The connections and where they stand. A topic without a life stands at version 0 of epoch 0. */
  snapshot(topic: string): {
    readonly epoch: string
    readonly version: number
    readonly connections: ReadonlyArray<RosterMember>
  } {
    const roster = this.rosters.get(topic)
    if (roster === undefined) return { epoch: this.epoch(0), version: 0, connections: NOBODY }
    return { epoch: roster.epoch, version: roster.version, connections: roster.snapshot() }
  }

  // Changing

  /** Adds a connection, or says which limit forbids it. */
  track(connection: C, now: number): Full | undefined {
    if (this.closed) return undefined
    const weight = weigh(connection.meta)
    const full = this.full(connection.topic, connection.key) ?? this.tooHeavy(weight)
    if (full === undefined) this.join(connection, weight, now)
    return full
  }

  /** Starts the ttl anew; an expired connection joins again. */
  refresh(connection: C, now: number): "renewed" | "rejoined" | "evicted" | "released" {
    if (connection.status === "present") {
      connection.refreshed = true
      if (connection.slot !== -1) this.expiring.set(connection, now + connection.terms.ttl)
      return "renewed"
    }
    return this.rejoin(connection, now)
  }

  /** Replaces the meta, or says which limit forbids it; an expired connection joins again with it. */
  update(connection: C, meta: Value, now: number): "updated" | "rejoined" | "evicted" | "released" | Full {
    const { status, meta: previousMeta } = connection
    if (status !== "present" && status !== "expired") return this.rejoin(connection, now)
    if (status === "present" && equal(previousMeta, meta)) return "updated"
    const more = weigh(meta) - (status === "present" ? weigh(previousMeta) : 0)
    // What becomes smaller may always.
    const full = more > 0 ? this.tooHeavy(more) : undefined
    if (full !== undefined) return full
    connection.meta = meta
    if (status === "expired") return this.rejoin(connection, now)
    this.metas += more
    const previousSeq = connection.seq
    const roster = this.rosters.get(connection.topic) as Roster<C>
    connection.seq = ++this.seq
    roster.touch(connection.key)
    this.onChange(Change.update(roster, connection, previousMeta, previousSeq))
    return "updated"
  }

  /** Ends it for good. Again: nothing. */
  release(connection: C): void {
    if (connection.status === "expired") connection.status = "released"
    else this.leave(connection, "released")
  }

  /** Its scope has closed: it stays for its leave delay, and is no lease any more. */
  linger(connection: C, now: number): void {
    if (connection.status !== "present") return
    this.expiring.delete(connection)
    connection.status = "lingering"
    this.lingering.set(connection, now + connection.terms.leaveDelay)
  }

  /** Ends every connection of a key and counts them. */
  evict(topic: string, key: string): number {
    const connections = Array.from(this.rosters.get(topic)?.of(key) ?? NOBODY)
    for (const connection of connections) this.leave(connection, "evicted")
    return connections.length
  }

  /** Ends up to `max` connections whose ttl is over and counts them. */
  expire(now: number, max: number): number {
    const due = this.expiring.takeDue(now, max)
    for (const connection of due) this.leave(connection, "expired")
    return due.length
  }

  /** Ends up to `max` connections whose leave delay is over and counts them. */
  depart(now: number, max: number): number {
    const due = this.lingering.takeDue(now, max)
    for (const connection of due) this.leave(connection, "released")
    return due.length
  }

  /** No leave delay is over before this. */
  get nextDeparture(): number {
    return this.lingering.bound
  }

  /** From now on nothing joins; what is still here is to be released. */
  shutdown(): void {
    this.closed = true
  }

  get isClosed(): boolean {
    return this.closed
  }

  /** Any connections that are still here, up to `max`. */
  some(max: number): ReadonlyArray<C> {
    const some: Array<C> = []
    for (const roster of this.rosters.values()) {
      for (const connection of roster) {
        if (some.length === max) return some
        some.push(connection)
      }
    }
    return some
  }

  // Following

  /** Keeps the topic's life, and with it its epoch, until `unfollow`. */
  keep(topic: string): void {
    this.roster(topic).kept = true
  }

  letGo(topic: string): void {
    const roster = this.rosters.get(topic)
    if (roster === undefined) return
    roster.kept = false
    this.collect(roster)
  }

  private full(topic: string, key: string): Full | undefined {
    const roster = this.rosters.get(topic)
    let size = roster?.size(key) ?? 0
    if (size === 0 && (roster?.keys ?? 0) >= this.limits.keysPerTopic)
      return over("keysPerTopic", this.limits.keysPerTopic)
    const max = this.limits.connectionsPerKey
    if (size < max) return undefined
    // Those that linger make room.
    for (const connection of roster?.of(key) ?? NOBODY) if (connection.status === "lingering") size--
    return size < max ? undefined : over("connectionsPerKey", max)
  }

  private tooHeavy(more: number): Full | undefined {
    const max = this.limits.metaTotal
    const actual = this.metas + more
    return actual <= max ? undefined : { limit: "metaTotal", max, actual }
  }

  /** Adds it, whose meta has that weight. */
  private join(connection: C, weight: number, now: number): void {
    const roster = this.roster(connection.topic)
    connection.seq = ++this.seq
    connection.joined = connection.seq
    connection.status = "present"
    if (connection.terms.ttl !== Number.POSITIVE_INFINITY) this.expiring.set(connection, now + connection.terms.ttl)
    this.connections++
    this.metas += weight
    if (roster.connections === 0) this.topics++
    roster.add(connection)
    this.keyIndex?.add(connection.key, roster)
    this.onChange(Change.join(roster, connection))
    if (this.lingering.size > 0) {
      for (const other of Array.from(roster.of(connection.key))) {
        if (other.status === "lingering") this.leave(other, "released")
      }
    }
  }

  private rejoin(connection: C, now: number): "rejoined" | "evicted" | "released" {
    switch (connection.status) {
      case "expired":
        if (this.closed) {
          connection.status = "released"
          return "released"
        }
        this.join(connection, weigh(connection.meta), now)
        return "rejoined"
      case "evicted":
        return "evicted"
      default:
        return "released"
    }
  }

  /** Ends one connection, if it is here. */
  leave(connection: C, reason: Reason): void {
    if (connection.status === "present") this.expiring.delete(connection)
    else if (connection.status === "lingering") this.lingering.delete(connection)
    else return
    connection.status = reason
    const roster = this.rosters.get(connection.topic) as Roster<C>
    this.connections--
    this.metas -= weigh(connection.meta)
    const last = roster.remove(connection)
    if (last) this.keyIndex?.delete(connection.key, roster)
    if (roster.connections === 0) this.topics--
    this.onChange(Change.leave(roster, connection, reason, last))
    this.collect(roster)
  }

  private roster(topic: string): Roster<C> {
    let roster = this.rosters.get(topic)
    if (roster === undefined) {
      roster = new Roster(topic, this.epoch(++this.lives))
      this.rosters.set(topic, roster)
    }
    return roster
  }

  /** A topic's life ends when it has neither connections nor followers. */
  private collect(roster: Roster<C>): void {
    if (roster.connections === 0 && !roster.kept) this.rosters.delete(roster.topic)
  }

  private epoch(life: number): string {
    return `${this.replica}-${life.toString(36)}`
  }
}
