/**
 * Presence over several replicas, kept in Redis 7 or later.
 *
 * The same services as `Presence.layer` gives, for any number of processes: one changed line. Redis may be a single
 * server, a master behind Sentinels, or a Cluster; which it is, is found out by asking.
 *
 * @since 0.1.0
 */
import { type Config, type ConfigError, Context, type Duration, Effect, Layer } from "effect"
import { Channels } from "../Channels.js"
import { readConfig } from "../internal/input/options.js"
import { Presence } from "../Presence.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { make } from "./service.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PresenceRedisOptions extends Presence.Options {
  /**
   * `redis://user:password@host:6379/0`, `rediss://` for TLS, several hosts between commas. For Sentinels the path may
   * name the master.
   */
  readonly url: string
  /**
   * What every key and channel begins with. Default `presence`. It may not hold a brace. In a database other than 0 its
   * number follows, `presence@3`, as Redis does not keep the channels of databases apart.
   */
  readonly prefix?: string | undefined
  /**
   * How long this replica is still there when it does not beat. Default 15 seconds; at least two heartbeats. Others may
   * live by another, but for replicas of version 0.1, which know one for all.
   */
  readonly lease?: Duration.DurationInput | undefined
  /** How often this replica beats at least. Default 5 seconds. All beat as often as the one with the shortest. */
  readonly heartbeat?: Duration.DurationInput | undefined
  /** How long a call waits for Redis. Default 5 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * What `track` does while Redis does not answer: `"fail"`, the default, with `PresenceUnavailable`, or `"local"`:
   * the lease is live at once, and others see it when Redis is back.
   */
  readonly whenUnavailable?: "fail" | "local" | undefined
  /**
   * Whether what is held here stays, when the layer closes, until the lease is over, so that clients who reconnect to
   * another replica never left. Default false: it leaves at once.
   */
  readonly handover?: boolean | undefined
}

/**
 * Presence and its channels over several replicas. It fails when Redis cannot be reached, is too old, or serves
 * replicas of a version that this one cannot live with.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Presence } from "effect-presence"
 * import { PresenceRedis } from "effect-presence/redis"
 *
 * const program = Effect.gen(function*() {
 *   const presence = yield* Presence
 *   yield* presence.track("post:42", "alice", { role: "viewer" })
 *   return yield* presence.list("post:42")
 * }).pipe(Effect.scoped, Effect.provide(PresenceRedis.layer({ url: "redis://127.0.0.1:6379" })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: PresenceRedisOptions): Layer.Layer<Presence | Channels, PresenceUnavailable> =>
  Layer.scopedContext(
    Effect.map(make(options), ({ presence, channels }) =>
      Context.make(Presence, presence).pipe(Context.add(Channels, channels))
    )
  )

/**
 * The same with options from a `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<PresenceRedisOptions>
): Layer.Layer<Presence | Channels, PresenceUnavailable | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(readConfig(config), layer))
