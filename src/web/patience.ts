/**
 * An end to what an `authorize` may do: one that gives no answer would let who asks wait for ever, and a socket with all that it
 * says; one that dies would take with it all channels of that socket, and an `EventSource` that is answered 500 never comes
 * back. Both refuse with 503.
 */
import { Cause, Duration, Effect, Exit } from "effect"
import { readDuration, TIMER } from "../internal/input/options.js"
import { Unauthorized } from "../PresenceError.js"
import type { Authorize } from "./Authorize.js"
import { sparingly } from "./sparingly.js"

/** Throws `InvalidOption`. */
export const patient = <R>(authorize: Authorize<R>, timeout: Duration.DurationInput = "30 seconds"): Authorize<R> => {
  const duration = readDuration("authorizeTimeout", timeout, TIMER)
  const tellLate = sparingly("authorize gave no answer, so somebody was refused")
  const tellDefect = sparingly("authorize died, so somebody was refused")
  const late = Effect.suspend(() => {
    const reason = `authorize gave no answer within ${Duration.format(duration)}`
    const refusal = new Unauthorized({ status: 503, reason })
    return Effect.zipRight(tellLate(Cause.fail(refusal)), Effect.fail(refusal))
  })
  const dead = (defect: unknown) =>
    Effect.zipRight(
      tellDefect(Cause.die(defect)),
      Effect.fail(new Unauthorized({ status: 503, reason: "authorization failed" }))
    )
  return (attempt) => {
    let asked: ReturnType<Authorize<R>>
    try {
      asked = authorize(attempt)
    } catch (defect) {
      return dead(defect)
    }
    // What is known at once waits for nothing.
    if (Exit.isExit(asked) && (Exit.isSuccess(asked) || Cause.isFailure(asked.cause))) return asked
    return Effect.timeoutTo(asked, { duration, onSuccess: Effect.succeed, onTimeout: () => late }).pipe(
      Effect.flatten,
      Effect.catchAllDefect(dead)
    )
  }
}
