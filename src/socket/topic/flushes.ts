/**
 * When the topics of a route tell what they have gathered: a fixed time after the first change, with one timer for all, and
 * in turns of the event loop where that is much. One that cannot tell keeps no other waiting.
 */
import { Cause, Duration, Effect } from "effect"
import type { Tell } from "../../web/sparingly.js"
import { Turns } from "../../web/turns.js"

/** What is to be flushed, once for each time that it is put in line. */
export interface Flushable {
  readonly flush: () => void
}

export class Flushes {
  /** In the order in which they are due, since all wait equally long. */
  private line: Array<{ readonly topic: Flushable; readonly due: number }> = []
  private sleeping = false
  private readonly turns = new Turns()

  constructor(
    private readonly interval: Duration.Duration,
    /** Milliseconds of a clock that never goes back. */
    private readonly now: () => number,
    /** Runs it until the route's end. */
    private readonly run: (effect: Effect.Effect<void>) => void,
    private readonly tellDefect: Tell
  ) {
    this.millis = Duration.toMillis(interval)
  }

  private readonly millis: number

  /** Whether changes are told one by one, at once. */
  get immediate(): boolean {
    return this.millis === 0
  }

  add(topic: Flushable): void {
    this.line.push({ topic, due: this.now() + this.millis })
    if (this.sleeping) return
    this.sleeping = true
    this.run(this.sleep(this.interval))
  }

  /** In a later turn, after all others who wait for one. */
  later(topic: Flushable): void {
    this.turns.add(() => this.flush(topic))
  }

  /** Now. What it throws is told in the log alone. */
  flush(topic: Flushable): void {
    try {
      topic.flush()
    } catch (defect) {
      this.run(this.tellDefect(Cause.die(defect)))
    }
  }

  private sleep(time: Duration.Duration): Effect.Effect<void> {
    return Effect.zipRight(Effect.sleep(time), this.wake)
  }

  private readonly wake: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.now()
    // A timer may wake a little early, and then a little is no time to sleep for.
    const next = this.line.findIndex(({ due }) => due > now + 1)
    const due = next === -1 ? this.line : this.line.slice(0, next)
    this.line = next === -1 ? [] : this.line.slice(next)
    for (const { topic } of due) this.turns.do(() => this.flush(topic))
    const [first] = this.line
    if (first !== undefined) return this.sleep(Duration.millis(Math.max(1, first.due - now)))
    this.sleeping = false
    return Effect.void
  })
}
