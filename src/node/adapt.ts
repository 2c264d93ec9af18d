/**
 * A function without Effect that says who may, as the routes ask it, with an answer that is checked.
 */
import { Cause, Effect } from "effect"
import { isPlain } from "../internal/input/json.js"
import { show } from "../internal/input/names.js"
import { InvalidOption, Unauthorized } from "../PresenceError.js"
import type * as Web from "../web/Authorize.js"
import type { Grant } from "../web/Grant.js"
import { sparingly } from "../web/sparingly.js"
import type { Attempt, Authorize } from "./authorize.js"

/** Throws `InvalidOption`. */
export const adapt = (authorize: Authorize): Web.Authorize => {
  if (typeof authorize !== "function") {
    throw new InvalidOption({
      option: "authorize",
      value: show(authorize),
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
      Effect.catchAll((error) =>
        error instanceof Unauthorized
          ? Effect.fail(error)
          : Effect.zipRight(
              tell(Cause.die(error)),
              // Whatever it asked may answer again; what is no grant will not become one.
              new Unauthorized({ status: error instanceof NoGrant ? 403 : 503, reason: "authorization failed" })
            )
      )
    )
}

class NoGrant extends TypeError {}

const known: Record<keyof Grant, true> = { key: true, meta: true, clientMeta: true, expires: true }

/**
 * Whoever returns nothing, or no key by mistake, grants nothing; nor does an error or a response that is returned where it
 * would be thrown, or an end by another name, which would let in for ever.
 */
const readGrant = (grant: Grant): Grant => {
  if (typeof grant !== "object" || grant === null || !isPlain(Object.getPrototypeOf(grant))) {
    const what = typeof grant === "object" ? (grant as object | null)?.constructor?.name : undefined
    throw new NoGrant(
      `authorize answered ${what === undefined ? show(grant) : `an object of ${what}`}, and must answer a grant, such as { key }, or throw`
    )
  }
  const other = Object.keys(grant).find((name) => !Object.hasOwn(known, name))
  if (other !== undefined) {
    throw new NoGrant(`authorize granted ${show(other)}, and a grant has ${Object.keys(known).join(", ")}`)
  }
  const { key, expires, clientMeta } = grant
  if (key !== undefined && typeof key !== "string") {
    throw new NoGrant(`authorize granted a key that is a ${typeof key}, and must be a string or left out`)
  }
  if (expires !== undefined && (typeof expires !== "number" || Number.isNaN(expires))) {
    throw new NoGrant(`authorize granted until ${show(expires)}, and must say milliseconds since the epoch or nothing`)
  }
  if (clientMeta !== undefined && typeof clientMeta !== "boolean") {
    throw new NoGrant("authorize granted a clientMeta that is neither true nor false")
  }
  return grant
}
