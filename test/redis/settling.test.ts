import { afterAll, beforeAll, beforeEach, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Presence } from "../../src/index.js"
import { PresenceRedis, type PresenceRedisOptions } from "../../src/redis/index.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("leases that wait for Redis", () => {
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

  const build = (options: Partial<PresenceRedisOptions> = {}): Effect.Effect<Presence.Service, unknown, Scope.Scope> =>
    Effect.map(
      Layer.build(PresenceRedis.layer({ url: proxy.url, prefix: `world ${++world}`, timeout: 1_500, ...options })),
      (context) => Context.get(context, Presence)
    )

  it.scopedLive("a scope closes, and others see it, while Redis is full and takes no joins and updates", () =>
    Effect.gen(function* () {
      const presence = yield* build()
      const stays = yield* presence.track("room", "alice", 1)
      const scope = yield* Scope.make()
      yield* Scope.extend(presence.track("room", "bob"), scope)
      yield* Effect.promise(() => redis.command("CONFIG", "SET", "maxmemory", "1"))
      yield* Effect.addFinalizer(() => Effect.promise(() => redis.command("CONFIG", "SET", "maxmemory", "0")))
      expect(yield* Effect.flip(stays.update(2))).toMatchObject({ _tag: "PresenceUnavailable" })
      yield* Scope.close(scope, Exit.void)
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
      yield* Effect.promise(() => redis.command("CONFIG", "SET", "maxmemory", "0"))
      yield* Effect.repeat(Effect.delay(presence.list("room"), 5), { until: ([entry]) => entry?.metas[0] === 2 })
    })
  )

  it.scopedLive("a rejoin that fails after its scope closed has ended, also with a leave delay", () =>
    Effect.gen(function* () {
      const presence = yield* build({ ttl: "200 millis", sweepInterval: "10 millis" })
      const scope = yield* Scope.make()
      const lease = yield* Scope.extend(presence.track("room", "alice", {}, { leaveDelay: "1 minute" }), scope)
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ connections }) => connections === 0 })
      proxy.cut()
      const refreshing = yield* Effect.fork(Effect.flip(lease.refresh))
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ connections }) => connections === 1 })
      yield* Scope.close(scope, Exit.void)
      expect(yield* Fiber.join(refreshing)).toMatchObject({ _tag: "PresenceUnavailable" })
      expect(yield* lease.ended).toBe("released")
      proxy.mend()
      expect(yield* lease.refresh).toBe("released")
      expect(yield* presence.health).toMatchObject({ connections: 0 })
    })
  )
})
