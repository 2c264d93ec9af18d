/**
 * What there is to do for clients that have gone, one after the other in turns of the event loop: of a crowd that goes
 * each waits for its own, and whoever is still here does not wait for all of them.
 */

/** Milliseconds of a turn that ends may take, before others have theirs. */
const TURN = 4

export class Endings {
  private waiting: Array<() => void> = []

  /** `most` is how many may end in a turn, however little time they take. */
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}

  add(end: () => void): void {
    this.waiting.push(end)
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
