import { afterAll, beforeAll, beforeEach, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"
import { finalizersOf } from "../support/scope.js"

describe.skipIf(redisIsOff())("following while Redis is away", () => {
  let redis: RedisServer
  let proxy: Proxy
  let world = 0
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())
  beforeEach(async () => {
    proxy = await startProxy(redis.port)
    return () => proxy.close()
  })

  const build = Effect.suspend(() =>
    Effect.map(
      Layer.build(PresenceRedis.layer({ url: proxy.url, prefix: `world ${++world}`, timeout: 200 })),
      (context) => ({ presence: Context.get(context, Presence), channels: Context.get(context, Channels) })
    )
  )

  it.scopedLive("fails and leaves nothing behind, also in a scope that lives on", () =>
    Effect.gen(function* () {
      const { presence } = yield* build
      const scope = yield* Scope.make()
      proxy.cut()
      const failed = yield* Effect.flip(Scope.extend(presence.subscribe("room"), scope))
      expect(failed).toMatchObject({ _tag: "PresenceUnavailable" })
      expect(finalizersOf(scope)).toBe(0)
      proxy.mend()
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ status }) => status === "ok" })
      // Subscribing to another topic, and nothing is left that subscribed before it.
      yield* presence.subscribe("lobby")
      const channels = yield* Effect.promise(() => redis.command("PUBSUB", "CHANNELS", `world ${world}:*:t:*`))
      expect(channels).toMatch(/^\*1\r\n[^*]*:lobby\r\n$/)
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.scopedLive("the channel of a topic, subscribed to meanwhile, speaks when Redis is back", () =>
    Effect.gen(function* () {
      const { presence, channels } = yield* build
      proxy.cut()
      const { take } = yield* channels.subscribe("presence:room")
      proxy.mend()
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ status }) => status === "ok" })
      // Who comes before the topic was read is no news.
      const comeAndGo = Effect.zipRight(Effect.scoped(presence.track("room", "alice")), Effect.sleep("20 millis"))
      const [first] = yield* Effect.raceFirst(take, Effect.forever(comeAndGo))
      // The topic may have been read while alice was there: then the first news is that she left.
      expect(JSON.parse(String(first))).toMatchObject({ key: "alice" })
    })
  )
})
