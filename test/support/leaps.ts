/**
 * A clock that goes as the machine's, and leaps when it is told to: for what waits for long with real sockets, a real
 * Redis or a real browser, none of which a `TestClock` could move.
 */
import { Clock, Duration, Effect } from "effect"

export interface LeapingClock extends Clock.Clock {
  /** Lets time pass at once. Who sleeps until then wakes. */
  readonly leap: (duration: Duration.DurationInput) => void
  /** Waits until somebody sleeps who began to for so long at least, and no longer than `most`. */
  readonly asleep: (least: Duration.DurationInput, most: Duration.DurationInput) => Effect.Effect<void>
}

interface Sleeper {
  /** How long in all, in ms. */
  readonly ms: number
  /** In ms of the clock. */
  readonly until: number
  readonly wake: () => void
}

export const leapingClock = (): LeapingClock => {
  const real = Clock.make()
  const sleepers = new Set<Sleeper>()
  let ahead = 0
  const millis = (): number => real.unsafeCurrentTimeMillis() + ahead
  const nanos = (): bigint => real.unsafeCurrentTimeNanos() + BigInt(ahead) * 1_000_000n
  return {
    ...real,
    unsafeCurrentTimeMillis: millis,
    currentTimeMillis: Effect.sync(millis),
    unsafeCurrentTimeNanos: nanos,
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async((resume) => {
        const ms = Duration.toMillis(duration)
        // A timer knows no more.
        const timer = setTimeout(() => sleeper.wake(), Math.min(ms, 2 ** 31 - 1))
        const end = (): void => {
          clearTimeout(timer)
          sleepers.delete(sleeper)
        }
        const sleeper: Sleeper = {
          ms,
          until: millis() + ms,
          wake: () => {
            end()
            resume(Effect.void)
          }
        }
        sleepers.add(sleeper)
        return Effect.sync(end)
      }),
    leap: (duration) => {
      ahead += Duration.toMillis(duration)
      const due = [...sleepers].filter(({ until }) => until <= millis())
      for (const { wake } of due.sort((a, b) => a.until - b.until)) wake()
    },
    asleep: (least, most) =>
      Effect.async((resume) => {
        const looks = setInterval(() => {
          const between = ({ ms }: Sleeper) => ms >= Duration.toMillis(least) && ms <= Duration.toMillis(most)
          if (![...sleepers].some(between)) return
          clearInterval(looks)
          resume(Effect.void)
        }, 5)
        return Effect.sync(() => clearInterval(looks))
      })
  }
}
