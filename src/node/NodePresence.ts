/**
 * Presence as promises: what `createPresence` gives. Nothing here is Effect's; errors are the classes of the core, thrown.
 *
 * @since 0.2.0
 */
import type { Server } from "node:http"
import type { Server as SecureServer } from "node:https"
import type { Json } from "../Json.js"
import type { LeaveReason, PresenceChange, Snapshot } from "../PresenceChange.js"
import type { PresenceEntry } from "../PresenceEntry.js"
import type { LimitName } from "../PresenceError.js"
import type { PresenceEvent } from "../PresenceEvent.js"
import type { Authorize } from "./authorize.js"

/**
 * Milliseconds, or a text such as `"30 seconds"`. `Infinity`: for ever.
 *
 * @since 0.2.0
 * @category models
 */
export type Duration = number | `${number} ${"milli" | "second" | "minute" | "hour" | "day"}${"" | "s"}`

/**
 * @since 0.2.0
 * @category models
 */
export interface NodeOptions {
  /** How long a lease lives without `refresh`. Default 30 seconds; `Infinity`: until it is disposed of. */
  readonly ttl?: Duration | undefined
  /** How often expired leases are looked for. Default 1 second. */
  readonly sweepInterval?: Duration | undefined
  /** Changes that a follower may be behind, at least 1. Default 4,096. */
  readonly bufferSize?: number | undefined
  /** What may be stored: `topicBytes` 255, `keyBytes` 255, `metaBytes` 16,384 and others, each with its default. */
  readonly limits?: { readonly [limit in LimitName]?: number | undefined } | undefined
  /** The Redis that makes this process one replica of many. Default none: this process alone. */
  readonly redis?: RedisOptions | undefined
}

/**
 * @since 0.2.0
 * @category models
 */
export interface RedisOptions {
  /** `redis://user:password@host:6379/0`, `rediss://` for TLS, several hosts between commas. */
  readonly url: string
  /** What every key and channel begins with. Default `presence`. */
  readonly prefix?: string | undefined
  /** How long a replica that does not beat is still there. Default 15 seconds. */
  readonly lease?: Duration | undefined
  /** How often a replica beats. Default 5 seconds. */
  readonly heartbeat?: Duration | undefined
  /** How long a call waits for Redis. Default 5 seconds. */
  readonly timeout?: Duration | undefined
  /** What `track` does while Redis is away: `"fail"`, the default, or `"local"`: it is written later. */
  readonly whenUnavailable?: "fail" | "local" | undefined
  /** Whether what is held here stays, when it is closed, until the lease is over. Default false. */
  readonly handover?: boolean | undefined
}

/**
 * @since 0.2.0
 * @category models
 */
export interface NodeTrackOptions {
  /** Instead of the presence's. `Infinity`: until it is disposed of. */
  readonly ttl?: Duration | undefined
  /** How long the key stays after the lease was disposed of, so that one who comes right back never left. Default 0. */
  readonly leaveDelay?: Duration | undefined
}

/**
 * A key that is present on a topic. `await using lease = …` ends it when the block is left.
 *
 * @since 0.2.0
 * @category models
 */
export interface NodeLease extends AsyncDisposable {
  readonly topic: string
  readonly key: string
  /** Names the connection. It changes with the meta and with a rejoin. */
  readonly ref: string
  /** Starts the ttl anew. `rejoined`: it had expired, and is present again. */
  readonly refresh: () => Promise<"renewed" | "rejoined" | "evicted" | "released">
  /** Replaces the meta, never merges. A function gets the current one. */
  readonly update: (
    meta: unknown | ((meta: Json) => unknown)
  ) => Promise<"updated" | "rejoined" | "evicted" | "released">
  /** Ends it now, whatever its `leaveDelay`. Again: nothing. */
  readonly release: () => Promise<void>
  /** Resolves with the reason when it has ended. Expiry is no end, as `refresh` brings it back. */
  readonly ended: () => Promise<LeaveReason>
}

/**
 * @since 0.2.0
 * @category models
 */
export interface IterateOptions {
  /** Ends the iterator: what waits for its next value rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * What all routes take.
 *
 * @since 0.2.0
 * @category models
 */
export interface FetchOptions {
  /** Who may connect, read and join. There is no default; `allowAll` lets everybody. */
  readonly authorize: Authorize
  /** How long `authorize` may take before who asks is refused. Default 10 seconds. */
  readonly authorizeTimeout?: Duration | undefined
  /** The origins whose pages may use the routes. Default those of this machine and of the host that a request names. */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Changes within this time travel as one. Default 50 milliseconds. */
  readonly diffInterval?: Duration | undefined
  /** How long somebody stays after their connection has ended. Default 0. */
  readonly leaveDelay?: Duration | undefined
  /** Where the routes over HTTP stand. Default `/presence`. */
  readonly path?: string | undefined
}

/**
 * @since 0.2.0
 * @category models
 */
export interface AttachOptions extends Omit<FetchOptions, "path"> {
  /**
   * Where what stands: `http` lists, counts and event streams, `phoenix` and `supabase` the sockets of those clients. What
   * is not named is not served. Default `{ http: "/presence", phoenix: "/socket", supabase: "/realtime/v1" }`.
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

/**
 * Who is here, right now, on which topic. After `close` every call rejects with `PresenceUnavailable`.
 *
 * @since 0.2.0
 * @category models
 */
export interface NodePresence extends AsyncDisposable {
  /**
   * Adds a connection of a key. `meta` is any JSON value, `{}` by default. Without `ttl: Infinity` it expires unless it is
   * refreshed. Rejects with `InvalidTopic`, `InvalidKey`, `InvalidMeta`, `InvalidOption`, `LimitExceeded` or
   * `PresenceUnavailable`.
   */
  readonly track: (topic: string, key: string, meta?: unknown, options?: NodeTrackOptions) => Promise<NodeLease>
  /** Sorted by key, metas oldest first, frozen; `[]` for an unknown topic. */
  readonly list: (topic: string) => Promise<ReadonlyArray<PresenceEntry>>
  /** One key's entry, if it is there. */
  readonly get: (topic: string, key: string) => Promise<PresenceEntry | undefined>
  readonly count: (topic: string) => Promise<{ readonly keys: number; readonly connections: number }>
  /** The topics with at least one connection, in no order. */
  readonly topics: () => Promise<ReadonlyArray<string>>
  /** The connections and the version they stand at. */
  readonly snapshot: (topic: string) => Promise<Snapshot>
  /** Ends every connection of a key and counts them. No ban: a new `track` is let in. */
  readonly evict: (topic: string, key: string) => Promise<number>
  /**
   * A `Snapshot`, then every `Diff`, no gap and no repeat; who lags gets a new `Snapshot`. It begins with the first value
   * that is asked for, and ends by `break`, the signal or `close`. `since` goes on where a follower stood.
   */
  readonly changes: (
    topic: string,
    options?: IterateOptions & { readonly since?: { readonly epoch: string; readonly version: number } | undefined }
  ) => AsyncIterableIterator<PresenceChange>
  /** Joins, leaves and updates one by one, from the first that is asked for on. Who lags is thrown `Lagged`. */
  readonly events: (topic: string, options?: IterateOptions) => AsyncIterableIterator<PresenceEvent>
  /**
   * Serves the routes on a server that exists, listening or not: sockets, event streams and HTTP. It takes its own paths
   * and leaves every other request and upgrade alone. Rejects with `InvalidOption`, also for a server that has them
   * already.
   */
  readonly attach: (server: Server | SecureServer, options: AttachOptions) => Promise<Attached>
  /** The routes that need no socket as a function of the web's types. What is not its own it answers with 404. */
  readonly fetch: (options: FetchOptions) => (request: Request) => Promise<Response>
  /** Ends what is attached, then all leases, then the iterators. Again: the same promise. */
  readonly close: () => Promise<void>
}
