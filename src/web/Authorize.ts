/**
 * Who may connect, join and read: a function of your own, asked by every route before anything else happens.
 *
 * There is no default. {@link allowAll} lets everybody do everything, under whatever key they name: a choice that
 * somebody writes down.
 *
 * @since 0.1.0
 */
import type { HttpServerRequest } from "@effect/platform"
import { Effect } from "effect"
import type { Json } from "../Json.js"
import { Unauthorized } from "../PresenceError.js"

/**
 * What somebody asks for.
 *
 * - `read`: to see a topic over HTTP, also to follow it without being tracked.
 * - `join`: to join a topic over a socket, or over HTTP to be tracked under the `key` of the query.
 * - `connect`: to open a socket. The topics come later, so `topic` is `undefined`.
 *
 * @since 0.1.0
 * @category models
 */
export type Attempt =
  | (Asked & { readonly on: "connect"; readonly topic: undefined })
  | (Asked & { readonly on: "join" | "read"; readonly topic: string })

interface Asked {
  /** The HTTP request; for a socket the one that opened it. */
  readonly request: HttpServerRequest.HttpServerRequest
  /** The payload of the join; over HTTP the parameters of the query, all of them texts but `meta`, which is read as JSON. */
  readonly payload: { readonly [name: string]: Json }
}

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
 * The hook: a {@link Grant}, or {@link Unauthorized} with the status and the reason that the client is told.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Unauthorized } from "effect-presence"
 * import type { Authorize } from "effect-presence/http"
 *
 * const authorize: Authorize.Authorize = ({ request, topic }) =>
 *   request.headers["x-user"] === undefined
 *     ? Effect.fail(new Unauthorized({ status: 401, reason: "who are you?" }))
 *     : topic === "staff"
 *       ? Effect.fail(new Unauthorized({ reason: "staff only" }))
 *       : Effect.succeed({ key: request.headers["x-user"] })
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export type Authorize<R = never> = (attempt: Attempt) => Effect.Effect<Grant, Unauthorized, R>

/**
 * Everybody may do everything. `key` and `meta` are those of the payload; without a `key` they watch.
 *
 * @since 0.1.0
 * @category constructors
 */
export const allowAll: Authorize = ({ payload: { key, meta } }) => {
  if (key === undefined) return Effect.succeed({})
  if (typeof key !== "string") return Effect.fail(new Unauthorized({ reason: "key is no string" }))
  return Effect.succeed(meta === undefined ? { key } : { key, meta })
}
