/**
 * What authorize answers.
 *
 * @since 0.1.0
 */
import { isPlain } from "../internal/input/json.js"
import { show } from "../internal/input/names.js"

/**
 * Yes, and as whom.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grant {
  /** Who it is. Without a key they may watch and are not tracked. */
  readonly key?: string | undefined
  /** What their connection carries, any JSON value. Default `{}`. */
  readonly meta?: unknown
  /** Whether pushes over the socket may replace the meta. Default true. */
  readonly clientMeta?: boolean | undefined
  /**
   * When the grant ends, in milliseconds since the epoch. Then the channel ends with `phx_error`, unless an
   * `access_token` push brought a later end: its client joins again by itself, at once and with the newer token if its
   * parameters bring one; a grant that has ended already refuses the join with `unauthorized`, and the client tries
   * again with its own back-off. Over HTTP the stream of events ends. Default never.
   */
  readonly expires?: number | undefined
}

/**
 * Whether it has ended. One whose end is no number has: nobody stays for ever because a date could not be read.
 *
 * @internal
 */
export const hasEnded = ({ expires }: Pick<Grant, "expires">, now: number): boolean =>
  expires !== undefined && !(expires > now)

/**
 * What whoever asks is told of a grant that has ended already: let in with it they would be put out at once, and come again at
 * once, for ever. An end in the first months of 1970 that is one of these years in seconds, as tokens have it, nobody would find
 * by the refusal alone.
 *
 * @internal
 */
export const whyEnded = ({ expires }: Grant, now: number): string | undefined => {
  if (expires === undefined || !hasEnded({ expires }, now)) return undefined
  return expires > now / 2_000 && expires < now / 100
    ? "unauthorized: the grant ended in 1970, as its end is in milliseconds since the epoch"
    : "unauthorized"
}

/**
 * Of an answer that is none: whatever else may change, asked again it would be the same.
 *
 * @internal
 */
export class NoGrant extends TypeError {}

const known: Record<keyof Grant, true> = { key: true, meta: true, clientMeta: true, expires: true }

/**
 * An answer of a program, as it is now: whoever returns nothing, or no key by mistake, grants nothing; nor does an error or a
 * response that is returned where it would be thrown, or an end by another name, which would let in for ever. Throws
 * `NoGrant`, or what reading it throws.
 *
 * @internal
 */
export const readGrant = (answer: Grant): Grant => {
  if (typeof answer !== "object" || answer === null || !isPlain(Object.getPrototypeOf(answer))) {
    const what = typeof answer === "object" ? (answer as object | null)?.constructor?.name : undefined
    throw new NoGrant(
      `authorize answered ${what === undefined ? show(answer) : `an object of ${what}`}, and must answer a grant, such as { key }, or refuse`
    )
  }
  for (const name in answer) {
    if (Object.hasOwn(known, name) || !Object.hasOwn(answer, name)) continue
    throw new NoGrant(`authorize granted ${show(name)}, and a grant has ${Object.keys(known).join(", ")}`)
  }
  const { key, meta, expires, clientMeta } = answer
  if (key !== undefined && typeof key !== "string") {
    const what = key === null ? "null" : `a ${typeof key}`
    throw new NoGrant(`authorize granted a key that is ${what}, and must be a string or left out`)
  }
  if (expires !== undefined && (typeof expires !== "number" || Number.isNaN(expires))) {
    throw new NoGrant(`authorize granted until ${show(expires)}, and must say milliseconds since the epoch or nothing`)
  }
  if (clientMeta !== undefined && typeof clientMeta !== "boolean") {
    throw new NoGrant("authorize granted a clientMeta that is neither true nor false")
  }
  return { key, meta, expires, clientMeta }
}
