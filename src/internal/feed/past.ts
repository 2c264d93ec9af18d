/**
 * What was told of the followed topics of a service: who was away for a moment goes on from where they were.
 *
 * Deltas are kept for a minute, up to a number of changes for each topic and a number of bytes for all of them; the
 * oldest go first. Only the changes are kept: whatever is made of them is made again for who comes back.
 */
import { weigh } from "../input/json.js"
import { type Changed, Delta } from "./delta.js"

/** What the deltas of all topics may weigh, in bytes, nearly. */
const MAX_BYTES = 32 * 1_024 * 1_024

/** How long a delta is kept, in nanoseconds, and until somebody looks. */
const MAX_AGE = 60e9

/** A delta that may come back, without what was made of it. */
interface Told {
  readonly epoch: string
  readonly from: number
  readonly version: number
  /** `undefined` once it is forgotten. */
  changes: ReadonlyArray<Changed> | undefined
  readonly bytes: number
  readonly at: number
  readonly line: Line
}

/** What is kept of one topic, oldest first. */
class Line {
  /** Up to `first` they are forgotten. */
  told: Array<Told> = []
  first = 0
  changes = 0
}

export class Past {
  /** What all that is kept weighs. */
  bytes = 0
  private readonly lines = new Map<string, Line>()
  /** Of all topics, oldest first, also some that are forgotten: all up to `first`, and others after it. */
  private told: Array<Told> = []
  private first = 0
  private forgotten = 0
  private now = 0

  constructor(
    /** Changes that are kept of one topic. */
    private readonly capacity: number,
    private readonly maxBytes = MAX_BYTES
  ) {}

  get size(): number {
    return this.lines.size
  }

  has(topic: string): boolean {
    return this.lines.has(topic)
  }

  /** Begins to keep what is told of a topic. */
  open(topic: string): void {
    this.lines.set(topic, new Line())
  }

  /** Forgets it all. */
  close(topic: string): void {
    const line = this.lines.get(topic)
    if (line === undefined) return
    this.lines.delete(topic)
    for (let i = line.first; i < line.told.length; i++) this.forget(line.told[i] as Told)
  }

  push({ topic, epoch, from, version, changes }: Delta): void {
    const line = this.lines.get(topic)
    if (line === undefined) return
    const told: Told = { epoch, from, version, changes, bytes: weighAll(changes), at: this.now, line }
    line.told.push(told)
    line.changes += changes.length
    this.told.push(told)
    this.bytes += told.bytes
    while (line.changes > this.capacity && line.first < line.told.length - 1) this.forgetFirst(line)
    while (this.bytes > this.maxBytes) this.forgetOldest()
  }

  /** The deltas from a version on, if they are all here. */
  since(topic: string, version: number): ReadonlyArray<Delta> | undefined {
    const line = this.lines.get(topic)
    if (line === undefined) return undefined
    // Who comes back was here a moment ago; and numbers of an earlier epoch may come again.
    for (let i = line.told.length - 1; i >= line.first; i--) {
      if (line.told[i]?.from === version) {
        return line.told
          .slice(i)
          .map((told) => new Delta(topic, told.epoch, told.from, told.version, told.changes as ReadonlyArray<Changed>))
      }
    }
    return undefined
  }

  /**
   * Forgets what is over a minute old. `now` in nanoseconds; what is told until the next call counts as told now, so
   * that telling reads no clock.
   */
  age(now: number): void {
    this.now = now
    while (this.first < this.told.length && now - (this.told[this.first] as Told).at > MAX_AGE) this.forgetOldest()
  }

  private forgetOldest(): void {
    const told = this.told[this.first++] as Told
    if (told.changes !== undefined) this.forgetFirst(told.line)
  }

  /** What is the oldest of all is the first of its topic. */
  private forgetFirst(line: Line): void {
    const told = line.told[line.first++] as Told
    line.changes -= told.changes?.length ?? 0
    this.forget(told)
    if (line.first > 64 && line.first > line.told.length >> 1) {
      line.told = line.told.slice(line.first)
      line.first = 0
    }
  }

  private forget(told: Told): void {
    told.changes = undefined
    this.bytes -= told.bytes
    this.forgotten++
    // In bulk, so that the rest does not move with every delta.
    if (this.forgotten < 1_024 || this.forgotten < this.told.length >> 1) return
    this.told = this.told.filter(({ changes }) => changes !== undefined)
    this.first = 0
    this.forgotten = 0
  }
}

/** What a delta takes beside its changes, and a change beside its meta: measured, and rounded up. */
const DELTA_BYTES = 160
const CHANGE_BYTES = 200

const weighAll = (changes: ReadonlyArray<Changed>): number => {
  let bytes = DELTA_BYTES
  // What an update replaced is the meta of the change before it, or was weighed as little as it is now.
  for (const { meta } of changes) bytes += CHANGE_BYTES + weigh(meta)
  return bytes
}
