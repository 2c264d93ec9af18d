/**
 * What clients can make fail as often as they like is told once a minute, with how often it was since: nobody fills a log
 * by it. The others are there at debug.
 */
import { type Cause, Effect } from "effect"

const MINUTE = 60_000_000_000

/** Tells of failures of one kind. */
export type Tell = (cause: Cause.Cause<unknown>) => Effect.Effect<void>

export const sparingly = (what: string): Tell => {
  let told = Number.NEGATIVE_INFINITY
  let untold = 0
  return (cause) =>
    Effect.clockWith((clock) => {
      const now = Number(clock.unsafeCurrentTimeNanos())
      if (now - told < MINUTE) {
        untold++
        return Effect.logDebug(what, cause)
      }
      const more = untold === 0 ? "" : `; ${untold} more since this was told last, which are at debug`
      told = now
      untold = 0
      return Effect.logError(`${what}${more}`, cause)
    }).pipe(Effect.annotateLogs({ package: "effect-presence" }))
}
