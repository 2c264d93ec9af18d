/**
 * Presence over several replicas, kept in Redis 7 or later.
 *
 * The same services as `Presence.layer` gives, for any number of processes: one changed line. Redis may be a single
 * server, a master behind Sentinels, or a Cluster; which it is, is found out by asking.
 *
 * @since 0.1.0
 */
import { type Config, type ConfigError, Context, Effect, Layer } from "effect"
import { Channels } from "../Channels.js"
import { readConfig } from "../internal/input/options.js"
import { Presence } from "../Presence.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { names, type PresenceRedisOptions, type RedisOptions } from "./options.js"
import { make } from "./service.js"

/**
 * Presence and its channels over several replicas. It fails with `PresenceUnavailable` when Redis cannot be reached, is
 * too old, gives its user no right to the keys or channels, or serves replicas of a version that this one cannot live
 * with.
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
 * What no url says is given by `connect`, which makes a connection of `ioredis` at each call:
 *
 * ```ts
 * import { readFileSync } from "node:fs"
 * import { Redis } from "ioredis"
 * import { PresenceRedis } from "effect-presence/redis"
 *
 * declare const password: () => Promise<string>
 *
 * const Live = PresenceRedis.layer({
 *   connect: async (options) =>
 *     new Redis({
 *       ...options,
 *       host: "redis.internal",
 *       tls: { ca: readFileSync("ca.pem") },
 *       password: await password()
 *     })
 * })
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
  config: Config.Config.Wrap<Presence.Options & RedisOptions & { readonly url: string }>
): Layer.Layer<Presence | Channels, PresenceUnavailable | ConfigError.ConfigError> =>
  Layer.unwrapEffect(Effect.map(readConfig(config, names), layer))
