/**
 * Who is here, right now, on which topic.
 *
 * `track` adds a connection of a key to a topic and returns a lease that lives as long as its `Scope`. Others `list`
 * the topic or follow it as a stream. The service alone owns its state: it is sent messages, which are effects, and
 * tells events. A change and its event are one synchronous step, so nobody sees them in another order.
 *
 * - **A crash** of whoever tracked closes its scope, which ends its leases. What dies without closing anything runs
 *   out of its ttl and is swept.
 * - **Lag**: a follower never slows anybody. `changes` starts again with a snapshot; `events` fails with `Lagged`.
 * - **Shutdown**: when the layer closes, the sweep stops, all leases leave, then streams end. A lease or call that
 *   outlives the layer does no harm: reads are empty and `track` returns a lease that is released.
 *
 * @since 0.1.0
 */

import type { Duration } from "effect"
import {
  type Config,
  type ConfigError,
  Context,
  Effect,
  Layer,
  type Option,
  type Schema,
  type Scope,
  type Stream
} from "effect"
import { Channels } from "./Channels.js"
import { readConfig } from "./internal/input/options.js"
import { make } from "./internal/presence.js"
import type { Json } from "./Json.js"
import type { Lease as Lease_ } from "./Lease.js"
import type { PresenceActivity } from "./PresenceActivity.js"
import type { PresenceChange, Snapshot } from "./PresenceChange.js"
import type { PresenceEntry } from "./PresenceEntry.js"
import type { Lagged, LimitName, PresenceUnavailable, TrackError } from "./PresenceError.js"
import type { PresenceEvent } from "./PresenceEvent.js"
import type { PresenceHealth } from "./PresenceHealth.js"
import type { Subscription } from "./Subscription.js"

/**
 * The service. `yield* Presence` gives a {@link Presence.Service}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Presence, PresenceLive } from "effect-presence"
 *
 * const program = Effect.gen(function*() {
 *   const presence = yield* Presence
 *   yield* presence.track("post:42", "alice", { role: "viewer" })
 *   return yield* presence.list("post:42") // [{ key: "alice", metas: [{ role: "viewer" }] }]
 * }).pipe(Effect.scoped, Effect.provide(PresenceLive))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class Presence extends Context.Tag("effect-presence/Presence")<Presence, Presence.Service>() {
  /**
   * Presence and its channels in this process.
   *
   * Called twice it is two presences, as with any layer: share the value.
   *
   * @since 0.1.0
   * @category layers
   */
  static layer(options?: Presence.Options): Layer.Layer<Presence | Channels> {
    return Layer.provideMerge(Presence.layerWithoutChannels(options), Channels.layer({ capacity: options?.capacity }))
  }

  /**
   * The same with options from a `Config`. One that makes no sense is a `ConfigError`.
   *
   * ```ts
   * import { Config } from "effect"
   * import { Presence } from "effect-presence"
   *
   * const Live = Presence.layerConfig({ ttl: Config.duration("TTL").pipe(Config.withDefault("30 seconds")) })
   * ```
   *
   * @since 0.1.0
   * @category layers
   */
  static layerConfig(
    config: Config.Config.Wrap<Presence.Options>
  ): Layer.Layer<Presence | Channels, ConfigError.ConfigError> {
    return Layer.unwrapEffect(Effect.map(readConfig(config), Presence.layer))
  }

  /**
   * Presence that mirrors its events to channels of your own. `capacity` has no meaning here.
   *
   * @since 0.1.0
   * @category layers
   */
  static layerWithoutChannels(options?: Presence.Options): Layer.Layer<Presence, never, Channels> {
    return Layer.scoped(
      Presence,
      Effect.flatMap(Channels, (channels) => make(channels, options))
    )
  }
}

/**
 * Presence in this process with the defaults.
 *
 * @since 0.1.0
 * @category layers
 */
export const PresenceLive: Layer.Layer<Presence | Channels> = Presence.layer()

/**
 * The same members as {@link Presence.Service} with metas of type `A`. What `forSchema` returns.
 *
 * Stored metas that do not decode, or that the schema throws at, are left out, an entry with none left too, so that one
 * bad client cannot break a list; the counter `presence_undecodable_metas_total` says how many were met. A change into a meta that decodes is a
 * join, out of one a leave. `count` counts all; leave events always pass.
 *
 * @since 0.1.0
 * @category models
 */
export interface PresenceFor<A>
  extends Pick<
    Presence.Service,
    "count" | "counts" | "topics" | "topicsOf" | "evict" | "evictEverywhere" | "sweepExpired" | "health" | "limits"
  > {
  /** Like `Presence.track`; the meta is required, and one that does not encode, or to `undefined`, is `InvalidMeta`. */
  readonly track: (
    topic: string,
    key: string,
    meta: A,
    options?: Presence.TrackOptions
  ) => Effect.Effect<Lease_<A, A>, TrackError, Scope.Scope>
  /** The entries with a meta that decodes, sorted by key, metas oldest first. The same array until a change. */
  readonly list: (topic: string) => Effect.Effect<ReadonlyArray<PresenceEntry<A>>, PresenceUnavailable>
  /** One key's entry, if a meta of it decodes. */
  readonly get: (topic: string, key: string) => Effect.Effect<Option.Option<PresenceEntry<A>>, PresenceUnavailable>
  /** Subscribed once the effect returns: no event after that is missed. */
  readonly subscribe: (topic: string) => Effect.Effect<Subscription<PresenceEvent<A>>, PresenceUnavailable, Scope.Scope>
  /** What `subscribe` gives, as a stream. Who lags fails with `Lagged`. */
  readonly events: (topic: string) => Stream.Stream<PresenceEvent<A>, Lagged | PresenceUnavailable>
  /** A `Snapshot`, then every `Diff`, no gap and no repeat. Who lags gets a new `Snapshot`; it never fails for that. */
  readonly changes: (
    topic: string,
    options?: Presence.ChangesOptions
  ) => Stream.Stream<PresenceChange<A>, PresenceUnavailable>
  /**
   * The list now, then whenever what it shows has changed. Who is slow gets the latest.
   *
   * @since 0.2.0
   */
  readonly live: (topic: string) => Stream.Stream<ReadonlyArray<PresenceEntry<A>>, PresenceUnavailable>
  /**
   * What happens on all topics to connections whose metas decode.
   *
   * @since 0.2.0
   */
  readonly activity: Stream.Stream<PresenceActivity<A>, Lagged>
  /** The connections whose metas decode, and the version they stand at. */
  readonly snapshot: (topic: string) => Effect.Effect<Snapshot<A>, PresenceUnavailable>
}

/**
 * The types of the service.
 *
 * @since 0.1.0
 */
export declare namespace Presence {
  /**
   * What may be stored. Each may be raised.
   *
   * @since 0.1.0
   * @category models
   */
  export type Limits = {
    /**
     * `topicBytes` 255 and `keyBytes` 255 (UTF-8), `metaBytes` 16,384 (as JSON), `metaDepth` 64 (1,000 at the most),
     * `connectionsPerKey` 1,000, `keysPerTopic` 1,000,000. `metaTotal` 512 MiB: bytes of the heap that all metas of this
     * process may take, nearly; a value takes up to 16 times its JSON.
     */
    readonly [limit in LimitName]: number
  }

  /**
   * What a layer may be told, each with its default.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Options {
    /**
     * How long a connection lives without `refresh`, also in a scope that is open. Default 30 seconds;
     * `Duration.infinity`: as long as its scope; never 0.
     */
    readonly ttl?: Duration.DurationInput | undefined
    /** How often expired connections are looked for. Default 1 second. */
    readonly sweepInterval?: Duration.DurationInput | undefined
    /** Changes that a follower may be behind, at least 1. Default 4,096. */
    readonly bufferSize?: number | undefined
    /** Texts that a subscriber of a channel may be behind. Default 32, clamped to 1..16384. */
    readonly capacity?: number | undefined
    /**
     * Whether to keep in mind where each key is, so that `topicsOf` and `evictEverywhere` look at the topics of the key and
     * not at each topic there is. Default false: it costs some 35 to 45 bytes a lease, over Redis 140 bytes a lease there. Over
     * Redis all replicas must have it; as long as one has not, all look at each topic.
     *
     * @since 0.2.0
     */
    readonly keyIndex?: boolean | undefined
    /** What may be stored; {@link Limits} has the defaults. */
    readonly limits?: { readonly [limit in LimitName]?: number | undefined } | undefined
  }

  /**
   * What one `track` may be told. What makes no sense fails it with `InvalidOption`.
   *
   * @since 0.1.0
   * @category models
   */
  export interface TrackOptions {
    /**
     * Instead of the layer's. `Duration.infinity` where the scope says that somebody is here (a socket, a stream, a
     * fiber): the connection lives as long as it. None or less is `InvalidOption`.
     */
    readonly ttl?: Duration.DurationInput | undefined
    /**
     * How long the connection stays after its scope has closed, so that one who comes right back never left. Default
     * 0. `release`, `evict` and the layer's close end it at once.
     */
    readonly leaveDelay?: Duration.DurationInput | undefined
  }

  /**
   * Where `changes` begins.
   *
   * @since 0.1.0
   * @category models
   */
  export interface ChangesOptions {
    /**
     * Where the follower stands. When the diffs from there are still at hand (those of the last
     * minute, up to `bufferSize` changes of the topic and 32 MiB of all topics, while somebody follows it), it goes on with them and without a snapshot.
     */
    readonly since?: { readonly epoch: string; readonly version: number } | undefined
  }

  /**
   * How many keys a topic has, and how many connections these have.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Count {
    readonly keys: number
    readonly connections: number
  }

  /**
   * What `track` gives: the handle on one connection.
   *
   * @since 0.1.0
   * @category models
   */
  export type Lease<A = Json, I = unknown> = Lease_<A, I>

  /**
   * The members of the service.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /**
     * Adds a connection and emits `join`; the scope's close removes it. `meta` is any JSON value, `{}` by default,
     * copied by value. In a scope that is closed: a released lease, and nothing is emitted.
     *
     * The connection also ends after its ttl, 30 seconds by default, though its scope is open. Where the scope says that
     * somebody is here (a socket, a stream, a fiber), pass `{ ttl: Duration.infinity }`; where a client's heartbeat says
     * it, call `lease.refresh` at each. The first lease of a layer that expires in an open scope without a refresh is
     * told in the log.
     *
     * ```ts
     * import { Duration, Effect } from "effect"
     * import { Presence } from "effect-presence"
     *
     * declare const untilTheyClose: Effect.Effect<void>
     *
     * // A handler that keeps its response open: alice is here as long as it does.
     * const handler = Effect.gen(function*() {
     *   const presence = yield* Presence
     *   yield* presence.track("post:42", "alice", { role: "viewer" }, { ttl: Duration.infinity })
     *   yield* untilTheyClose
     * }).pipe(Effect.scoped)
     * ```
     */
    readonly track: (
      topic: string,
      key: string,
      meta?: unknown,
      options?: TrackOptions
    ) => Effect.Effect<Lease, TrackError, Scope.Scope>
    /** Sorted by key (UTF-16 order), metas oldest first, frozen; `[]` for an unknown topic. The same array until a change. */
    readonly list: (topic: string) => Effect.Effect<ReadonlyArray<PresenceEntry>, PresenceUnavailable>
    /** One key's entry, if it is there. */
    readonly get: (topic: string, key: string) => Effect.Effect<Option.Option<PresenceEntry>, PresenceUnavailable>
    /** How many keys and connections a topic has. O(1). In process it never suspends. */
    readonly count: (topic: string) => Effect.Effect<Count, PresenceUnavailable>
    /**
     * The same of many topics at once, for a list of rooms: a map in which each of them is. Over Redis all that are not
     * followed here are one round of commands.
     *
     * @since 0.2.0
     */
    readonly counts: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Count>, PresenceUnavailable>
    /** The topics with at least one connection, in no order. */
    readonly topics: Effect.Effect<ReadonlyArray<string>, PresenceUnavailable>
    /** Subscribed once the effect returns: no event after that is missed. */
    readonly subscribe: (topic: string) => Effect.Effect<Subscription<PresenceEvent>, PresenceUnavailable, Scope.Scope>
    /** What `subscribe` gives, as a stream. Who lags fails with `Lagged`. */
    readonly events: (topic: string) => Stream.Stream<PresenceEvent, Lagged | PresenceUnavailable>
    /** A `Snapshot`, then every `Diff`, no gap and no repeat. Who lags gets a new `Snapshot`; it never fails for that. */
    readonly changes: (topic: string, options?: ChangesOptions) => Stream.Stream<PresenceChange, PresenceUnavailable>
    /**
     * The list of a topic now, then whenever it has changed: what a page shows. Who is slow gets the latest list, never
     * a queue of those in between.
     *
     * @since 0.2.0
     */
    readonly live: (topic: string) => Stream.Stream<ReadonlyArray<PresenceEntry>, PresenceUnavailable>
    /** The connections and the version they stand at. */
    readonly snapshot: (topic: string) => Effect.Effect<Snapshot, PresenceUnavailable>
    /**
     * What happens on all topics, from when the stream is run: each connection that joins, leaves or is updated, once.
     * For logs, webhooks, "last seen" in a database. It ends when the layer closes; who is more than `bufferSize` behind
     * fails with `Lagged`.
     *
     * Over Redis each replica tells what happens to the connections that are tracked in it, and the leaves of a lost
     * replica by whoever of the others ended them: run it in every replica, and all of them together tell all, each once. A
     * crash loses what was not read yet, and leaves that were being ended at that moment; a replica that was taken for
     * lost and comes back is told as gone, not as back.
     *
     * @since 0.2.0
     */
    readonly activity: Stream.Stream<PresenceActivity, Lagged>
    /** Ends every connection of a key and counts them. No ban: a new `track` is let in. */
    readonly evict: (topic: string, key: string) => Effect.Effect<number, PresenceUnavailable>
    /**
     * The topics on which a key is, in no order: whether somebody is online anywhere, and where. It looks at each topic
     * there is, or with the option `keyIndex` at those of the key. Over Redis it is two commands for each 500 of these.
     *
     * @since 0.2.0
     */
    readonly topicsOf: (key: string) => Effect.Effect<ReadonlyArray<string>, PresenceUnavailable>
    /**
     * Ends every connection of a key on all topics, as `evict` does on one, and counts them. It costs what `topicsOf`
     * does. What joins meanwhile on a topic that was looked at before stays: first take their right to join. Over Redis
     * it fails when Redis does not answer, perhaps after some topics: call it again.
     *
     * @since 0.2.0
     */
    readonly evictEverywhere: (key: string) => Effect.Effect<number, PresenceUnavailable>
    /** Ends what is past its ttl now and counts it. The layer runs it every `sweepInterval`. */
    readonly sweepExpired: Effect.Effect<number>
    /** Whether it can serve, since when, and what this replica holds. In process always `ok`. */
    readonly health: Effect.Effect<PresenceHealth>
    /** The limits in force, for who answers clients before anything is tracked. */
    readonly limits: Limits
    /** This presence with metas of the schema's type: encoded on the way in, decoded on the way out. */
    readonly forSchema: <A, I>(schema: Schema.Schema<A, I>) => PresenceFor<A>
  }
}
