/**
 * The handle on one connection, owned by a `Scope`.
 *
 * @since 0.1.0
 */
import type { Effect } from "effect"
import type { Json } from "./Json.js"
import type { LeaveReason } from "./PresenceChange.js"
import type { PresenceUnavailable, TrackError } from "./PresenceError.js"

/**
 * What `track` returns. `A` is the type of the meta, `I` what an update may be given.
 *
 * Closing the scope ends it. Once evicted or released it stays ended: its effects store nothing. An expired one is
 * still a lease: `refresh` or `update` brings it back as a new connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease<A = Json, I = unknown> {
  readonly topic: string
  readonly key: string
  /** The connection's current ref. It changes with the meta and with a rejoin. */
  readonly ref: string
  /** Starts the ttl anew. `rejoined`: it had expired and is present again, last among its key's metas. */
  readonly refresh: Effect.Effect<"renewed" | "rejoined" | "evicted" | "released", PresenceUnavailable>
  /**
   * Replaces the meta (never merges): one `update` event. It does not start the ttl anew. An equal meta changes
   * nothing and is `updated`. A function gets the current meta; one that throws is a defect and changes nothing.
   */
  update(f: (meta: A) => I): Effect.Effect<"updated" | "rejoined" | "evicted" | "released", TrackError>
  /** The same with a meta instead of a function. */
  update(meta: I): Effect.Effect<"updated" | "rejoined" | "evicted" | "released", TrackError>
  /** Ends it now, whatever its `leaveDelay`. Again: nothing. */
  readonly release: Effect.Effect<void>
  /** Completes with the reason when it has ended. Expiry is no end while the scope is open. */
  readonly ended: Effect.Effect<LeaveReason>
}
