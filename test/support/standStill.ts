/** A process that stands still, suspended with its machine or blocked. */
import { Effect } from "effect"
import { nextTurn } from "../../src/internal/leases/turns.js"

/** No timer wakes, and nobody is heard: for half a second longer than a process is late that is only busy. */
export const standStill = Effect.sync(() => {
  for (const until = performance.now() + 1_500; performance.now() < until; );
})

/** What came meanwhile is heard after the timers that are due. */
export const hear = Effect.zipRight(nextTurn, nextTurn)
