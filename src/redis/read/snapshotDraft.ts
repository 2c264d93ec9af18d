/**
 * A snapshot of a topic while it is read: pages that were not read at one moment, and the messages that came meanwhile.
 *
 * When the messages lead without a gap from where the topic stood before the first page to where it stood after the
 * last, the draft is exactly the topic at that version: who did not change meanwhile is on a page as he is, and of who
 * did the last message has the last word, whatever a page showed.
 */
import type { LeaveReason } from "../../PresenceChange.js"
import type { Standing, StoredMember, TopicMessage } from "../protocol/values.js"

/** What the draft needs to know of what the copy has. */
export interface Known {
  readonly revision: number
  /** The draft that last saw it. */
  seen: number
  joined: number
}

export type Finished =
  /** The draft is the topic at this standing. */
  | { readonly type: "done"; readonly standing: Standing }
  /** Messages up to the end have not come yet. */
  | { readonly type: "wait" }
  /** There is a gap: start over. */
  | { readonly type: "again" }

export class SnapshotDraft<K extends Known> {
  /** Members that the copy has not, or has at another revision. */
  readonly differing = new Map<string, StoredMember>()
  /** Why members left while the snapshot was read. */
  readonly reasons = new Map<string, LeaveReason>()
  constructor(
    /** Larger than any before. */
    readonly stamp: number,
    private at: Standing,
    private readonly known: ReadonlyMap<string, K>
  ) {}

  /** A member as a page shows it. A page may come twice. */
  see(stored: StoredMember): void {
    const known = this.known.get(stored.connection)
    if (known === undefined || known.revision !== stored.revision) {
      this.differing.set(stored.connection, stored)
      return
    }
    this.differing.delete(stored.connection)
    known.seen = this.stamp
    known.joined = stored.joined
  }

  isSeen(known: K): boolean {
    return known.seen === this.stamp
  }

  /** Takes up messages, oldest first, until the draft stands at `end`; those it used are removed from `messages`. */
  finish(end: Standing, messages: Array<TopicMessage>): Finished {
    while (this.at.version < end.version || this.at.tag !== end.tag) {
      const message = messages.shift()
      if (message === undefined) return this.at.version < end.version ? { type: "wait" } : { type: "again" }
      if (message.epoch !== end.epoch || message.to <= this.at.version) continue
      if (message.from !== this.at.version || message.fromTag !== this.at.tag) return { type: "again" }
      this.take(message)
    }
    return { type: "done", standing: end }
  }

  private take(message: TopicMessage): void {
    this.at = { epoch: message.epoch, version: message.to, tag: message.tag }
    for (const operation of message.operations) {
      const { connection } = operation
      const known = this.known.get(connection)
      const shown = this.differing.get(connection) ?? (known !== undefined && this.isSeen(known) ? known : undefined)
      if (operation.type === "put") {
        const { revision, key, meta } = operation
        this.see({ connection, joined: shown?.joined ?? message.to, revision, key, meta })
      } else {
        this.differing.delete(connection)
        if (known !== undefined) known.seen = 0
        this.reasons.set(connection, operation.reason)
      }
    }
  }
}
