/**
 * A function without Effect that says who may, as the routes ask it, who check what it answers.
 */
import { Cause, Effect } from "effect"
import { readFunction } from "../internal/input/options.js"
import { Unauthorized } from "../PresenceError.js"
import type * as Web from "../web/Authorize.js"
import { sparingly } from "../web/sparingly.js"
import type { Attempt, Authorize } from "./authorize.js"

/** Throws `InvalidOption`. */
export const adapt = (authorize: Authorize): Web.Authorize => {
  readFunction("authorize", authorize, "a function that returns a grant or throws; allowAll lets everybody in")
  const tell = sparingly("authorize failed, so somebody was refused")
  return (attempt) =>
    Effect.tryPromise({
      // Of the request it is told less; it is the same object.
      try: async (signal) => authorize({ ...attempt, signal } as unknown as Attempt),
      catch: (error) => error
    }).pipe(
      Effect.catchAll((error) =>
        error instanceof Unauthorized
          ? Effect.fail(error)
          : Effect.zipRight(
              tell(Cause.die(error)),
              // Whatever it asked may answer again.
              new Unauthorized({ status: 503, reason: "authorization failed" })
            )
      )
    )
}
