/**
 * Long work in short turns.
 */
import { Effect } from "effect"

/**
 * Goes on in a later turn of the event loop. `Effect.yieldNow` lets other fibers run, but no timer and no socket; and
 * a sleep would wait for the `TestClock`.
 */
export const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  // Where there is one, `setImmediate` does not wait the millisecond that a timer does.
  if (typeof setImmediate === "function") setImmediate(() => resume(Effect.void))
  else setTimeout(() => resume(Effect.void), 0)
})
