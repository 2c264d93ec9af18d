/**
 * Channels over several replicas, without presence: publish and subscribe by topic, carried by Redis.
 *
 * A text goes to the subscribers here first, then to the other replicas. Redis being away never loses the local
 * delivery; what others missed is counted by the metric `presence_redis_unpublished_total`.
 *
 * @since 0.1.0
 */
import { Effect, Layer } from "effect"
import { Channels } from "../Channels.js"
import { checkNames } from "../internal/input/options.js"
import { randomId } from "../internal/leases/tracker.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { makeChannels } from "./channels.js"
import type { Where } from "./client/connection.js"
import { openPort } from "./client/scoped.js"
import { decodeRedis, names, prefixIn, type RedisOptions } from "./options.js"

/** How long what is said may go to a server that passes it to nobody. */
const LOOK = "5 seconds"

/**
 * Where Redis is, and what the channels of a layer may hold.
 *
 * @since 0.1.0
 * @category models
 */
export type ChannelsRedisOptions = Channels.Options & Pick<RedisOptions, "prefix" | "timeout"> & Where

/**
 * Channels over several replicas. It fails as `PresenceRedis.layer` does. Where its address leads to another master than
 * before, and the old one lives on as a replica, what is said is lost to others for 5 seconds at the most.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ChannelsRedisOptions): Layer.Layer<Channels, PresenceUnavailable> =>
  Layer.scoped(
    Channels,
    Effect.gen(function* () {
      // Those of presence too, which may be the same for both.
      checkNames("options", options, [...names, "capacity"])
      const redis = yield* decodeRedis(options)
      const { port, listen } = yield* openPort(redis)
      const channels = yield* makeChannels({
        port,
        prefix: prefixIn(port.database, redis.prefix),
        timeout: redis.timeout,
        origin: randomId(),
        capacity: options.capacity,
        mirror: () => Effect.void
      })
      listen({
        onReady: () => {},
        onDown: () => {},
        onSubscriberDown: () => {},
        onSubscriberReady: () => {
          // It failed because the subscriber went away again; then it will be ready again.
          channels.onSubscriberReady().catch(() => {})
        },
        onMessage: channels.onMessage
      })
      // Nothing is written here that a replica would refuse.
      yield* Effect.promise(() => port.checkMaster().catch(() => {})).pipe(
        Effect.delay(LOOK),
        Effect.forever,
        Effect.interruptible,
        Effect.forkScoped
      )
      return channels.service
    })
  )
