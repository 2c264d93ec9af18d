/**
 * Who may keep the process busy, and for how long: in one turn of the event loop all sockets of a route together have some
 * milliseconds. Who has more to do than fits waits in line, and each takes a small share before the next one does. Whoever's
 * last share was long waits in another line, of which one has a turn, so that nobody else waits for more than one of them.
 */

/** Milliseconds that all take in a turn. */
const TURN = 5

/** Milliseconds that one takes before the next. */
const SHARE = 0.25

/** Milliseconds of a share from which on somebody is costly: one message may take more than a share. */
const COSTLY = 2

export interface Worker {
  /** Works until then, by `performance.now`. Whether there is more to do. */
  readonly work: (until: number) => boolean
}

export class FairTurns {
  private line: Array<Worker> = []
  private readonly costly: Array<Worker> = []
  private readonly known = new WeakSet<Worker>()
  private ends = 0
  private begun = false

  /** Lets one work: at once where there is time and nobody waits, else in line. Whoever is in line is not to come again. */
  run(worker: Worker): void {
    const now = performance.now()
    if (!this.begun) this.begin(now)
    if (this.known.has(worker)) this.costly.push(worker)
    else if (this.line.length > 0 || now >= this.ends) this.line.push(worker)
    else if (this.work(worker, now)) this.wait(worker, this.line)
  }

  /** Gives one its share. Whether there is more to do. */
  private work(worker: Worker, now: number): boolean {
    const isMore = worker.work(Math.min(this.ends, now + SHARE))
    if (performance.now() - now > COSTLY) this.known.add(worker)
    else this.known.delete(worker)
    return isMore
  }

  private wait(worker: Worker, line: Array<Worker>): void {
    if (this.known.has(worker)) this.costly.push(worker)
    else line.push(worker)
  }

  private begin(now: number): void {
    this.begun = true
    this.ends = now + TURN
    setImmediate(this.next)
  }

  private readonly next = (): void => {
    this.begun = false
    if (this.line.length === 0 && this.costly.length === 0) return
    this.begin(performance.now())
    const line = this.line
    this.line = []
    const again: Array<Worker> = []
    let next = 0
    try {
      while (next < line.length) {
        const now = performance.now()
        if (now >= this.ends) break
        const worker = line[next++]
        if (worker !== undefined && this.work(worker, now)) this.wait(worker, again)
      }
    } finally {
      // Those who came meanwhile are behind those who waited, and before those who had a share; also after one that throws.
      this.line = [...line.slice(next), ...this.line, ...again]
    }
    const costly = this.costly.shift()
    if (costly !== undefined && this.work(costly, performance.now())) this.wait(costly, this.line)
  }
}
