/**
 * Who may keep the process busy, and for how long: in one turn of the event loop all sockets of a route together have some
 * milliseconds, more where others make turns long. Who has more to do than fits waits in line. Whoever comes has one
 * message taken before those who had theirs go on, a small share each: so who says little waits for none of those who say
 * much. A crowd that is about to come in waits in a line of its own, so that those who are in do not stand behind it.
 * Whoever's last share was long waits in another line, of which one has a turn, so that nobody else waits for more than one
 * of them.
 */

/** Milliseconds that all take in a turn: these, or as many as the rest of the process took of the one before, up to the most. */
const TURN = 5
const MOST = 20

/** Milliseconds that one takes before the next. */
const SHARE = 0.25

/** Milliseconds of a share from which on somebody is costly: one message may take more than a share. */
const COSTLY = 2

export interface Worker {
  /** Whether it is not in yet: whoever is goes first. */
  readonly isNew: boolean
  /** Takes a message, and others until then, by `performance.now`. Whether there is more to do. */
  readonly work: (until: number) => boolean
}

export class FairTurns {
  private readonly coming = new Line()
  private readonly newcomers = new Line()
  private readonly goingOn = new Line()
  private readonly costly = new Line()
  private readonly known = new WeakSet<Worker>()
  private ends = 0
  private begun = false

  /** Lets one work: at once where there is time and nobody waits, else in line. Whoever is in line is not to come again. */
  run(worker: Worker): void {
    const now = performance.now()
    if (!this.begun) this.begin(now, TURN)
    if (this.known.has(worker)) this.costly.push(worker)
    else if (this.isBusy || now >= this.ends) (worker.isNew ? this.newcomers : this.coming).push(worker)
    else this.work(worker, now, now + SHARE)
  }

  private get isBusy(): boolean {
    return this.coming.length > 0 || this.newcomers.length > 0 || this.goingOn.length > 0
  }

  /** Gives one its share, and a place in line if there is more to do. When that was over. */
  private work(worker: Worker, now: number, until: number): number {
    const isMore = worker.work(Math.min(this.ends, until))
    const done = performance.now()
    const isCostly = done - now > COSTLY
    if (isCostly) this.known.add(worker)
    else this.known.delete(worker)
    if (isMore) (isCostly ? this.costly : this.goingOn).push(worker)
    return done
  }

  private begin(now: number, time: number): void {
    this.begun = true
    this.ends = now + time
    setImmediate(this.next)
  }

  private readonly next = (): void => {
    this.begun = false
    if (!this.isBusy && this.costly.length === 0) return
    let now = performance.now()
    this.begin(now, Math.min(MOST, Math.max(TURN, now - this.ends)))
    for (let left = this.coming.length; left > 0 && now < this.ends; left--) now = this.give(this.coming, now, now)
    // Of the others one at the least: nobody waits for ever, however many come.
    now = this.giveSome(this.goingOn, now, SHARE, this.newcomers.length > 0 ? (now + this.ends) / 2 : this.ends)
    now = this.giveSome(this.newcomers, now, 0, this.ends)
    this.give(this.costly, now, now + SHARE)
  }

  /** To those in a line until then, and in any case to the first. When that was over. */
  private giveSome(line: Line, from: number, share: number, until: number): number {
    let left = line.length
    let now = from
    do now = this.give(line, now, now + share)
    while (--left > 0 && now < until)
    return now
  }

  /** To the first in a line. When that was over. */
  private give(line: Line, now: number, until: number): number {
    const worker = line.shift()
    return worker === undefined ? now : this.work(worker, now, until)
  }
}

/** First in, first out. */
class Line {
  private workers: Array<Worker> = []
  private first = 0

  get length(): number {
    return this.workers.length - this.first
  }

  push(worker: Worker): void {
    this.workers.push(worker)
  }

  shift(): Worker | undefined {
    if (this.length === 0) return undefined
    const worker = this.workers[this.first++]
    if (this.first * 2 >= this.workers.length) {
      this.workers = this.workers.slice(this.first)
      this.first = 0
    }
    return worker
  }
}
