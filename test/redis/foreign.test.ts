/** Other programs on the same Redis, and people at its command line: what they write is no presence, and ends none. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Schedule, Stream } from "effect"
import fc from "fast-check"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { Keys } from "../../src/redis/protocol/keys.js"
import { redisIsOff, startRedis } from "../support/redis.js"

const keys = new Keys("presence", 0)

const redisServer = Effect.acquireRelease(
  Effect.promise(() => startRedis()),
  (redis) => Effect.promise(() => redis.stop())
)

/** A replica, and what it warns of. */
const replica = (url: string, warnings: Array<string> = []) => {
  const logger = Logger.make(({ message }) => void warnings.push(String(message)))
  return Effect.map(
    Layer.build(
      PresenceRedis.layer({ url, timeout: "1 second" }).pipe(
        Layer.provide(Logger.replace(Logger.defaultLogger, logger))
      )
    ),
    (context) => Context.get(context, Presence)
  )
}

const until = <A, E>(read: Effect.Effect<A, E>, holds: (value: A) => boolean) =>
  read.pipe(
    Effect.filterOrFail(holds, () => "not yet" as const),
    Effect.retry(Schedule.spaced("20 millis"))
  )

describe.skipIf(redisIsOff())("what no replica wrote", () => {
  it.scopedLive("on the channels is told to nobody, and one warning names the channel", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer
      const warnings: Array<string> = []
      const presence = yield* replica(redis.url, warnings)
      const { stream } = yield* presence.subscribe("room")
      const texts = fc.sample(fc.oneof(fc.json(), fc.string()), 100)
      for (const text of texts) {
        for (const channel of [keys.topicChannel("room"), "presence:c:room", keys.inbox("nobody")]) {
          yield* Effect.promise(() => redis.command("PUBLISH", channel, text.replaceAll("\0", "")))
        }
      }
      yield* presence.track("room", "alice")
      const [first] = yield* Stream.runCollect(Stream.take(stream, 1))
      expect(first).toMatchObject({ type: "join", key: "alice" })
      expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["alice"])
      expect(warnings.filter((warning) => warning.includes(keys.topicChannel("room"))).length).toBe(1)
      expect((yield* presence.health).status).toBe("ok")
    })
  )

  it.scopedLive("in a topic's keys spoils that topic only, is named, and the topic works again without it", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer
      const warnings: Array<string> = []
      const presence = yield* replica(redis.url, warnings)
      const other = yield* replica(redis.url)
      yield* Effect.promise(() => redis.command("SET", keys.members("bad"), "a typing error"))
      // In one turn, and so in one call.
      const [bad, good] = yield* Effect.all(
        [Effect.either(presence.track("bad", "alice")), Effect.either(presence.track("good", "bob"))],
        { concurrency: 2 }
      )
      expect([bad._tag, good._tag]).toEqual(["Left", "Right"])
      expect((yield* other.list("good")).map(({ key }) => key)).toEqual(["bob"])
      expect(warnings.some((warning) => warning.includes(keys.members("bad")))).toBe(true)
      yield* Effect.promise(() => redis.command("DEL", keys.members("bad")))
      yield* presence.track("bad", "carol")
      expect((yield* until(other.list("bad"), (list) => list.length === 1)).map(({ key }) => key)).toEqual(["carol"])
    })
  )

  it.scopedLive("among a topic's members is no member, and a warning names the key", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer
      const warnings: Array<string> = []
      const presence = yield* replica(redis.url, warnings)
      yield* presence.track("room", "alice")
      for (const [field, value] of [
        ["x", "y"],
        ["x.1", "1 1 {"],
        ["", ""],
        ["x.2", "1 a {}\nk"]
      ]) {
        yield* Effect.promise(() => redis.command("HSET", keys.members("room"), field ?? "", value ?? ""))
      }
      expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["alice"])
      yield* presence.subscribe("room")
      expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["alice"])
      expect(warnings.some((warning) => warning.includes(keys.members("room")))).toBe(true)
    })
  )

  it.scopedLive("in a key that all need makes it unavailable, is named, and goes by itself with the key", () =>
    Effect.gen(function* () {
      const redis = yield* redisServer
      const warnings: Array<string> = []
      const presence = yield* replica(redis.url, warnings)
      yield* presence.track("room", "alice")
      yield* Effect.promise(() => redis.command("SET", keys.leases, "x"))
      yield* Effect.either(presence.track("room", "bob"))
      yield* until(presence.health, ({ status }) => status === "unavailable")
      yield* until(
        Effect.sync(() => warnings),
        (warnings) => warnings.some((warning) => warning.includes(keys.leases))
      )
      yield* Effect.promise(() => redis.command("DEL", keys.leases))
      yield* until(presence.health, ({ status }) => status === "ok")
      expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["alice"])
    })
  )
})
