/**
 * A replica in one partition: its lease, its heartbeat, and the one way back when it has lost something.
 *
 * Being in `l`, and not found late, is the right to write. Whoever is told `LEASE` (after a pause, a reap, a flush, an empty
 * restart, a fail-over that lost it) claims, writes everything it holds, and removes what Redis has of it and it has
 * not. The same when Redis may have forgotten something: it counts other connections than are held, or it restarted or
 * failed over, which each may lose the last writes. Told `SHARED`, it stands aside until others' format is gone. Of what
 * nobody counts, single keys that somebody deleted, a part is written again with each heartbeat.
 *
 * Decisions only: calls come out, answers (or their loss) go in, and what is to be done comes back. A beat that gets
 * no answer holds nothing up.
 */
import { fieldOf } from "../protocol/keys.js"
import type { ApplyAnswer, ApplyCall, BeatAnswer, BeatCall } from "../protocol/values.js"
import { Outbox } from "./outbox.js"

/** What an answer asks for. */
export interface Todo {
  /** Beat now: to claim, or because more waits than one answer carries. */
  readonly beat: boolean
  /** Page through what Redis has of this replica and `disown` what is not held. */
  readonly recover: boolean
  /** Replicas whose lease is over. */
  readonly late: ReadonlyArray<string>
  /** The data set is another one than before. */
  readonly epochChanged: boolean
  /** Others live by other settings: this is what they say. */
  readonly refused: string | undefined
}

const nothing: Todo = { beat: false, recover: false, late: [], epochChanged: false, refused: undefined }

export class ReplicaLease<O = unknown> {
  readonly outbox = new Outbox<O>()
  /** Whether it may write, as far as is known. */
  isIn = false
  epoch: string | undefined
  private number = 0
  private lastBeat = 0
  /** The number of the claim that made it so. */
  private claimed = 0
  private wasIn = false
  /** Empty before the first claim. */
  private history = ""
  /** The history in which everything was removed that Redis had of this replica and it did not hold. */
  private settled = ""
  /** Whether all that Redis has of it was looked through since it last had to recover. */
  private looked = false
  /**
   * Where its index was lost it is `missing` until all that Redis has of it was looked through, and all that it holds is
   * written: then it is `whole`, until Redis has heard of that.
   */
  private index: "kept" | "missing" | "whole" = "kept"
  /** Places whose eviction the owner knows; Redis may forget them. */
  private readonly seen = new Set<string>()

  constructor(readonly id: string) {}

  // Calls

  /** The next heartbeat, which claims when there is no lease. */
  beat(): BeatCall {
    return this.beatAs(this.isIn ? "beat" : "claim")
  }

  /** Gives the lease back, if Redis has nothing of this replica any more. */
  leave(): BeatCall {
    return this.beatAs("leave")
  }

  /** The next write, if there is one and it may be sent. */
  write(only?: "leaves"): ApplyCall | undefined {
    if (!this.isIn) return undefined
    const batch = this.outbox.take(this.next, only)
    if (batch === undefined) return undefined
    const { number, operations } = batch
    return { mode: "own", replica: this.id, number, tag: this.tag(number), operations }
  }

  /** A write about another replica: to reap it, or to evict its connections. */
  about(mode: "reap" | "evict", replica: string, operations: ApplyCall["operations"]): ApplyCall {
    const number = this.next()
    return { mode, replica, number, tag: this.tag(number), operations }
  }

  // Answers. `undefined`: there was none in time, or an error; the call may still be carried out.

  beatAnswered(call: BeatCall, answer: BeatAnswer | undefined): Todo {
    if (answer === undefined) return nothing
    // A later call overtook it, so it did not keep the lease. If no later beat is on its way, another must.
    if (answer.status === "STALE") return { ...nothing, beat: call.number === this.lastBeat }
    if (answer.status === "SHARED") {
      // From now on it claims, until it is let in, and then writes everything again.
      if (call.number >= this.claimed) this.isIn = false
      return { ...nothing, refused: answer.theirs }
    }
    if (answer.status === "LEASE") return this.lost(call.number)

    for (const place of call.seen) this.seen.delete(place)
    for (const place of answer.evicted) this.seen.add(place)
    this.outbox.evictedAt(answer.evicted)

    const epochChanged = this.sees(answer.epoch)
    const isIndexLost = answer.connections === undefined && this.index === "kept"
    if (answer.connections !== undefined) this.index = "kept"
    else if (isIndexLost) this.index = "missing"
    let recover = isIndexLost || epochChanged || this.history !== answer.history
    this.history = answer.history
    // Where it has nothing there is nobody to remove.
    if (answer.connections === 0) this.settled = answer.history
    if (call.mode === "claim") {
      // The first claim finds nothing to recover.
      recover = this.wasIn
      this.isIn = true
      this.wasIn = true
      this.claimed = call.number
    } else if (call.number === this.number && this.outbox.idle && this.index === "kept") {
      // Nothing was said since, so what Redis counts must be what is held.
      recover ||= answer.connections !== this.outbox.present
    }
    if (recover) this.rewrite()
    else if (this.outbox.idle) this.outbox.repeat()
    const late = answer.late.filter((replica) => replica !== this.id)
    return { beat: answer.evicted.length >= 1_000, recover, late, epochChanged, refused: undefined }
  }

  written(call: ApplyCall, answer: ApplyAnswer | undefined): Todo {
    if (answer === undefined || answer.status !== "OK") {
      this.outbox.failed(call.number)
      return answer?.status === "LEASE" ? this.lost(call.number) : nothing
    }
    for (const index of answer.forbidden) {
      const operation = call.operations[index]
      if (operation !== undefined) this.seen.add(fieldOf(operation.seq, operation.topic))
    }
    this.outbox.succeeded(call.number, answer)
    const epochChanged = this.sees(answer.epoch)
    if (epochChanged) this.rewrite()
    return { ...this.settle(), recover: epochChanged, epochChanged }
  }

  /** All that Redis has of this replica was looked through, and what it does not hold was disowned. */
  recovered(): Todo {
    this.looked = true
    return this.settle()
  }

  /** All of it, as Redis may have lost any, and from now on it is not known what Redis has besides. */
  private rewrite(): void {
    this.looked = false
    this.outbox.rewrite()
  }

  /** When nobody is left who should not be there, the others are to believe again what Redis shows of this replica. */
  private settle(): Todo {
    if (!this.looked || this.outbox.ghosts > 0) return nothing
    const isIndexWhole = this.index === "missing" && this.outbox.idle
    if (!isIndexWhole && this.settled === this.history) return nothing
    if (isIndexWhole) this.index = "whole"
    this.settled = this.history
    return { ...nothing, beat: true }
  }

  private beatAs(mode: BeatCall["mode"]): BeatCall {
    const number = this.next()
    this.lastBeat = number
    const seen = Array.from(this.seen).slice(0, 1_000)
    return {
      mode,
      replica: this.id,
      number,
      tag: this.tag(number),
      settled: this.settled,
      whole: this.index === "whole",
      seen
    }
  }

  private readonly next = (): number => ++this.number

  /** Unique for each call of each replica. */
  private tag(number: number): string {
    return `${this.id}.${number.toString(36)}`
  }

  private lost(number: number): Todo {
    // What was sent before the last claim says nothing about it.
    if (!this.isIn || number < this.claimed) return nothing
    this.isIn = false
    return { ...nothing, beat: true }
  }

  private sees(epoch: string): boolean {
    if (this.epoch === epoch) return false
    const first = this.epoch === undefined
    this.epoch = epoch
    return !first
  }
}
