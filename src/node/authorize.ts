/**
 * Who may connect, join and read, asked of a function of yours: plain or async, it returns a grant or throws.
 *
 * Whatever it throws refuses. `Unauthorized` tells the client its status and reason; anything else is 503, so that the client
 * comes back, and an answer that is no grant 403, both told to the client without details and to the log with them, once a
 * minute and at debug in between. One that does not come in time is 503 and says so to both.
 *
 * @since 0.2.0
 */
import type { IncomingMessage } from "node:http"
import { Cause, Effect, Exit } from "effect"
import type { Json } from "../Json.js"
import { Unauthorized } from "../PresenceError.js"
import type * as Web from "../web/Authorize.js"
import type { Grant } from "../web/Grant.js"
import { jwt as webJwt } from "../web/tokens.js"
import type { Duration } from "./Duration.js"

/**
 * What somebody asks for: to `read` a topic over HTTP, to `join` it, over a socket or as who follows its events under a
 * key, or to `connect` a socket, whose topics come later.
 *
 * @since 0.2.0
 * @category models
 */
export type Attempt =
  | (Asked & { readonly on: "connect"; readonly topic: undefined })
  | (Asked & { readonly on: "join" | "read"; readonly topic: string })

/**
 * @inline
 */
interface Asked {
  readonly route: "http" | "socket"
  /** The payload of the join; over HTTP the parameters of the query, of which `meta` is read as JSON. */
  readonly payload: { readonly [name: string]: Json }
  /** The HTTP request; for a socket the one that opened it. */
  readonly request: AttemptRequest
  /** Aborted when the answer is not waited for any more. */
  readonly signal: AbortSignal
}

/**
 * The HTTP request that somebody asks by.
 *
 * @since 0.2.0
 * @category models
 */
export interface AttemptRequest {
  readonly method: string
  readonly url: string
  readonly headers: { readonly [name: string]: string | undefined }
  readonly cookies: { readonly [name: string]: string | undefined }
  /** The request as it came: Node's where the routes are attached, the web's where they are a `fetch`. */
  readonly source: IncomingMessage | Request
}

/**
 * A grant, or what it throws.
 *
 * ```ts
 * import { type Authorize, Unauthorized } from "effect-presence/node"
 *
 * declare const findUser: (session: string | undefined) => Promise<{ name: string } | undefined>
 *
 * const authorize: Authorize = async ({ request, topic }) => {
 *   const user = await findUser(request.cookies["session"])
 *   if (user === undefined) throw new Unauthorized({ status: 401, reason: "log in first" })
 *   if (topic === "staff") throw new Unauthorized({ reason: "staff only" })
 *   return { key: user.name }
 * }
 * ```
 *
 * @since 0.2.0
 * @category models
 */
export type Authorize = (attempt: Attempt) => Grant | Promise<Grant>

/**
 * Everybody may do everything. `key` and `meta` are those of the payload; without a `key` they watch.
 *
 * @since 0.2.0
 * @category constructors
 */
export const allowAll: Authorize = ({ payload: { key, meta } }) => {
  if (key === undefined) return {}
  if (typeof key !== "string") throw new Unauthorized({ reason: "key is no string" })
  return meta === undefined ? { key } : { key, meta }
}

/**
 * How tokens are checked; {@link jwt} says more.
 *
 * @since 0.2.0
 * @category models
 */
export interface JwtOptions {
  /** What they are signed with (HS256), at least 32 bytes. */
  readonly secret?: string | undefined
  /** Where the public keys of whoever signs them are. */
  readonly jwksUrl?: string | URL | undefined
  /** The public key, or a certificate, as PEM: RSA of at least 2048 bits, P-256 or Ed25519. */
  readonly publicKey?: string | undefined
  /** How they may be signed. Default whatever the key is for. */
  readonly algorithms?: ReadonlyArray<"HS256" | "RS256" | "ES256" | "EdDSA"> | undefined
  /** Who must have made them, one of these: the claim `iss`. Default anybody with the key. */
  readonly issuer?: string | ReadonlyArray<string> | undefined
  /** Whom they must be for, one of these: the claim `aud`. Default anybody: also other programs of the same issuer. */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** How far clocks may differ. Default 30 seconds. */
  readonly clockTolerance?: Duration | undefined
  /** The claim that is the key. Default `sub`. */
  readonly keyClaim?: string | undefined
  /** Where tokens lead that name no topics: `["room:*", "user:{sub}"]`. Default nowhere. */
  readonly topics?: ReadonlyArray<string> | undefined
}

/**
 * Who has a token may do what it says: a JWT, checked with exactly one of a `secret` (HS256, 32 bytes or more), the
 * `publicKey` (PEM) or the `jwksUrl` of whoever signs it. The same as `Authorize.jwt` of `effect-presence/http`. Throws
 * `InvalidOption`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const jwt = (options: JwtOptions): Authorize => {
  const authorize = webJwt(options)
  return async (attempt) => {
    // It reads no more of a request than what every attempt has.
    const exit = await Effect.runPromiseExit(authorize(attempt as unknown as Web.Attempt), { signal: attempt.signal })
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.squash(exit.cause)
  }
}
