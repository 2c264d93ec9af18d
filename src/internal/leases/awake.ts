/**
 * Waits for what somebody else has time to do: to refresh, to come back.
 *
 * A process that stands still, suspended with its machine or blocked, hears nobody; and when it goes on its timers come
 * first, before all that has come meanwhile. Whoever was only not heard would be gone by that, so the time that a process
 * stood still is nobody's silence.
 */
import { Duration, Effect } from "effect"

/** Milliseconds that a timer may be late in a process that is only busy. */
const LATE = 1_000

/** Until what came meanwhile was heard, and those have come back who gave their connection up. */
const HEARD = Duration.seconds(5)

/** How often it waits so at the most: where a process stands still all the time, some have gone all the same. */
const TIMES = 6

/** Sleeps, and a little longer where the process stood still: by its own clock and by the real one, as that of a test leaps. */
export const sleepAwake = (duration: Duration.Duration, times = TIMES): Effect.Effect<void> =>
  Effect.clockWith((clock) => {
    const since = { now: clock.unsafeCurrentTimeNanos(), real: performance.now() }
    return Effect.flatMap(clock.sleep(duration), () => {
      const passed = Math.min(Number(clock.unsafeCurrentTimeNanos() - since.now) / 1e6, performance.now() - since.real)
      return times > 0 && passed - Duration.toMillis(duration) > LATE ? sleepAwake(HEARD, times - 1) : Effect.void
    })
  })
