/**
 * What there is to do for the clients of a crowd, one after the other in turns of the event loop: each waits for its own, and
 * nobody else for all of them.
 */

import { Effect } from "effect"

/** Milliseconds of a turn that a crowd may take, before others have theirs. */
const TURN = 4

export class Turns {
  private waiting: Array<() => void> = []
  /** Until when this turn of the event loop has time for what comes, in ms; `undefined` before anything has come. */
  private until: number | undefined

  /** `most` is for how many something is done in a turn, however little time it takes. */
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  add(work: () => void): void {
    this.waiting.push(work)
    if (this.waiting.length === 1) setImmediate(this.next)
  }

  /** Waits for one's turn. A fiber works only after it was woken, so time says nothing of how many fit: `most` is to. */
  readonly turn: Effect.Effect<void> = Effect.async((resume) => this.add(() => resume(Effect.void)))

  /** At once, as long as this turn has time for it and nobody waits. */
  do(work: () => void): void {
    if (this.waiting.length > 0 || !this.hasTime()) this.add(work)
    else work()
  }

  private hasTime(): boolean {
    if (this.until !== undefined) return performance.now() < this.until
    this.until = performance.now() + TURN
    setImmediate(this.begin)
    return true
  }

  private readonly begin = (): void => {
    this.until = undefined
  }

  private readonly next = (): void => {
    const until = performance.now() + TURN
    const most = Math.min(this.waiting.length, this.most)
    let done = 0
    try {
      do this.waiting[done++]?.()
      while (done < most && performance.now() < until)
    } finally {
      // Also after one that throws: nobody else waits for ever because of it.
      this.waiting = this.waiting.slice(done)
      if (this.waiting.length > 0) setImmediate(this.next)
    }
  }
}
