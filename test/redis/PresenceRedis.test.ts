import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Layer } from "effect"
import { ChannelsRedis, PresenceRedis } from "../../src/redis/index.js"
import { channelsContract } from "../contract/channels.js"
import { presenceContract } from "../contract/presence.js"
import { realTime } from "../contract/Subject.js"
import { seedContract } from "../contract/seed.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("on a real server", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  // Long enough for the answers of a Redis beside us, short enough to wait for.
  const time = realTime("200 millis")
  let worlds = 0
  /** A world of its own for each layer. */
  const at = () => ({ url: redis.url, prefix: `world ${++worlds}` })

  seedContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  presenceContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  channelsContract("Redis", (options) => Layer.suspend(() => ChannelsRedis.layer({ ...options, ...at() })), time)
})
