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
import type { Grant } from "./Grant.js"
import { type JwtOptions, jwt as makeJwt } from "./tokens.js"

/**
 * What somebody asks for.
 *
 * - `read`: to see a topic over HTTP or RPC, also to follow it without being tracked.
 * - `join`: to join a topic over a socket or by RPC, or over HTTP to be tracked under the `key` of the query; by RPC also to
 *   update one's meta.
 * - `connect`: to open a socket. The topics come later, so `topic` is `undefined`.
 *
 * @since 0.1.0
 * @category models
 */
export type Attempt =
  | (Asked & { readonly on: "connect"; readonly topic: undefined })
  | (Asked & { readonly on: "join" | "read"; readonly topic: string })

/**
 * @inline
 */
interface Asked {
  /** What they ask by. Some clients send their token elsewhere over a socket than over HTTP. */
  readonly route: "http" | "socket" | "rpc"
  /**
   * The HTTP request; for a socket the one that opened it. By RPC the one that carries the call, with the headers of the
   * call beside its own, which win; where none does (a worker) it has only those of the call.
   */
  readonly request: HttpServerRequest.HttpServerRequest
  /**
   * The payload of the join; over HTTP the parameters of the query, all of them texts but `meta`, which is read as JSON; by
   * RPC that of the procedure, encoded.
   */
  readonly payload: { readonly [name: string]: Json }
}

/**
 * Yes, and as whom.
 *
 * @since 0.1.0
 */
export type { Grant } from "./Grant.js"

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

/**
 * How tokens may be signed.
 *
 * @since 0.2.0
 */
export type { Algorithm } from "./tokenKeys.js"
/**
 * How tokens are checked.
 *
 * @since 0.2.0
 */
export type { JwtOptions } from "./tokens.js"

/**
 * Who has a token may do what it says: a JWT that is signed with a secret, or by whoever has published their keys (Clerk,
 * Auth0, Keycloak, Supabase). One for all routes.
 *
 * | claim | |
 * |---|---|
 * | `sub`, or the `keyClaim` | who it is, a non-empty string: the key they are tracked under, whatever key they ask for |
 * | `topics` | where: a list of whole topics, or prefixes that end with `*` |
 * | `exact_topics` | where, besides: a list of whole topics, in which a `*` is a letter like any other |
 * | `exp`, `nbf` | until and from when, in seconds since the epoch, if at all, give or take the `clockTolerance` |
 *
 * **A name that a user chose** belongs into `exact_topics`: in `topics` one that ends with `*` lets into all that begins so.
 * A token with neither leads where the option `topics` says, and else nowhere.
 *
 * Over HTTP and RPC the token is `Authorization: Bearer`, else over HTTP the parameter `access_token`. On a socket it is the join's
 * `access_token` or `token`, the client's `authToken`, or the URL's `access_token`, `token` or `apikey`. A bad token is
 * `unauthorized`, one that cannot be checked as its keys cannot be read says so, and what it does not grant is `forbidden
 * topic`. Options that make no sense throw `InvalidOption`.
 *
 * ```ts
 * import { Authorize, PresenceHttp } from "effect-presence/http"
 *
 * const authorize = Authorize.jwt({
 *   jwksUrl: "https://example.eu.auth0.com/.well-known/jwks.json",
 *   issuer: "https://example.eu.auth0.com/",
 *   audience: "https://presence.example.com",
 *   topics: ["room:*", "user:{sub}"]
 * })
 *
 * const routes = PresenceHttp.layerRouter({ authorize })
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const jwt = (options: JwtOptions): Authorize => makeJwt(options)
