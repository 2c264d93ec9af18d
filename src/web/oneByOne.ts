/**
 * Effects of many, one after the other, in the order in which they came. Each that is over lets one more go on; a semaphore of
 * Effect's wakes all who wait, each time, and each of them holds more with every time: two thousand who wait took a minute
 * of processor, and four thousand all memory.
 */
import { Effect } from "effect"

interface Place {
  go: () => void
}

export class OneByOne {
  /** Who is first in it has their turn. */
  private line: Array<Place> = []

  /** Whoever is interrupted waits no longer. */
  run<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) => {
      const place: Place = { go: () => {} }
      this.line.push(place)
      const turn = Effect.async<void>((resume) => {
        place.go = () => resume(Effect.void)
        if (this.line[0] === place) place.go()
      })
      return Effect.ensuring(
        restore(Effect.zipRight(turn, effect)),
        Effect.sync(() => this.leave(place))
      )
    })
  }

  private leave(place: Place): void {
    const had = this.line[0] === place
    this.line.splice(this.line.indexOf(place), 1)
    if (had) this.line[0]?.go()
  }
}
