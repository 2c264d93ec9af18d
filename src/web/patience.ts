/**
 * An end to what an `authorize` may do: one that gives no answer would let who asks wait for ever, and a socket with all that it
 * says; one that dies would take with it all channels of that socket, and an `EventSource` that is answered 500 never comes
 * back. Both refuse with 503, as does one that fails with anything but `Unauthorized`; an answer that is no grant with 403.
 */
import { Cause, Duration, Effect, Exit } from "effect"
import { show } from "../internal/input/names.js"
import { readDuration, readFunction, TIMER } from "../internal/input/options.js"
import { Unauthorized } from "../PresenceError.js"
import type { Authorize } from "./Authorize.js"
import { type Grant, NoGrant, readGrant } from "./Grant.js"
import { sparingly } from "./sparingly.js"

/** Throws `InvalidOption`. */
export const patient = <R>(authorize: Authorize<R>, timeout: Duration.DurationInput = "30 seconds"): Authorize<R> => {
  readFunction("authorize", authorize, "a function that gives an Effect; Authorize.allowAll lets everybody in")
  const duration = readDuration("authorizeTimeout", timeout, TIMER)
  const tellLate = sparingly("authorize gave no answer, so somebody was refused")
  const tellDefect = sparingly("authorize died, so somebody was refused")
  const tellFailure = sparingly("authorize failed with what is no Unauthorized, so somebody was refused")
  const tellNoGrant = sparingly("authorize gave no grant, so somebody was refused")
  const late = Effect.suspend(() => {
    const reason = `authorize gave no answer within ${Duration.format(duration)}`
    const refusal = new Unauthorized({ status: 503, reason })
    return Effect.zipRight(tellLate(Cause.fail(refusal)), Effect.fail(refusal))
  })
  const failed = (status: 403 | 503) => new Unauthorized({ status, reason: "authorization failed" })
  const dead = (defect: unknown) =>
    defect instanceof NoGrant
      ? Effect.zipRight(tellNoGrant(Cause.die(defect)), failed(403))
      : Effect.zipRight(tellDefect(Cause.die(defect)), failed(503))
  const refuse = (error: Unauthorized) =>
    isRefusal(error) ? Effect.fail(error) : Effect.zipRight(tellFailure(Cause.fail(error)), failed(503))
  return (attempt) => {
    try {
      const asked = authorize(attempt)
      // What is known at once waits for nothing.
      if (Exit.isExit(asked)) {
        const exit = asked as Exit.Exit<Grant, Unauthorized>
        if (Exit.isSuccess(exit)) return Exit.succeed(readGrant(exit.value))
        if (Cause.isFailType(exit.cause) && isRefusal(exit.cause.error)) return exit
      } else if (!Effect.isEffect(asked))
        throw new NoGrant(`authorize returned ${what(asked)}, and must return an Effect`)
      return Effect.timeoutTo(asked, { duration, onSuccess: Effect.succeed, onTimeout: () => late }).pipe(
        Effect.flatten,
        Effect.map(readGrant),
        Effect.catchAll(refuse),
        Effect.catchAllDefect(dead)
      )
    } catch (defect) {
      return dead(defect)
    }
  }
}

/** Whoever has no types fails with anything, and what an error says is not for clients. */
const isRefusal = (error: Unauthorized): boolean =>
  typeof error === "object" &&
  error?._tag === "Unauthorized" &&
  typeof error.reason === "string" &&
  [401, 403, 503].includes(error.status)

const what = (answer: unknown): string => (answer instanceof Promise ? "a promise" : show(answer))
