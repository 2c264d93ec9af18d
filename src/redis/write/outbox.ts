/**
 * The writing side of a replica in one partition: what it wants Redis to have, and what it has yet to say.
 *
 * Each own connection is a cell that wants to be present, with a revision, or absent. It is dirty until Redis has
 * that. A call carries up to 128 dirty cells of any topics. One that failed, or whose answer was lost, makes its cells
 * dirty again: what is sent is the state, never a log, so a call carried out twice, late or never does no harm. Numbers
 * that grow with every call let Redis refuse what comes after something newer.
 *
 * Nothing here waits or knows of a clock.
 */
import type { Value } from "../../internal/input/json.js"
import type { LeaveReason } from "../../PresenceChange.js"
import { placeOf } from "../protocol/keys.js"
import type { ApplyAnswer, Operation } from "../protocol/values.js"

/** Operations of one call. More would hold Redis too long, and every call costs this process 20 to 40 us. */
export const BATCH = 128

/** Characters of metas after which a call is full. */
const FULL = 256 * 1024

/** What became of a wanted state. */
export type Written =
  | { readonly type: "written"; readonly epoch: string; readonly version: number }
  | { readonly type: "evicted" }

/** One own connection. */
export class Cell<O = unknown> {
  /** Why it is to be absent; `undefined` while it is to be present. */
  leaving: LeaveReason | undefined
  dirty = false
  /** The last call that carried it, 0 for none. */
  call = 0
  /** Counts what was wanted. */
  wish = 0
  /** Others may have been told that it left, and Redis may show it all the same. */
  isGhost = false
  waiting: Array<{ readonly wish: number; readonly resume: (written: Written) => void }> | undefined

  constructor(
    readonly topic: string,
    readonly key: string,
    readonly seq: number,
    public revision: number,
    public meta: Value,
    /** Whose it is; nothing to the outbox. */
    readonly owner: O | undefined
  ) {}
}

export interface Batch {
  readonly number: number
  readonly operations: ReadonlyArray<Operation>
}

interface Sent<O> {
  readonly cell: Cell<O>
  readonly wish: number
  readonly leaves: boolean
}

export class Outbox<O = unknown> {
  /** Connections that somebody else evicted, whose owner is to be told. */
  readonly evicted: Array<Cell<O>> = []
  private readonly cells = new Map<number, Cell<O>>()
  /** Cells to be said, from `head` on; those that are not dirty any more are passed over. */
  private queue: Array<Cell<O>> = []
  private head = 0
  private waitingToBeSaid = 0
  private readonly inFlight = new Map<number, ReadonlyArray<Sent<O>>>()
  /** Who is next to be said once more; it goes on with who comes meanwhile. */
  private repeating: Iterator<Cell<O>> | undefined
  /** Dirty cells that Redis does not take as it is, and not in the queue. */
  private prevented: Array<Cell<O>> = []
  private leaving = 0
  private ghostly = 0

  /** How many Redis may show who have left, as others were told, before it lost that. */
  get ghosts(): number {
    return this.ghostly
  }

  /** Whether Redis has all that is wanted, as far as is known. */
  get idle(): boolean {
    return this.waitingToBeSaid === 0 && this.inFlight.size === 0
  }

  /** How many connections Redis should have. */
  get present(): number {
    return this.cells.size - this.leaving
  }

  /** How many cells Redis does not have as they are wanted. */
  get dirty(): number {
    return this.waitingToBeSaid
  }

  get flying(): number {
    return this.inFlight.size
  }

  get(seq: number): Cell<O> | undefined {
    return this.cells.get(seq)
  }

  // Wanting

  join(topic: string, key: string, seq: number, meta: Value, owner?: O): Cell<O> {
    const cell = new Cell(topic, key, seq, seq, meta, owner)
    this.cells.set(seq, cell)
    this.want(cell)
    return cell
  }

  update(cell: Cell<O>, revision: number, meta: Value): void {
    cell.revision = revision
    cell.meta = meta
    this.want(cell)
  }

  leave(cell: Cell<O>, reason: LeaveReason): void {
    if (cell.leaving !== undefined) return
    cell.leaving = reason
    this.leaving++
    if (cell.call === 0) {
      // Redis never heard of it.
      this.forget(cell)
      this.answer(cell, cell.wish, { type: "written", epoch: "", version: 0 })
      return
    }
    this.want(cell)
  }

  /** Told when Redis has what the cell wants now, or something newer. What it returns ends the waiting. */
  wait(cell: Cell<O>, resume: (written: Written) => void): () => void {
    const waiter = { wish: cell.wish, resume }
    cell.waiting ??= []
    cell.waiting.push(waiter)
    return () => {
      cell.waiting = cell.waiting?.filter((other) => other !== waiter)
    }
  }

  /** Whether Redis has, as far as is known, what the cell wants. */
  isWritten(cell: Cell<O>): boolean {
    return !cell.dirty && !this.inFlight.has(cell.call)
  }

  // Writing

  /** The next call, if there is anything to say. */
  take(number: () => number, only?: "leaves"): Batch | undefined {
    if (this.waitingToBeSaid === 0) return undefined
    const operations: Array<Operation> = []
    const sent: Array<Sent<O>> = []
    const others: Array<Cell<O>> = []
    const batch = number()
    let size = 0
    while (this.head < this.queue.length && operations.length < BATCH && size < FULL) {
      const cell = this.queue[this.head++] as Cell<O>
      if (!cell.dirty) continue
      if (only === "leaves" && cell.leaving === undefined) {
        others.push(cell)
        continue
      }
      this.clean(cell)
      cell.call = batch
      const { topic, key, seq, revision, leaving } = cell
      if (leaving === undefined) {
        const meta = JSON.stringify(cell.meta)
        size += meta.length
        operations.push({ type: "put", topic, seq, revision, key, meta })
      } else operations.push({ type: "remove", topic, seq, reason: leaving })
      sent.push({ cell, wish: cell.wish, leaves: leaving !== undefined })
    }
    if (this.head * 2 > this.queue.length || others.length > 0) {
      this.queue = others.concat(this.queue.slice(this.head))
      this.head = 0
    }
    if (operations.length === 0) return undefined
    this.inFlight.set(batch, sent)
    return { number: batch, operations }
  }

  /** Redis has carried the call out. */
  succeeded(number: number, answer: ApplyAnswer & { readonly status: "OK" }): void {
    const sent = this.inFlight.get(number)
    if (sent === undefined) return
    this.inFlight.delete(number)
    const forbidden = new Set(answer.forbidden)
    const prevented = new Set(answer.prevented)
    for (const [index, { cell, wish, leaves }] of sent.entries()) {
      if (forbidden.has(index)) this.wasEvicted(cell)
      else if (prevented.has(index)) this.prevent(cell, number)
      else {
        if (leaves && !cell.dirty && cell.call === number) this.forget(cell)
        const version = answer.versions.get(cell.topic) ?? 0
        this.answer(cell, wish, { type: "written", epoch: answer.epoch, version })
      }
    }
  }

  /** Nobody knows whether Redis has carried it out, or it was refused. */
  failed(number: number): void {
    const sent = this.inFlight.get(number)
    if (sent === undefined) return
    this.inFlight.delete(number)
    // A later call may carry the cell by now; then that one decides.
    for (const { cell } of sent) if (cell.call === number) this.enqueue(cell)
  }

  /** What was prevented is to be said again. */
  retry(): void {
    this.queue.push(...this.prevented.splice(0))
  }

  /** Says everything again: Redis may have lost any of it. */
  rewrite(): void {
    for (const cell of this.cells.values()) {
      if (cell.leaving !== undefined) this.haunt(cell)
      this.enqueue(cell)
    }
  }

  /** Says some of what Redis has once more, the next ones at each call: somebody may have deleted a key of theirs. */
  repeat(): void {
    this.repeating ??= this.cells.values()
    for (let n = 0; n < BATCH; n++) {
      const { done, value } = this.repeating.next()
      if (done === true) {
        this.repeating = undefined
        return
      }
      if (this.isWritten(value)) this.enqueue(value)
    }
  }

  /** Removes what Redis has of this replica and this replica does not. */
  disown(places: Iterable<string>): void {
    for (const text of places) {
      const place = placeOf(text)
      if (place === undefined || this.cells.has(place.seq)) continue
      const cell = new Cell<O>(place.topic, "", place.seq, 0, null, undefined)
      cell.leaving = "released"
      this.cells.set(place.seq, cell)
      this.leaving++
      this.haunt(cell)
      this.enqueue(cell)
    }
  }

  /** What somebody evicted is gone from Redis already. */
  evictedAt(places: Iterable<string>): void {
    for (const text of places) {
      const cell = this.cells.get(placeOf(text)?.seq ?? 0)
      if (cell !== undefined) this.wasEvicted(cell)
    }
  }

  private wasEvicted(cell: Cell<O>): void {
    if (cell.leaving === undefined) {
      cell.leaving = "evicted"
      this.leaving++
      this.evicted.push(cell)
    }
    this.forget(cell)
    this.answer(cell, Number.POSITIVE_INFINITY, { type: "evicted" })
  }

  private prevent(cell: Cell<O>, call: number): void {
    // A later call may carry it by now; then that one decides.
    if (cell.dirty || cell.call !== call || this.cells.get(cell.seq) !== cell) return
    cell.dirty = true
    this.waitingToBeSaid++
    this.prevented.push(cell)
  }

  private haunt(cell: Cell<O>): void {
    if (!cell.isGhost) this.ghostly++
    cell.isGhost = true
  }

  private want(cell: Cell<O>): void {
    cell.wish++
    this.enqueue(cell)
  }

  private enqueue(cell: Cell<O>): void {
    if (cell.dirty || this.cells.get(cell.seq) !== cell) return
    cell.dirty = true
    this.waitingToBeSaid++
    this.queue.push(cell)
  }

  private clean(cell: Cell<O>): void {
    if (!cell.dirty) return
    cell.dirty = false
    this.waitingToBeSaid--
  }

  /** Of one that is to be absent. */
  private forget(cell: Cell<O>): void {
    if (this.cells.get(cell.seq) !== cell) return
    this.cells.delete(cell.seq)
    this.clean(cell)
    this.leaving--
    if (cell.isGhost) this.ghostly--
    // While nothing can be said nobody passes over those who came and went meanwhile.
    if (this.queue.length - this.head > 2 * (this.waitingToBeSaid + BATCH)) {
      this.queue = this.queue.slice(this.head).filter(({ dirty }) => dirty)
      this.head = 0
    }
  }

  private answer(cell: Cell<O>, wish: number, written: Written): void {
    if (cell.waiting === undefined) return
    const still: Cell["waiting"] = []
    for (const waiter of cell.waiting) {
      if (waiter.wish <= wish) waiter.resume(written)
      else still.push(waiter)
    }
    cell.waiting = still.length === 0 ? undefined : still
  }
}
