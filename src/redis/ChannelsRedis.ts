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
import { randomId } from "../internal/leases/tracker.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { makeChannels } from "./channels.js"
import { openPort } from "./client/scoped.js"
import { decodeRedis } from "./options.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface ChannelsRedisOptions extends Channels.Options {
  /** As of `PresenceRedis.layer`. */
  readonly url: string
  /** What every channel in Redis begins with. Default `presence`. */
  readonly prefix?: string | undefined
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: ChannelsRedisOptions): Layer.Layer<Channels, PresenceUnavailable> =>
  Layer.scoped(
    Channels,
    Effect.gen(function* () {
      const redis = yield* decodeRedis(options)
      const { port, listen } = yield* openPort(redis)
      const channels = yield* makeChannels({
        port,
        prefix: redis.prefix,
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
      return channels.service
    })
  )
