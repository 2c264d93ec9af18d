/**
 * Presence for programs without Effect: promises, async iterators, and routes on the server you have.
 *
 * @module
 * @since 0.2.0
 */
export type { Json } from "../Json.js"
export type { Connection, Diff, Leave, LeaveReason, PresenceChange, Snapshot, Update } from "../PresenceChange.js"
export type { PresenceEntry } from "../PresenceEntry.js"
export {
  InvalidKey,
  InvalidMeta,
  InvalidOption,
  InvalidTopic,
  Lagged,
  LimitExceeded,
  PresenceUnavailable,
  Unauthorized
} from "../PresenceError.js"
export type { PresenceEvent } from "../PresenceEvent.js"
export type { Connect, ConnectionOptions, RedisConnection, Where } from "../redis/client/connection.js"
export type { Grant } from "../web/Grant.js"
export type { Attempt, AttemptRequest, Authorize, JwtOptions } from "./authorize.js"
export { allowAll, jwt } from "./authorize.js"
export { createPresence } from "./createPresence.js"
export type { Duration } from "./Duration.js"
export type {
  IterateOptions,
  NodeLease,
  NodeOptions,
  NodePresence,
  NodeTrackOptions,
  RedisOptions
} from "./NodePresence.js"
export type { Attached, AttachOptions, FetchOptions, RouteLimits } from "./NodeRoutes.js"
