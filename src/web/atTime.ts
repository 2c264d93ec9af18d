/** Waiting for a date. */
import { Clock, Effect } from "effect"

/** Milliseconds after which the clock is looked at again, which may have been set or have stood still meanwhile. */
const LOOK = 5_000

/** Until a time by the clock on the wall, however far away. */
export const atTime = (time: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    !(time > now) ? Effect.void : Effect.zipRight(Effect.sleep(Math.min(time - now, LOOK)), atTime(time))
  )
