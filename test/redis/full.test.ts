/** A Redis whose memory is full: what is refused says so, and what needs no memory goes on. */
import { expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Queue, Scope } from "effect"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { redisIsOff, startRedis } from "../support/redis.js"

it.scopedLive.skipIf(redisIsOff())("a join to a full Redis fails with that reason, which the log says once", () =>
  Effect.gen(function* () {
    const redis = yield* Effect.acquireRelease(
      Effect.promise(() => startRedis({ args: ["--maxmemory-policy", "noeviction"] })),
      (redis) => Effect.promise(() => redis.stop())
    )
    const logged = yield* Queue.unbounded<string>()
    const logger = Logger.make<unknown, void>(({ message }) => void logged.unsafeOffer(String(message)))
    const presence = Context.get(
      yield* Layer.build(PresenceRedis.layer({ url: redis.url, timeout: "3 seconds" })).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
      Presence
    )
    const scope = yield* Scope.make()
    yield* Scope.extend(presence.track("room", "alice"), scope)
    yield* Effect.promise(() => redis.command("CONFIG", "SET", "maxmemory", "1"))
    const refused = yield* Effect.flip(presence.track("room", "bob"))
    expect(refused.message).toContain('Redis refuses writing "room": the memory of Redis is full')
    expect(yield* Queue.take(logged)).toBe("Redis takes no joins and updates: the memory of Redis is full")
    expect(yield* presence.health).toMatchObject({ status: "ok" })
    yield* Scope.close(scope, Exit.void)
    expect(yield* presence.list("room")).toEqual([])
    yield* Effect.promise(() => redis.command("CONFIG", "SET", "maxmemory", "0"))
    yield* presence.track("room", "carol")
    expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["carol"])
    expect(yield* Queue.size(logged)).toBe(0)
  })
)
