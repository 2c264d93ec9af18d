/**
 * The reading side of one followed topic: a copy at one version, kept by messages, mended by snapshots.
 *
 * A message that continues the copy is applied; anything else says that something was missed, and a snapshot is read.
 * Of a snapshot the net difference is told: joins and updates, then leaves. When the snapshot shows that Redis has lost
 * part of its history, members that it lacks are retained for a while, as their replicas will write them again; so are
 * those that further snapshots lack meanwhile, as late messages may tell of the history that was lost. Those whom a
 * snapshot lacks after that leave. The other way round, what Redis shows may be old: of a replica that has not yet
 * removed who left before, nobody is told whom the copy had not.
 *
 * Nothing here waits or knows of a clock: time is an argument, in any unit of a clock that never goes back.
 */

import { type Changed, Delta } from "../../internal/feed/delta.js"
import type { Value } from "../../internal/input/json.js"
import { Roster, type RosterMember } from "../../internal/state/roster.js"
import type { LeaveReason } from "../../PresenceChange.js"
import { ownerOf, refOf } from "../protocol/keys.js"
import { byAge, type End, type Standing, type StoredMember, type TopicMessage } from "../protocol/values.js"
import { type Finished, SnapshotDraft } from "./snapshotDraft.js"

export class CopyMember implements RosterMember {
  readonly connection: string
  readonly key: string
  revision: number
  meta: Value
  joined: number
  /** The draft that last saw it. */
  seen = 0

  constructor(stored: StoredMember, seen: number) {
    this.connection = stored.connection
    this.key = stored.key
    this.revision = stored.revision
    this.meta = stored.meta
    this.joined = stored.joined
    this.seen = seen
  }

  get ref(): string {
    return refOf(this.connection, this.revision)
  }
}

/** What a message meant. */
export type Received =
  | { readonly type: "applied"; readonly delta: Delta }
  /** It is old, or waits for the snapshot that is being read. */
  | { readonly type: "nothing" }
  /** Something was missed: read a snapshot. */
  | { readonly type: "resync"; readonly reason: "gap" | "epoch" }

export class TopicCopy {
  standing: Standing = { epoch: "", version: 0, tag: "" }
  /** Whether a snapshot was ever finished: before, nobody may read. */
  isLive = false
  readonly roster: Roster<CopyMember>
  private readonly members = new Map<string, CopyMember>()
  private readonly retained = new Set<CopyMember>()
  /** Until when nobody leaves whom a snapshot lacks, and no message told to have left. */
  private retainedUntil = Number.NEGATIVE_INFINITY
  /** Connections that Redis shows and nobody is told of: their replicas are doubted. */
  private readonly hidden = new Set<string>()
  /** When to look again whether they are still doubted, and how long that was put off. */
  private hiddenUntil = 0
  private patience = 0
  private history = ""
  private drafts = 0
  /** The highest version of this epoch that Redis has answered, as a message may tell what Redis has never had. */
  private confirmed = 0
  /** How often Redis went back within this epoch. */
  private lapses = 0
  private draft: SnapshotDraft<CopyMember> | undefined
  /** Messages that came since a snapshot was begun. */
  private buffer: Array<TopicMessage> | undefined

  constructor(
    readonly topic: string,
    /** How long members are retained whom Redis loses now. */
    private readonly retention: () => number
  ) {
    this.roster = new Roster(topic, "")
  }

  /**
   * The epoch as followers are told. Versions must count one history: when Redis goes back it is another, and a copy
   * that retains or hides members is not what Redis has at that version, until they are written again or let go.
   */
  get epoch(): string {
    const { epoch } = this.standing
    return `${epoch}${this.lapses === 0 ? "" : `~${this.lapses}`}${this.retained.size + this.hidden.size === 0 ? "" : "+"}`
  }

  /**
   * When a snapshot is to be read that lets go of retained members whom it lacks, or shows hidden ones who are not
   * doubted any more; Infinity when there are none.
   */
  get retentionEnds(): number {
    return Math.min(
      this.retained.size === 0 ? Number.POSITIVE_INFINITY : this.retainedUntil,
      this.hidden.size === 0 ? Number.POSITIVE_INFINITY : this.hiddenUntil
    )
  }

  /** Whether the copy has reached a version, or lives in another epoch. */
  hasReached(epoch: string, version: number): boolean {
    return this.isLive && (this.standing.epoch !== epoch || this.standing.version >= version)
  }

  /** Whether Redis says that the topic stands elsewhere. */
  differsFrom(standing: Standing | undefined): boolean {
    if (standing === undefined || standing.epoch !== this.standing.epoch) return true
    // The floor of an empty topic rises with others, and falls only when Redis has lost something.
    if (standing.tag === "") return !this.isEmpty || standing.version < this.standing.version
    return standing.version !== this.standing.version || standing.tag !== this.standing.tag
  }

  /** Redis has answered that the topic stands here, or beyond. */
  confirm(epoch: string, version: number): void {
    if (epoch === this.standing.epoch && version > this.confirmed) this.confirmed = version
  }

  /**
   * Whether the copy, which stood at `before` when Redis was asked, has come to what Redis said, or gone beyond it. Call
   * it when all has come that was published before.
   */
  hasCaughtUp(found: Standing | undefined, before: Standing): boolean {
    if (found === undefined || found.epoch !== this.standing.epoch || found.version < before.version) return false
    if (found.version === before.version && found.tag !== "" && found.tag !== before.tag) return false
    return this.standing.version > found.version || !this.differsFrom(found)
  }

  // Messages

  receive(message: TopicMessage): Received {
    if (this.buffer !== undefined) {
      this.buffer.push(message)
      return { type: "nothing" }
    }
    return this.apply(message)
  }

  // Snapshots: `begin`, `start`, any number of `page`, `finish`

  /** From now on messages are kept for the snapshot. Call it before the first read. */
  begin(): void {
    // What came before is in the snapshot. It may have to be begun very often.
    this.buffer = []
    this.draft = undefined
  }

  /** Where the topic stood before the first page. */
  start(standing: Standing): void {
    this.draft = new SnapshotDraft(++this.drafts, standing, this.members)
  }

  page(members: ReadonlyArray<StoredMember>): void {
    const { draft } = this
    if (draft === undefined) return
    for (const stored of members) {
      // Before anybody reads, members go into the copy as they come: taken up at once they would stall the process.
      if (!this.isLive && !this.members.has(stored.connection)) this.add(stored, draft.stamp)
      draft.see(stored)
    }
  }

  /** Where it stood after the last page. */
  finish(end: End, now: number): Finished & { readonly deltas: ReadonlyArray<Delta>; readonly resync: boolean } {
    const { draft, buffer } = this
    if (draft === undefined || buffer === undefined) return { type: "again", deltas: [], resync: false }
    const finished = draft.finish(end.standing, buffer)
    if (finished.type !== "done") return { ...finished, deltas: [], resync: false }
    this.draft = undefined
    this.buffer = undefined
    const deltas: Array<Delta> = []
    const delta = this.adopt(draft, end, now)
    if (delta !== undefined) deltas.push(delta)
    // What came after the snapshot goes on from it.
    for (const message of buffer) {
      const received = this.apply(message)
      if (received.type === "applied") deltas.push(received.delta)
      if (received.type === "resync") {
        this.begin()
        return { ...finished, deltas, resync: true }
      }
    }
    return { ...finished, deltas, resync: false }
  }

  private get isEmpty(): boolean {
    return this.members.size === this.retained.size
  }

  private apply(message: TopicMessage): Received {
    const { epoch, version, tag } = this.standing
    if (message.epoch !== epoch) return { type: "resync", reason: "epoch" }
    // The same version by another way: one of the two is not what Redis has.
    if (message.to === version && message.tag !== tag && tag !== "") return { type: "resync", reason: "gap" }
    if (message.to <= version) return { type: "nothing" }
    const continues = message.from === version && message.fromTag === tag
    // Before a birth the topic was empty, so where this copy stood does not matter if it is empty too.
    if (!continues && !(message.born && this.isEmpty)) return { type: "resync", reason: "gap" }

    if (message.born) this.hidden.clear()
    const standing = { epoch, version: message.to, tag: message.tag }
    const joins: Array<StoredMember> = []
    const updates: Array<StoredMember> = []
    const leaves: Array<Leaving> = []
    for (const operation of message.operations) {
      const member = this.members.get(operation.connection)
      this.hidden.delete(operation.connection)
      if (operation.type === "remove") {
        if (member !== undefined) leaves.push({ member, reason: operation.reason })
        continue
      }
      const { connection, revision, key, meta } = operation
      const joined = member === undefined || this.retained.has(member) ? message.to : member.joined
      const stored = { connection, joined, revision, key, meta }
      if (member === undefined) joins.push(stored)
      else if (revision > member.revision) updates.push(stored)
      else this.renew(member, stored)
    }
    return { type: "applied", delta: this.advance(standing, joins, updates, leaves) }
  }

  /**
   * Makes the draft the copy, and tells what that changed. What Redis may have lost (`lossOf`) decides how long members
   * are retained from now on; then it is one of these for each member:
   *
   * | the copy | the snapshot | |
   * |---|---|---|
   * | has it | has it, at the same revision | it stays |
   * | has it | has a newer revision | it is updated |
   * | has it | has an older revision | Redis went back: retained as it is; after the retention it is updated |
   * | has it | lacks it, and a message said why | it leaves, for that reason |
   * | has it | lacks it, and nobody said why | retained; after the retention it leaves |
   * | lacks it | has it | it joins |
   * | lacks it | has it, of a doubted replica | it is hidden: it may have left before, as was told |
   */
  private adopt(draft: SnapshotDraft<CopyMember>, end: End, now: number): Delta | undefined {
    const { standing, history, replicas } = end
    const before = this.standing
    const toldEpoch = this.epoch
    const wasLive = this.isLive
    const loss = this.lossOf(end)
    if (loss === "emptied") this.lapses = 0
    if (loss === "went back" || loss === "never was") this.lapses++
    if (loss !== "nothing" && loss !== "never was") this.retainedUntil = now + this.retention()
    const retains = now < this.retainedUntil
    this.isLive = true
    this.history = history
    this.confirmed = standing.version

    const joins: Array<StoredMember> = []
    const updates: Array<StoredMember> = []
    const leaves: Array<Leaving> = []
    this.hideWhoIsDoubted(wasLive, end, now, draft.differing)
    for (const stored of draft.differing.values()) {
      const member = this.members.get(stored.connection)
      if (member === undefined) {
        if (!this.hidden.has(stored.connection)) joins.push(stored)
      } else if (stored.revision < member.revision && retains) this.retained.add(member)
      else updates.push(stored)
    }
    for (const member of this.members.values()) {
      if (draft.isSeen(member)) {
        this.retained.delete(member)
        continue
      }
      if (draft.differing.has(member.connection)) continue
      const reason = draft.reasons.get(member.connection)
      if (reason === undefined && retains) this.retained.add(member)
      else leaves.push({ member, reason: reason ?? reasonOf(member, replicas) })
    }
    const delta = this.advance(standing, joins, updates, leaves)
    this.putAllInOrder()
    const moved = this.epoch !== toldEpoch || standing.version !== before.version
    return wasLive && (moved || delta.changes.length > 0) ? delta : undefined
  }

  /** What Redis lost since the copy was read, as far as a snapshot shows. */
  private lossOf({ standing: { epoch, version, tag }, history }: End): Loss {
    const before = this.standing
    if (!this.isLive) return "nothing"
    if (epoch !== before.epoch) return "emptied"
    const isSame = history === this.history
    if (version < before.version || (version === before.version && tag !== "" && tag !== before.tag)) {
      return isSame && version >= this.confirmed ? "never was" : "went back"
    }
    return isSame ? "nothing" : "perhaps something"
  }

  /** Of doubted replicas only those are shown whom the copy had before. */
  private hideWhoIsDoubted(
    wasLive: boolean,
    { doubted }: End,
    now: number,
    differing: ReadonlyMap<string, StoredMember>
  ): void {
    this.hidden.clear()
    const isDoubted = (connection: string): boolean => doubted.size > 0 && doubted.has(ownerOf(connection).replica)
    for (const connection of differing.keys()) {
      if (!this.members.has(connection) && isDoubted(connection)) this.hidden.add(connection)
    }
    if (!wasLive && doubted.size > 0) {
      for (const member of this.members.values()) {
        if (!isDoubted(member.connection)) continue
        this.hidden.add(member.connection)
        this.members.delete(member.connection)
        this.roster.remove(member)
      }
    }
    const retention = this.retention()
    // The living have it behind them soon; the dead are gone after a lease.
    this.patience = this.hidden.size === 0 ? 0 : Math.min(retention, this.patience * 2 || retention / 16)
    this.hiddenUntil = now + this.patience
  }

  /** Changes the copy: joins and updates, then leaves, so that a key that stays is never seen to go. */
  private advance(
    standing: Standing,
    joins: Array<StoredMember>,
    updates: ReadonlyArray<StoredMember>,
    leaves: ReadonlyArray<Leaving>
  ): Delta {
    const from = this.standing.version
    this.standing = standing
    const changes: Array<Changed> = []
    if (joins.length > 1) joins.sort(byAge)
    for (const stored of joins) {
      const member = this.add(stored, this.drafts)
      changes.push(changed("join", member, null, "", "released", false))
    }
    for (const stored of updates) {
      const member = this.members.get(stored.connection)
      if (member === undefined) continue
      const { meta, ref } = member
      member.revision = stored.revision
      member.meta = stored.meta
      this.renew(member, stored)
      changes.push(changed("update", member, meta, ref, "released", this.roster.size(member.key) === 1))
    }
    for (const { member, reason } of leaves) {
      this.members.delete(member.connection)
      this.retained.delete(member)
      changes.push(changed("leave", member, null, "", reason, this.roster.remove(member)))
    }
    return new Delta(this.topic, this.epoch, from, standing.version, changes)
  }

  /** Redis has it, whether or not that is news. */
  private renew(member: CopyMember, stored: StoredMember): void {
    this.retained.delete(member)
    this.roster.touch(member.key)
    if (member.joined === stored.joined) return
    member.joined = stored.joined
    this.putInOrder(member.key)
  }

  private add(stored: StoredMember, seen: number): CopyMember {
    const member = new CopyMember(stored, seen)
    this.members.set(member.connection, member)
    this.roster.add(member)
    return member
  }

  /** A snapshot comes in any order, and may show older members than were here: a key's metas are oldest first. */
  private putAllInOrder(): void {
    if (this.roster.keys === this.roster.connections) return
    const keys = new Set<string>()
    for (const { key } of this.members.values()) if (this.roster.size(key) > 1) keys.add(key)
    for (const key of keys) this.putInOrder(key)
  }

  private putInOrder(key: string): void {
    if (this.roster.size(key) < 2) return
    const members = Array.from(this.roster.of(key))
    const sorted = Array.from(members).sort(byAge)
    if (sorted.every((member, index) => member === members[index])) return
    for (const member of members) this.roster.remove(member)
    for (const member of sorted) this.roster.add(member)
  }
}

/** What Redis may have lost, as a snapshot shows beside the copy. */
type Loss =
  | "nothing"
  /** Everything: it is another data set. */
  | "emptied"
  /** The last of this topic: it is behind the copy, or at the same version by another way. */
  | "went back"
  /** Nothing, and yet it is behind the copy: a message told what Redis has never had. */
  | "never was"
  /** It restarted or failed over, and may have gone on since, further than the copy. */
  | "perhaps something"

interface Leaving {
  readonly member: CopyMember
  readonly reason: LeaveReason
}

/** Why a member is gone that nobody told about: its replica died, or it left while we did not listen. */
const reasonOf = (member: CopyMember, replicas: ReadonlySet<string>): LeaveReason =>
  replicas.has(ownerOf(member.connection).replica) ? "released" : "replicaLost"

const changed = (
  type: Changed["type"],
  member: CopyMember,
  previousMeta: Value,
  previousRef: string,
  reason: LeaveReason,
  last: boolean
): Changed => ({
  type,
  key: member.key,
  ref: member.ref,
  meta: member.meta,
  age: member.joined,
  previousRef,
  previousMeta,
  reason,
  last
})
