/**
 * A function without Effect that says who may, as the routes ask it: with an end to its time, and an answer that is checked.
 */
import { Cause, Duration, Effect } from "effect"
import { readDuration, TIMER } from "../internal/input/options.js"
import { InvalidOption, Unauthorized } from "../PresenceError.js"
import type * as Web from "../web/Authorize.js"
import type { Grant } from "../web/Grant.js"
import type { Attempt, Authorize } from "./authorize.js"
import type { Duration as NodeDuration } from "./Duration.js"
import { sparingly } from "./sparingly.js"

/** Throws `InvalidOption`. */
export const adapt = (authorize: Authorize, timeout: NodeDuration = "10 seconds"): Web.Authorize => {
  const duration = readDuration("authorizeTimeout", timeout, TIMER)
  if (typeof authorize !== "function") {
    throw new InvalidOption({
      option: "authorize",
      value: String(authorize),
      allowed: "a function that returns a grant or throws; allowAll lets everybody in"
    })
  }
  const tell = sparingly("authorize failed, so somebody was refused")
  return (attempt) =>
    Effect.tryPromise({
      // Of the request it is told less; it is the same object.
      try: async (signal) => readGrant(await authorize({ ...attempt, signal } as unknown as Attempt)),
      catch: (error) => error
    }).pipe(
      Effect.timeoutFail({ duration, onTimeout: () => new NoAnswer(duration) }),
      Effect.catchAll((error) => {
        if (error instanceof Unauthorized) return Effect.fail(error)
        const reason = error instanceof NoAnswer ? error.message : "authorization failed"
        return Effect.zipRight(tell(Cause.die(error)), Effect.fail(new Unauthorized({ reason })))
      })
    )
}

class NoAnswer extends Error {
  constructor(duration: Duration.Duration) {
    super(`authorize gave no answer within ${Duration.format(duration)}`)
  }
}

/** Whoever returns nothing, or no key by mistake, grants nothing. */
const readGrant = (grant: Grant): Grant => {
  const what = typeof grant !== "object" || grant === null ? String(grant) : undefined
  if (what !== undefined) throw new TypeError(`authorize answered ${what}, and must answer a grant, such as { key }`)
  const { key, expires, clientMeta } = grant
  if (key !== undefined && typeof key !== "string") {
    throw new TypeError(`authorize granted a key that is a ${typeof key}, and must be a string or left out`)
  }
  if (expires !== undefined && (typeof expires !== "number" || Number.isNaN(expires))) {
    throw new TypeError(
      `authorize granted until ${String(expires)}, and must say milliseconds since the epoch or nothing`
    )
  }
  if (clientMeta !== undefined && typeof clientMeta !== "boolean") {
    throw new TypeError("authorize granted a clientMeta that is neither true nor false")
  }
  return grant
}
