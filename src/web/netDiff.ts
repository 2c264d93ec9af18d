/**
 * The window: what changed on a topic since the last diff that went out, folded into one net diff.
 *
 * `add` takes what `changes` emits, `take` gives what to send and begins the next window. Nothing is named that the
 * receiver never heard of and nothing is sent that cancelled out: who joined and left in between is not there, of
 * A -> B -> C one update from A to C is left. A snapshot (the follower lagged) replaces all that waits; diffs after it
 * follow it. Memory is bounded by the topic: at most what is gone since the last diff plus what is new.
 *
 * Joins are sorted by key, then age; leaves and updates by key, then in the order they happened.
 */
import type { Connection, Diff, Leave, PresenceChange, Snapshot, Update } from "../PresenceChange.js"

/** A connection whose ref the receiver does not know yet: it joined, or got another ref, since the last diff. */
interface Fresh extends Connection {
  /** The ref that went out, `undefined` when none did. */
  readonly sentRef: string | undefined
  /** Its place: an update keeps it. */
  readonly order: number
}

export class NetDiff {
  /** Where the receiver stands. `undefined` until the first change. */
  private sentVersion: number | undefined
  private snapshot: Snapshot | undefined
  private latest: Diff | undefined
  private order = 0
  /** By current ref. */
  private readonly fresh = new Map<string, Fresh>()
  /** By the ref that went out. */
  private readonly gone = new Map<string, Leave>()

  add(change: PresenceChange): void {
    if (change._tag === "Snapshot") {
      this.reset(change.version)
      this.snapshot = change
      return
    }
    this.sentVersion ??= change.from
    this.latest = change
    // In this order, so that a ref that is free again within one diff is gone before it comes back.
    for (const leave of change.leaves) this.leave(leave)
    for (const update of change.updates) this.update(update)
    for (const join of change.joins) this.join(join)
  }

  /** What to send now, in order: nothing, a snapshot, a diff, or both. The window is empty afterwards. */
  take(): ReadonlyArray<PresenceChange> {
    const changes: Array<PresenceChange> = []
    if (this.snapshot !== undefined) changes.push(this.snapshot)
    this.snapshot = undefined
    // Without a net change nothing goes out, so the next diff still begins at the version that did.
    if (this.latest !== undefined && (this.fresh.size > 0 || this.gone.size > 0)) {
      changes.push(this.net(this.latest))
      this.reset(this.latest.version)
    }
    return changes
  }

  private reset(version: number): void {
    this.sentVersion = version
    this.latest = undefined
    this.fresh.clear()
    this.gone.clear()
  }

  private net(latest: Diff): Diff {
    const joins: Array<Connection> = []
    const updates: Array<Update> = []
    for (const { key, ref, meta, sentRef } of [...this.fresh.values()].sort(byOrder)) {
      if (sentRef === undefined) joins.push({ key, ref, meta })
      else updates.push({ key, ref, previousRef: sentRef, meta })
    }
    return {
      _tag: "Diff",
      topic: latest.topic,
      epoch: latest.epoch,
      from: this.sentVersion ?? latest.from,
      version: latest.version,
      joins: joins.sort(byKey),
      leaves: [...this.gone.values()].sort(byKey),
      updates: updates.sort(byKey)
    }
  }

  private join({ key, ref, meta }: Connection): void {
    // A ref stands for one meta of one connection: gone and there again, it never went.
    if (this.gone.delete(ref)) return
    this.fresh.set(ref, { key, ref, meta, sentRef: undefined, order: this.order++ })
  }

  private update({ key, ref, previousRef, meta }: Update): void {
    const { sentRef, order } = this.fresh.get(previousRef) ?? { sentRef: previousRef, order: this.order++ }
    this.fresh.delete(previousRef)
    this.fresh.set(ref, { key, ref, meta, sentRef, order })
  }

  private leave(leave: Leave): void {
    const known = this.fresh.get(leave.ref)
    this.fresh.delete(leave.ref)
    if (known === undefined) this.gone.set(leave.ref, leave)
    else if (known.sentRef !== undefined) this.gone.set(known.sentRef, { ...leave, ref: known.sentRef })
  }
}

const byOrder = (a: Fresh, b: Fresh): number => a.order - b.order

/** UTF-16 order, as everywhere. Sorting is stable: within a key the order of arrival stays. */
const byKey = (a: { readonly key: string }, b: { readonly key: string }): number =>
  a.key < b.key ? -1 : a.key > b.key ? 1 : 0
