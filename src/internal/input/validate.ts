/**
 * What is refused, as the errors that users see.
 */
import { ParseResult } from "effect"
import { InvalidKey, InvalidMeta, InvalidTopic, LimitExceeded } from "../../PresenceError.js"
import type { Full } from "../state/registry.js"
import { copy, type Value } from "./json.js"
import { checkName, cut } from "./names.js"
import type { InputLimits } from "./options.js"

/** A meta as it is stored, or why it is not. */
export type CheckedMeta = { readonly value: Value } | InvalidMeta | LimitExceeded

export const checkTopic = (topic: unknown, limits: InputLimits): InvalidTopic | LimitExceeded | undefined => {
  const refusal = checkName(topic, limits.topicBytes)
  if (refusal === undefined) return undefined
  return refusal._tag === "Invalid"
    ? new InvalidTopic({ topic: cut(topic), reason: refusal.reason })
    : new LimitExceeded({ limit: "topicBytes", max: limits.topicBytes, actual: refusal.actual, value: cut(topic) })
}

export const checkKey = (topic: string, key: unknown, limits: InputLimits): InvalidKey | LimitExceeded | undefined => {
  const refusal = checkName(key, limits.keyBytes)
  if (refusal === undefined) return undefined
  return refusal._tag === "Invalid"
    ? new InvalidKey({ topic: cut(topic), key: cut(key), reason: refusal.reason })
    : new LimitExceeded({ limit: "keyBytes", max: limits.keyBytes, actual: refusal.actual, value: cut(key) })
}

export const checkMeta = (topic: string, key: string, meta: unknown, limits: InputLimits): CheckedMeta => {
  const copied = copy(meta, limits)
  if ("value" in copied) return copied
  switch (copied._tag) {
    case "Invalid":
      return new InvalidMeta({ topic: cut(topic), key: cut(key), path: copied.path, reason: copied.reason })
    case "TooDeep":
      return new LimitExceeded({
        limit: "metaDepth",
        max: limits.metaDepth,
        actual: copied.actual,
        value: copied.path
      })
    case "TooLarge":
      return new LimitExceeded({ limit: "metaBytes", max: limits.metaBytes, actual: copied.actual, value: cut(key) })
  }
}

/** A schema encodes to nothing at all. */
export const noMeta = (topic: string, key: string): InvalidMeta =>
  new InvalidMeta({ topic: cut(topic), key: cut(key), path: "$", reason: "is undefined, which JSON cannot say" })

/** A meta that does not fit its schema, either way. */
export const unfitMeta = (topic: string, key: string, error: ParseResult.ParseError): InvalidMeta => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  const path = (issue?.path ?? []).map((name) => (typeof name === "number" ? `[${name}]` : `.${String(name)}`))
  return new InvalidMeta({
    topic: cut(topic),
    key: cut(key),
    path: cut(`$${path.join("")}`),
    reason: issue?.message ?? "does not fit its schema"
  })
}

/** What is at its limit, for the one who came too late. */
export const overFull = ({ limit, max, actual }: Full, topic: string, key: string): LimitExceeded =>
  new LimitExceeded({
    limit,
    max,
    actual,
    value: cut(limit === "keysPerTopic" ? topic : key)
  })
