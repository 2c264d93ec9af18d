/** Waiting for a date. */
import { Clock, Effect } from "effect"

const DAY = 86_400_000

/** Until a time by the clock on the wall, however far away: a timer of more than 24 days never goes off. */
export const atTime = (time: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now >= time ? Effect.void : Effect.zipRight(Effect.sleep(Math.min(time - now, DAY)), atTime(time))
  )
