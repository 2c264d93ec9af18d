/**
 * Who may keep the process busy, and for how long: in one turn of the event loop all sockets of a route together have some
 * milliseconds. Who has more to do than fits waits in line, and each takes a small share before the next one does. Whoever
 * has taken least of late has the next share, so that who says little waits for none of those who say much.
 */

/** Milliseconds that all take in a turn. */
const TURN = 5

/** Milliseconds that one takes before the next. One message may take longer. */
const SHARE = 0.25

/** Microseconds of late up to which one waits in the first line; in each next one it is twice as many. */
const LEAST = 125

/** How many lines there are. In the last one wait who take a hundredth of a second and more in each. */
const LINES = 8

/** How long what one has taken counts whole, in milliseconds; for as long again it counts half. */
const LATE = 1_000

/** What somebody has taken of late, in whole numbers: others take more memory. */
export class Usage {
  /** Microseconds. */
  private taken = 0
  private since = 0

  add(now: number, ms: number): void {
    const age = now - this.since
    if (age >= LATE) {
      this.taken = age < 2 * LATE ? this.taken >> 1 : 0
      this.since = Math.floor(now)
    }
    this.taken += Math.round(1_000 * ms)
  }

  /** The line to wait in. */
  get line(): number {
    return Math.min(LINES - 1, Math.max(0, Math.ceil(Math.log2(this.taken / LEAST))))
  }
}

export interface Worker {
  readonly usage: Usage
  /** Works until then, by `performance.now`. Whether there is more to do. */
  readonly work: (until: number) => boolean
}

export class FairTurns {
  private readonly lines = Array.from({ length: LINES }, () => new Line())
  private waiting = 0
  private ends = 0
  private begun = false

  /** Lets one work: at once where there is time and nobody waits, else in line. Whoever is in line is not to come again. */
  run(worker: Worker): void {
    const now = performance.now()
    if (!this.begun) this.begin(now)
    if (this.waiting > 0 || now >= this.ends) this.wait(worker)
    else this.work(worker, now)
  }

  /** Gives one its share, and a place in line if there is more to do. When that was over. */
  private work(worker: Worker, now: number): number {
    let isMore = false
    let done = now
    try {
      isMore = worker.work(Math.min(this.ends, now + SHARE))
    } finally {
      done = performance.now()
      worker.usage.add(done, done - now)
    }
    if (isMore) this.wait(worker)
    return done
  }

  private wait(worker: Worker): void {
    this.lines[worker.usage.line]?.push(worker)
    this.waiting++
  }

  private begin(now: number): void {
    this.begun = true
    this.ends = now + TURN
    setImmediate(this.next)
  }

  private readonly next = (): void => {
    this.begun = false
    if (this.waiting === 0) return
    let now = performance.now()
    this.begin(now)
    // Nobody waits for ever: one of the last line has a share in each turn.
    const last = this.lines.findLast((line) => line.length > 0)?.shift()
    if (last !== undefined) {
      this.waiting--
      now = this.work(last, now)
    }
    while (now < this.ends) {
      const worker = this.lines.find((line) => line.length > 0)?.shift()
      if (worker === undefined) return
      this.waiting--
      now = this.work(worker, now)
    }
  }
}

/** First in, first out. */
class Line {
  private workers: Array<Worker> = []
  private head = 0

  get length(): number {
    return this.workers.length - this.head
  }

  push(worker: Worker): void {
    this.workers.push(worker)
  }

  shift(): Worker | undefined {
    const worker = this.workers[this.head++]
    if (this.head * 2 >= this.workers.length) {
      this.workers = this.workers.slice(this.head)
      this.head = 0
    }
    return worker
  }
}
