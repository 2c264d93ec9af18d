/**
 * Who may keep the process busy, and for how long: in one turn of the event loop all sockets of a route together have some
 * milliseconds. Who has more to do than fits waits in line, and each takes a small share before the next one does.
 */

/** Milliseconds that all take in a turn. */
const TURN = 5

/** Milliseconds that one takes before the next. */
const SHARE = 0.25

export interface Worker {
  /** Works until then, by `performance.now`. Whether there is more to do. */
  readonly work: (until: number) => boolean
}

export class FairTurns {
  private line: Array<Worker> = []
  private ends = 0
  private begun = false

  /** Lets one work: at once where there is time and nobody waits, else in line. Whoever is in line is not to come again. */
  run(worker: Worker): void {
    const now = performance.now()
    if (!this.begun) this.begin(now)
    if (this.line.length > 0 || now >= this.ends) this.line.push(worker)
    else if (worker.work(Math.min(this.ends, now + SHARE))) this.line.push(worker)
  }

  private begin(now: number): void {
    this.begun = true
    this.ends = now + TURN
    setImmediate(this.next)
  }

  private readonly next = (): void => {
    this.begun = false
    if (this.line.length === 0) return
    this.begin(performance.now())
    const line = this.line
    this.line = []
    const again: Array<Worker> = []
    let next = 0
    for (; next < line.length; next++) {
      const now = performance.now()
      if (now >= this.ends) break
      const worker = line[next]
      if (worker?.work(Math.min(this.ends, now + SHARE))) again.push(worker)
    }
    // Those who came meanwhile are behind those who waited, and before those who had a share.
    this.line = [...line.slice(next), ...this.line, ...again]
  }
}
