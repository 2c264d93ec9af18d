/**
 * What the routes are told, on a server that exists or as a `fetch`. Nothing here is Effect's.
 *
 * @since 0.2.0
 */
import type { Limits as HttpLimits } from "../http/Limits.js"
import type { Limits as SocketLimits } from "../socket/Limits.js"
import type { Authorize } from "./authorize.js"
import type { Duration } from "./Duration.js"

/**
 * What a client may do, as `effect-presence/http` and `effect-presence/socket` say it, each with its default.
 *
 * @since 0.2.0
 * @category models
 */
export interface RouteLimits extends Plain<HttpLimits>, Plain<SocketLimits> {}

/**
 * @inline
 */
type Plain<Limits> = {
  readonly [limit in keyof Limits]: limit extends "idleTimeout" | "unsentFor" ? Duration | undefined : Limits[limit]
}

/**
 * What all routes are told; only `authorize` must be.
 *
 * @since 0.2.0
 * @category models
 */
export interface FetchOptions {
  /** Who may connect, read and join. There is no default; `allowAll` lets everybody. */
  readonly authorize: Authorize
  /** How long `authorize` may take before who asks is refused. Default 10 seconds. */
  readonly authorizeTimeout?: Duration | undefined
  /**
   * The origins whose pages may use the routes, each whole: `https://example.com`, or all subdomains,
   * `https://*.example.com`. Without a list those of this machine and, when the server listens beyond loopback, those of
   * the host that a request names. A server that listens on loopback alone answers no other host by name without it: one
   * behind a proxy wants the list.
   */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Changes within this time travel as one. Default 50 milliseconds; 0: each by itself. */
  readonly diffInterval?: Duration | undefined
  /** How long somebody stays after their connection has ended. Default 0. */
  readonly leaveDelay?: Duration | undefined
  /** What a client may do; the defaults are generous. */
  readonly limits?: RouteLimits | undefined
  /** Where the routes over HTTP stand. Default `/presence`. */
  readonly path?: string | undefined
}

/**
 * What routes on a server are told; only `authorize` must be.
 *
 * @since 0.2.0
 * @category models
 */
export interface AttachOptions extends Omit<FetchOptions, "path"> {
  /**
   * Where what stands: `http` lists, counts and event streams, `phoenix` and `supabase` the sockets of those clients, which
   * add `/websocket` and `/longpoll`. What is not named is not served. Default
   * `{ http: "/presence", phoenix: "/socket", supabase: "/realtime/v1" }`.
   */
  readonly paths?: { readonly [route in "http" | "phoenix" | "supabase"]?: string | undefined } | undefined
  /** The time over which open sockets are told to come back at the end. Default 3 seconds. */
  readonly drain?: Duration | undefined
}

/**
 * Routes on a server. They end with the presence, or by `close`: then its paths are the server's own again.
 *
 * @since 0.2.0
 * @category models
 */
export interface Attached extends AsyncDisposable {
  /** Tells open sockets to come back, ends streams, and resolves when all are closed. Again: the same promise. */
  readonly close: () => Promise<void>
}
