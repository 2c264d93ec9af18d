import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Queue } from "effect"
import { ChannelsRedis, PresenceRedis } from "../../src/redis/index.js"
import { channelsContract } from "../contract/channels.js"
import { presenceContract } from "../contract/presence.js"
import { leapingTime } from "../contract/Subject.js"
import { seedContract } from "../contract/seed.js"
import { startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

// Each test has a world and a time of its own, and most of them wait for Redis.
describe.skipIf(redisIsOff()).concurrent("on a real server", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  const time = leapingTime(() => redis.command("PING"))
  let worlds = 0
  /** A world of its own for each layer, which outlives all that its tests let pass. */
  const at = () => ({ url: redis.url, prefix: `world ${++worlds}`, lease: "1 hour" }) as const

  seedContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  presenceContract("Redis", (options) => Layer.suspend(() => PresenceRedis.layer({ ...options, ...at() })), time)
  channelsContract("Redis", (options) => Layer.suspend(() => ChannelsRedis.layer({ ...options, ...at() })), time)
})

it.scopedLive.skipIf(redisIsOff())("the log says that Redis does not answer, why, and when it does again", () =>
  Effect.gen(function* () {
    const redis = yield* Effect.acquireRelease(
      Effect.promise(() => startRedis()),
      (redis) => Effect.promise(() => redis.stop())
    )
    const proxy = yield* Effect.acquireRelease(
      Effect.promise(() => startProxy(redis.port)),
      (proxy) => Effect.promise(() => proxy.close())
    )
    const logged = yield* Queue.unbounded<string>()
    const logger = Logger.make<unknown, void>(({ message }) => void logged.unsafeOffer(String(message)))
    yield* Layer.build(PresenceRedis.layer({ url: proxy.url })).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    proxy.cut()
    expect(yield* Queue.take(logged)).toMatch(/^Redis does not answer: \S/)
    proxy.mend()
    expect(yield* Queue.take(logged)).toBe("Redis answers again")
  })
)
