/**
 * What one synchronous step did to one topic, and how it is told: as a `Diff` to who follows the changes, as events to
 * who follows the events. Both are made when first asked for and shared by all followers, so they are frozen.
 */
import type { Connection, Diff, Leave, LeaveReason, Update } from "../../PresenceChange.js"
import type { PresenceEvent } from "../../PresenceEvent.js"
import type { Value } from "../input/json.js"

/** One changed connection. */
export interface Changed {
  readonly type: "join" | "leave" | "update"
  readonly key: string
  readonly ref: string
  readonly meta: Value
  /** The smaller, the longer the connection is there. */
  readonly age: number
  /** Of an update: what it replaced. */
  readonly previousRef: string
  readonly previousMeta: Value
  /** Of a leave: why. */
  readonly reason: LeaveReason
  /** Whether the key has no other connection: of a leave, that the key is gone with it. */
  readonly last: boolean
}

/** The event of a change, if it has one: a leave that is not the key's last is none. */
export const eventOf = (change: Changed): PresenceEvent | undefined => {
  const { key, meta } = change
  if (change.type !== "leave") return { type: change.type, key, meta }
  return change.last ? { type: "leave", key } : undefined
}

export class Delta {
  private madeDiff: Diff | undefined
  private madeEvents: ReadonlyArray<PresenceEvent> | undefined

  constructor(
    readonly topic: string,
    readonly epoch: string,
    readonly from: number,
    readonly version: number,
    /** In the order in which they happened. */
    readonly changes: ReadonlyArray<Changed>
  ) {}

  /** The changes sorted by key, then age. */
  get sorted(): ReadonlyArray<Changed> {
    return this.changes.length > 1 ? Array.from(this.changes).sort(byKeyThenAge) : this.changes
  }

  get diff(): Diff {
    this.madeDiff ??= this.makeDiff()
    return this.madeDiff
  }

  get events(): ReadonlyArray<PresenceEvent> {
    if (this.madeEvents === undefined) {
      const events: Array<PresenceEvent> = []
      for (const change of this.changes) {
        const event = eventOf(change)
        if (event !== undefined) events.push(Object.freeze(event))
      }
      this.madeEvents = Object.freeze(events)
    }
    return this.madeEvents
  }

  private makeDiff(): Diff {
    const joins: Array<Connection> = []
    const leaves: Array<Leave> = []
    const updates: Array<Update> = []
    for (const { type, key, ref, previousRef, meta, reason } of this.sorted) {
      if (type === "join") joins.push(Object.freeze({ key, ref, meta }))
      else if (type === "leave") leaves.push(Object.freeze({ key, ref, meta, reason }))
      else updates.push(Object.freeze({ key, ref, previousRef, meta }))
    }
    return Object.freeze({
      _tag: "Diff",
      topic: this.topic,
      epoch: this.epoch,
      from: this.from,
      version: this.version,
      joins: Object.freeze(joins),
      leaves: Object.freeze(leaves),
      updates: Object.freeze(updates)
    })
  }
}

const byKeyThenAge = (a: Changed, b: Changed): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.age - b.age)
