/** Messages that come late are not lost: nothing is read again for them. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("a replica on a slow line", () => {
  let redis: RedisServer
  let line: Proxy
  beforeAll(async () => {
    redis = await startRedis()
    line = await startProxy(redis.port)
  })
  afterAll(async () => {
    await line.close()
    await redis.stop()
  })

  const build = (url: string) =>
    Effect.map(Layer.build(PresenceRedis.layer({ url, prefix: "late" })), (context) => Context.get(context, Presence))

  /** How often a large topic was paged through. */
  const pages = Effect.map(
    Effect.promise(() => redis.command("INFO", "commandstats")),
    (stats) => Number(/cmdstat_hscan:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  )

  it.scopedLive("does not read a large topic again because messages come late", () =>
    Effect.gen(function* () {
      const other = yield* build(redis.url)
      yield* Effect.forEach(
        Array.from({ length: 3_000 }, (_, n) => n),
        (n) => other.track("room", `user ${n}`),
        {
          concurrency: 500
        }
      )
      const presence = yield* build(line.url)
      const { stream } = yield* presence.subscribe("room")
      line.delayMessages(600)
      const before = yield* pages
      for (let n = 0; n < 10; n++) {
        yield* presence.track("room", `late ${n}`)
        yield* other.track("room", `other ${n}`)
      }
      expect((yield* Stream.runCollect(Stream.take(stream, 20))).length).toBe(20)
      // Reading the topic once is six pages; what a replica has of its own is one.
      expect((yield* pages) - before).toBeLessThan(6)
      expect((yield* presence.list("room")).length).toBe(3_020)
    })
  )
})
