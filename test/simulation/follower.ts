/**
 * Who follows a topic: what they were told, folded, and what of it cannot be.
 */
import type { PresenceChange, Snapshot } from "../../src/PresenceChange.js"

/** Whose a ref is: it is another at each update. */
export const connectionOf = (ref: string): string => ref.slice(0, ref.lastIndexOf("."))

export interface FollowerEvents {
  readonly problem: (text: string) => void
  /** Somebody was told to have left. */
  readonly onLeave: (connection: string, key: string, reason: string) => void
  /** Somebody was told to be there who had left before. */
  readonly onReturn: (connection: string, key: string) => void
  /** The topic as it can be read now. */
  readonly read: () => Snapshot | undefined
  readonly now: () => number
}

/** Where a topic stood. */
export interface Position {
  readonly epoch: string
  readonly version: number
}

export class Follower {
  /** ref -> key */
  private here = new Map<string, string>()
  private readonly left = new Set<string>()
  private at: Position | undefined
  /** Where it began, and when the topic last went on from there. */
  began: Position | undefined
  movedAt: number | undefined

  constructor(private readonly events: FollowerEvents) {}

  get refs(): ReadonlyArray<string> {
    return [...this.here.keys()].sort()
  }

  tell(change: PresenceChange): void {
    const { problem } = this.events
    if (change._tag === "Snapshot") {
      if (this.began !== undefined) problem("a second state, though it has taken everything")
      this.here = new Map(change.connections.map(({ ref, key }) => [ref, key]))
      this.began ??= { epoch: change.epoch, version: change.version }
    } else {
      if (change.from !== this.at?.version) problem(`goes on from ${change.from}, not ${this.at?.version}`)
      const { began } = this
      // A Redis that lost data may lead there again.
      if (change.epoch === began?.epoch && change.from === began.version) this.movedAt = this.events.now()
      this.movedAt ??= this.events.now()
      this.fold(change)
    }
    this.at = { epoch: change.epoch, version: change.version }
    const read = this.events.read()
    if (read === undefined || read.version !== change.version || read.epoch !== change.epoch) return
    const listed = read.connections.map(({ ref }) => ref).sort()
    if (listed.join() !== this.refs.join()) {
      problem(`at version ${change.version} folds to [${this.refs.join(" ")}] and lists [${listed.join(" ")}]`)
    }
  }

  private fold(change: Exclude<PresenceChange, Snapshot>): void {
    const { problem, onLeave, onReturn } = this.events
    for (const { ref, key } of change.joins) {
      if (this.here.has(ref)) problem(`a second join of ${key} (${ref})`)
      this.here.set(ref, key)
      if (this.left.delete(connectionOf(ref))) onReturn(connectionOf(ref), key)
    }
    for (const { ref, previousRef, key } of change.updates) {
      if (!this.here.delete(previousRef)) problem(`an update of ${key}, who is not here (${previousRef})`)
      this.here.set(ref, key)
    }
    for (const { ref, key, reason } of change.leaves) {
      if (!this.here.delete(ref)) problem(`a second leave of ${key} (${ref})`)
      this.left.add(connectionOf(ref))
      onLeave(connectionOf(ref), key, reason)
    }
  }
}
