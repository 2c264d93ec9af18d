/**
 * An end to the time that an `authorize` may take: who asks would wait for ever, and a socket with all that it says.
 */
import { Cause, Duration, Effect, Exit } from "effect"
import { readDuration, TIMER } from "../internal/input/options.js"
import { Unauthorized } from "../PresenceError.js"
import type { Authorize } from "./Authorize.js"
import { sparingly } from "./sparingly.js"

/** Interrupts one that gives no answer in time, and refuses. Throws `InvalidOption`. */
export const patient = <R>(authorize: Authorize<R>, timeout: Duration.DurationInput = "30 seconds"): Authorize<R> => {
  const duration = readDuration("authorizeTimeout", timeout, TIMER)
  const tell = sparingly("authorize gave no answer, so somebody was refused")
  const late = Effect.suspend(() => {
    const refusal = new Unauthorized({
      status: 503,
      reason: `authorize gave no answer within ${Duration.format(duration)}`
    })
    return Effect.zipRight(tell(Cause.fail(refusal)), Effect.fail(refusal))
  })
  return (attempt) => {
    const asked = authorize(attempt)
    // What is known at once waits for nothing.
    if (Exit.isExit(asked)) return asked
    return Effect.flatten(Effect.timeoutTo(asked, { duration, onSuccess: Effect.succeed, onTimeout: () => late }))
  }
}
