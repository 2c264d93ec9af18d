/**
 * What there is to do for the clients of a crowd, one after the other in turns of the event loop: each waits for its own, and
 * nobody else for all of them.
 */

/** Milliseconds of a turn that a crowd may take, before others have theirs. */
const TURN = 4

export class Turns {
  private waiting: Array<() => void> = []

  /** `most` is for how many something is done in a turn, however little time it takes. */
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  add(work: () => void): void {
    this.waiting.push(work)
    if (this.waiting.length === 1) setImmediate(this.next)
  }

  private readonly next = (): void => {
    const until = performance.now() + TURN
    let done = 0
    for (; done < Math.min(this.waiting.length, this.most); done++) {
      if (done > 0 && performance.now() >= until) break
      this.waiting[done]?.()
    }
    this.waiting = this.waiting.slice(done)
    if (this.waiting.length > 0) setImmediate(this.next)
  }
}
