import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ChannelsRedis, PresenceRedis } from "../../src/redis/index.js"
import { channelsContract } from "../contract/channels.js"
import { presenceContract } from "../contract/presence.js"
import { realTime, type Time } from "../contract/Subject.js"
import { seedContract } from "../contract/seed.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

// Each test has a world of its own, and most of them wait for time to pass.
describe.skipIf(redisIsOff()).concurrent("on a real server", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  // What falls due with the last tick has a moment to reach Redis and come back.
  const time: Time = { ...realTime("250 millis"), pass: (ticks) => Effect.sleep(ticks * 250 + 30) }
  let worlds = 0
  /** A world of its own for each layer. */
  const at = () => ({ url: redis.url, prefix: `world ${++worlds}` })

  seedContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  presenceContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  channelsContract("Redis", (options) => Layer.suspend(() => ChannelsRedis.layer({ ...options, ...at() })), time)
})
