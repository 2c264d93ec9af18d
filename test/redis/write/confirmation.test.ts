import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Scope } from "effect"
import { Presence } from "../../../src/index.js"
import type { RedisOptions } from "../../../src/redis/index.js"
import { buildOver, redisOnALine } from "../../support/line.js"
import { redisIsOff } from "../../support/redis.js"

describe.skipIf(redisIsOff())("leases that wait for Redis", () => {
  const line = redisOnALine()

  const build = (options?: RedisOptions & Presence.Options) =>
    Effect.map(buildOver(line, options), Context.get(Presence))

  it.scopedLive("a scope closes, and others see it, while Redis is full and takes no joins and updates", () =>
    Effect.gen(function* () {
      const presence = yield* build()
      const stays = yield* presence.track("room", "alice", 1)
      const scope = yield* Scope.make()
      yield* Scope.extend(presence.track("room", "bob"), scope)
      yield* Effect.promise(() => line.redis.command("CONFIG", "SET", "maxmemory", "1"))
      yield* Effect.addFinalizer(() => Effect.promise(() => line.redis.command("CONFIG", "SET", "maxmemory", "0")))
      expect(yield* Effect.flip(stays.update(2))).toMatchObject({ _tag: "PresenceUnavailable" })
      yield* Scope.close(scope, Exit.void)
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
      yield* Effect.promise(() => line.redis.command("CONFIG", "SET", "maxmemory", "0"))
      yield* Effect.repeat(Effect.delay(presence.list("room"), 5), { until: ([entry]) => entry?.metas[0] === 2 })
    })
  )

  it.scopedLive("a rejoin that fails after its scope closed has ended, also with a leave delay", () =>
    Effect.gen(function* () {
      const presence = yield* build({ ttl: "200 millis", sweepInterval: "10 millis" })
      const scope = yield* Scope.make()
      const lease = yield* Scope.extend(presence.track("room", "alice", {}, { leaveDelay: "1 minute" }), scope)
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ connections }) => connections === 0 })
      line.proxy.cut()
      const refreshing = yield* Effect.fork(Effect.flip(lease.refresh))
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ connections }) => connections === 1 })
      yield* Scope.close(scope, Exit.void)
      expect(yield* Fiber.join(refreshing)).toMatchObject({ _tag: "PresenceUnavailable" })
      expect(yield* lease.ended).toBe("released")
      line.proxy.mend()
      expect(yield* lease.refresh).toBe("released")
      expect(yield* presence.health).toMatchObject({ connections: 0 })
    })
  )
})
