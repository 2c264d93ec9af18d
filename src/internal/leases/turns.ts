/**
 * Long work in short turns.
 */
import { Effect } from "effect"

/**
 * Goes on in a later turn of the event loop. `Effect.yieldNow` lets other fibers run, but no timer and no socket; and
 * a sleep would wait for the `TestClock`.
 *
 * @internal
 */
export const nextTurn: Effect.Effect<void> = Effect.async((resume) => {
  // Where there is one, `setImmediate` does not wait the millisecond that a timer does.
  if (typeof setImmediate === "function") setImmediate(() => resume(Effect.void))
  else setTimeout(() => resume(Effect.void), 0)
})

/** How long a turn may be before what remains waits for the next one, in milliseconds of the real clock. */
const TURN = 3

/** Runs a share of some work for as long as it answers that there is more; every few milliseconds in another turn. */
export const inTurns = (share: Effect.Effect<boolean>): Effect.Effect<void> => {
  const goOn = (until: number): Effect.Effect<void> =>
    Effect.flatMap(share, (more) => {
      if (!more) return Effect.void
      return performance.now() < until ? goOn(until) : Effect.zipRight(nextTurn, turn)
    })
  const turn = Effect.suspend(() => goOn(performance.now() + TURN))
  return turn
}
