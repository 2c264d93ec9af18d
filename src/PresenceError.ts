/**
 * What can be refused or fail, each error with the value it is about and what was allowed.
 *
 * Values are cut after 64 characters, so that an error never carries what was too long.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The topic is empty, holds a lone surrogate, or is no string.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTopic extends Schema.TaggedError<InvalidTopic>("effect-presence/InvalidTopic")("InvalidTopic", {
  topic: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid topic ${JSON.stringify(this.topic)}: ${this.reason}`
  }
}

/**
 * The key is empty, holds a lone surrogate, or is no string. The `topic` of who asks about all of them is empty.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidKey extends Schema.TaggedError<InvalidKey>("effect-presence/InvalidKey")("InvalidKey", {
  topic: Schema.String,
  key: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    const where = this.topic === "" ? "" : ` on topic ${JSON.stringify(this.topic)}`
    return `invalid key ${JSON.stringify(this.key)}${where}: ${this.reason}`
  }
}

/**
 * The meta is no JSON value, or does not fit the schema. `path` names the place, `$` is the meta itself: `$.cursor[0]`.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidMeta extends Schema.TaggedError<InvalidMeta>("effect-presence/InvalidMeta")("InvalidMeta", {
  topic: Schema.String,
  key: Schema.String,
  path: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid meta of ${JSON.stringify(this.key)} on topic ${JSON.stringify(this.topic)} at ${this.path}: ${this.reason}`
  }
}

/**
 * The names of the limits, as in the option `limits`.
 *
 * @since 0.1.0
 * @category errors
 */
export const LimitName = Schema.Literal(
  "topicBytes",
  "keyBytes",
  "metaBytes",
  "metaDepth",
  "connectionsPerKey",
  "keysPerTopic",
  "metaTotal"
)

/**
 * The name of a limit.
 *
 * @since 0.1.0
 * @category errors
 */
export type LimitName = typeof LimitName.Type

/**
 * Something is over a limit. `limit` is the option to raise, `max` what it allows, `actual` how far counting went
 * (it stops at the first that is too much), `value` the topic, the key, or the place in the meta.
 *
 * @since 0.1.0
 * @category errors
 */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>("effect-presence/LimitExceeded")("LimitExceeded", {
  limit: LimitName,
  max: Schema.Finite,
  actual: Schema.Finite,
  value: Schema.String
}) {
  override get message(): string {
    return `${JSON.stringify(this.value)} is over the limit ${this.limit}: ${this.actual}, at most ${this.max}`
  }
}

/**
 * An option makes no sense: `value` is what was given, `allowed` what it may be. `track` fails with it; a layer whose
 * own options are wrong dies with it, and one that reads them from a `Config` fails with a `ConfigError` that says so.
 *
 * @since 0.2.0
 * @category errors
 */
export class InvalidOption extends Schema.TaggedError<InvalidOption>("effect-presence/InvalidOption")("InvalidOption", {
  option: Schema.String,
  value: Schema.String,
  allowed: Schema.String
}) {
  override get message(): string {
    return `the option ${this.option} is ${this.value}, but must be ${this.allowed}`
  }
}

/**
 * A subscriber was more than its capacity behind: the oldest `missed` are lost to it. Taking again goes on with the
 * oldest that was kept. The `topic` of who listens to all of them is empty.
 *
 * @since 0.1.0
 * @category errors
 */
export class Lagged extends Schema.TaggedError<Lagged>("effect-presence/Lagged")("Lagged", {
  topic: Schema.String,
  missed: Schema.Finite
}) {
  override get message(): string {
    return `a subscriber of ${this.topic === "" ? "all topics" : JSON.stringify(this.topic)} was too slow and missed ${this.missed}`
  }
}

/**
 * Who asks may not. `reason` is told to the client. The status is 401, 403 (the default), or 503 where it cannot be told
 * at the moment whether they may: who is answered 503 comes back, also an `EventSource`, which any other keeps away for good.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("effect-presence/Unauthorized")("Unauthorized", {
  status: Schema.optionalWith(Schema.Literal(401, 403, 503), { default: () => 403 as const }),
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/**
 * A backend did not answer; `cause` is what it said. The in-process layer never fails so.
 *
 * @since 0.1.0
 * @category errors
 */
export class PresenceUnavailable extends Schema.TaggedError<PresenceUnavailable>("effect-presence/PresenceUnavailable")(
  "PresenceUnavailable",
  { reason: Schema.String, cause: Schema.optional(Schema.Defect) }
) {
  override get message(): string {
    return `presence is unavailable: ${this.reason}`
  }
}

/**
 * The schema of what `track` and `update` may fail with.
 *
 * @since 0.2.0
 * @category errors
 */
export const TrackError = Schema.Union(
  InvalidTopic,
  InvalidKey,
  InvalidMeta,
  InvalidOption,
  LimitExceeded,
  PresenceUnavailable
).annotations({ identifier: "TrackError" })

/**
 * What `track` and `update` may fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type TrackError = typeof TrackError.Type
