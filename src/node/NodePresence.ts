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
import type { Where } from "../redis/client/connection.js"
import type { Duration } from "./Duration.js"
import type { Attached, AttachOptions, FetchOptions } from "./NodeRoutes.js"

/**
 * What `createPresence` is told, each with its default. One that makes no sense, or is none, is `InvalidOption`, one below
 * `redis` that makes no sense `PresenceUnavailable` with the reason.
 *
 * @since 0.2.0
 * @category models
 */
export interface NodeOptions {
  /** How long a lease lives without `refresh`. Default 30 seconds; `Infinity`: until it is disposed of, see `NodeLease`. */
  readonly ttl?: Duration | undefined
  /** How often expired leases are looked for. Default 1 second. */
  readonly sweepInterval?: Duration | undefined
  /** Changes that a follower may be behind, at least 1. Default 4,096. */
  readonly bufferSize?: number | undefined
  /** What may be stored: `topicBytes` 255, `keyBytes` 255, `metaBytes` 16,384 and others, each with its default. */
  readonly limits?: { readonly [limit in LimitName]?: number | undefined } | undefined
  /** Whether `topicsOf` and `evictEverywhere` look at the topics of a key only, for some memory a lease. Default false. */
  readonly keyIndex?: boolean | undefined
  /** The Redis that makes this process one replica of many. Default none: this process alone. */
  readonly redis?: RedisOptions | undefined
}

/**
 * Where Redis is, by a `url` or by `connect`, and how it is used.
 *
 * @since 0.2.0
 * @category models
 */
export type RedisOptions = Where & {
  /** What every key and channel begins with. Default `presence`. */
  readonly prefix?: string | undefined
  /** How long a replica that does not beat is still there. Default 15 seconds; at least two heartbeats. */
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
 * What one `track` is told.
 *
 * @since 0.2.0
 * @category models
 */
export interface NodeTrackOptions {
  /** How long it lives without `refresh`, instead of the presence's. `Infinity`: until it is disposed of. */
  readonly ttl?: Duration | undefined
  /** How long the key stays after the lease was disposed of, so that one who comes right back never left. Default 0. */
  readonly leaveDelay?: Duration | undefined
}

/**
 * A key that is present on a topic. `await using lease = …` ends it when the block is left.
 *
 * Whoever is here as long as a socket, a stream or a job passes `ttl: Infinity` and disposes of the lease when that has
 * ended; whoever is here as long as a client sends heartbeats keeps the ttl and calls `refresh` at each of them.
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
  /** Replaces the meta, never merges. A function gets the current one, and answers at once. */
  update(f: (meta: Json) => unknown): Promise<"updated" | "rejoined" | "evicted" | "released">
  /** The same with a meta instead of a function. */
  update(meta: unknown): Promise<"updated" | "rejoined" | "evicted" | "released">
  /** Ends it now, whatever its `leaveDelay`. Again: nothing. */
  readonly release: () => Promise<void>
  /** Resolves with the reason when it has ended. Expiry is no end, as `refresh` brings it back. */
  readonly ended: () => Promise<LeaveReason>
}

/**
 * What an iterator is told.
 *
 * @since 0.2.0
 * @category models
 */
export interface IterateOptions {
  /** Ends the iterator: what waits for its next value rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Who is here, right now, on which topic. After `close` every call rejects with `PresenceUnavailable`.
 *
 * @since 0.2.0
 * @category models
 */
export interface NodePresence extends AsyncDisposable {
  /**
   * Adds a connection of a key. `meta` is any JSON value, `{}` by default. It expires after its ttl, 30 seconds, unless it
   * is refreshed; `NodeLease` says who passes `ttl: Infinity`. Rejects with `InvalidTopic`, `InvalidKey`, `InvalidMeta`, `InvalidOption`, `LimitExceeded` or
   * `PresenceUnavailable`.
   */
  readonly track: (topic: string, key: string, meta?: unknown, options?: NodeTrackOptions) => Promise<NodeLease>
  /** Sorted by key, metas oldest first, frozen; `[]` for an unknown topic. */
  readonly list: (topic: string) => Promise<ReadonlyArray<PresenceEntry>>
  /** One key's entry, if it is there. */
  readonly get: (topic: string, key: string) => Promise<PresenceEntry | undefined>
  /** How many keys a topic has, and how many connections these have. */
  readonly count: (topic: string) => Promise<{ readonly keys: number; readonly connections: number }>
  /** The same of many topics in one call, by topic. */
  readonly counts: (
    topics: ReadonlyArray<string>
  ) => Promise<ReadonlyMap<string, { readonly keys: number; readonly connections: number }>>
  /** The topics with at least one connection, in no order. */
  readonly topics: () => Promise<ReadonlyArray<string>>
  /** The connections and the version they stand at. */
  readonly snapshot: (topic: string) => Promise<Snapshot>
  /** The topics on which a key is, in no order: whether somebody is online anywhere, and where. It looks at each topic there is, unless `keyIndex` is on. */
  readonly topicsOf: (key: string) => Promise<ReadonlyArray<string>>
  /** Ends every connection of a key on all topics and counts them, as `evict` does on one. It costs what `topicsOf` does. */
  readonly evictEverywhere: (key: string) => Promise<number>
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
  /**
   * The list of a topic now, then whenever it has changed: what a page shows. Who is slow gets the latest list, never those in
   * between.
   */
  readonly live: (topic: string, options?: IterateOptions) => AsyncIterableIterator<ReadonlyArray<PresenceEntry>>
  /** Joins, leaves and updates one by one, from the first that is asked for on. Who lags is thrown `Lagged`. */
  readonly events: (topic: string, options?: IterateOptions) => AsyncIterableIterator<PresenceEvent>
  /**
   * Serves the routes on a server that exists, listening or not: sockets, event streams and HTTP. It takes its own paths,
   * before any middleware, and leaves every other request and upgrade alone. Rejects with `InvalidOption`, also for a
   * server that has them already. Needs `@effect/platform-node`, as `fetch` does.
   */
  readonly attach: (server: Server | SecureServer, options: AttachOptions) => Promise<Attached>
  /**
   * The routes that need no socket as a function of the web's types. What is not its own it answers with 404. Throws
   * `InvalidOption`.
   */
  readonly fetch: (options: FetchOptions) => (request: Request) => Promise<Response>
  /**
   * Ends what is attached and each `fetch`, then all leases, then the iterators. Until then the process lives on. A server
   * that is to stop is closed afterwards, as it waits for open sockets. Again: the same promise.
   */
  readonly close: () => Promise<void>
}
