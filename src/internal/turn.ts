/**
 * Long work in short turns.
 */
import { Effect } from "effect"

/**
 * Goes on in a later turn of the event loop. `Effect.yieldNow` lets other fibers run, but no timer and no socket; and
 * a sleep would wait for the `TestClock`.
 */
export const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  setTimeout(() => resume(Effect.void), 0)
})
