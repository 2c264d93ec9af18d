/** Replicas of a newer version, which keep and say things that this one cannot know. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Stream } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("beside a newer version", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  const ask = (...args: ReadonlyArray<string>) => Effect.promise(() => redis.command(...args))

  const build = (prefix: string) =>
    Layer.build(
      PresenceRedis.layer({
        url: redis.url,
        prefix,
        lease: "3 seconds",
        heartbeat: "500 millis",
        timeout: "1 second"
      })
    )

  /** From here on what is logged is kept. */
  const logs = Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void lines.push([message].flat().join(" ")))
    yield* Layer.build(Logger.replace(Logger.defaultLogger, logger))
    return lines
  })

  const until = <A>(effect: Effect.Effect<A, unknown>, is: (value: A) => boolean) =>
    Effect.repeat(Effect.delay(effect, 20), { until: is })

  /** All that is kept below a prefix. */
  const dump = (prefix: string) =>
    Effect.gen(function* () {
      const names = (yield* ask("KEYS", `${prefix}:*`)).split("\r\n").filter((line) => line.startsWith(prefix))
      return yield* Effect.forEach(names.toSorted(), (name) =>
        Effect.map(ask("DUMP", name), (dumped) => [name, dumped])
      )
    })

  it.scopedLive("a replica says so, shows what it follows, touches nothing, and comes back when that has gone", () =>
    Effect.gen(function* () {
      const lines = yield* logs
      const [a, b] = [Context.get(yield* build("world"), Presence), Context.get(yield* build("world"), Presence)]
      yield* a.track("followed", "alice")
      yield* a.track("other", "alice")
      yield* b.track("followed", "bob")
      const heard: Array<string> = []
      yield* a.events("followed").pipe(
        Stream.runForEach(({ type, key }) => Effect.sync(() => heard.push(`${type} ${key}`))),
        Effect.forkScoped
      )
      const names = Effect.map(a.list("followed"), (list) => list.map(({ key }) => key).join(" "))
      yield* until(names, (list) => list === "alice bob")

      // What such a version may keep: another shape of members, names of replicas where ours are, its own line.
      yield* ask("SET", "world:{0}:c", "format 3, regions 7")
      yield* ask("ZADD", "world:{0}:l", String(Date.now() + 600_000), "newer")
      yield* ask("HSET", "world:{0}:r", "newer", "format 3, lease 15 s")
      yield* ask("HSET", "world:{0}:m:theirs", "newer/1", "\u0001\u0002")
      yield* ask("HSET", "world:{0}:k:theirs", "carol", " newer.1 ")
      for (const presence of [a, b]) yield* until(presence.health, ({ status }) => status === "unavailable")

      const before = yield* dump("world")
      const reason = /are of a newer version.*"format 3, regions 7"; it knows formats up to 2/
      for (const presence of [a, b]) {
        for (const call of [
          presence.list("theirs"),
          presence.count("theirs"),
          presence.get("theirs", "carol"),
          presence.topics,
          presence.evict("theirs", "carol"),
          Effect.scoped(presence.track("followed", "dave"))
        ]) {
          const failure = yield* Effect.flip(call as Effect.Effect<unknown, Error>)
          expect(failure).toMatchObject({ _tag: "PresenceUnavailable" })
          expect(failure.message).toMatch(reason)
        }
      }
      // Longer than the lease, in which each has beaten several times.
      yield* Effect.sleep("4 seconds")
      expect(yield* dump("world")).toEqual(before)
      expect(yield* names).toBe("alice bob")
      // Once each.
      expect(lines).toEqual([expect.stringMatching(reason), expect.stringMatching(reason)])

      yield* ask("DEL", "world:{0}:m:theirs", "world:{0}:k:theirs")
      yield* ask("HDEL", "world:{0}:r", "newer")
      yield* ask("ZREM", "world:{0}:l", "newer")
      for (const presence of [a, b]) yield* until(presence.health, ({ status }) => status === "ok")
      yield* b.track("followed", "erin")
      yield* until(names, (list) => list === "alice bob erin")
      expect(heard).toEqual(["join alice", "join bob", "join erin"].filter((line) => heard.includes(line)))
      expect(heard.some((line) => line.startsWith("leave"))).toBe(false)
    })
  )

  it.scopedLive("what is said in a newer format is dropped, once with a word, and the topic is read", () =>
    Effect.gen(function* () {
      const lines = yield* logs
      const context = yield* build("said")
      const [presence, channels] = [Context.get(context, Presence), Context.get(context, Channels)]
      yield* presence.track("room", "alice")
      yield* presence.subscribe("room")
      const texts = yield* channels.subscribe("chat")
      for (let i = 0; i < 3; i++) {
        yield* ask("PUBLISH", "said:{0}:t:room", JSON.stringify([3, { at: [7, 8] }, "+", "newer.1", 1, "carol", {}]))
        yield* ask("PUBLISH", "said:c:chat", JSON.stringify([3, "chat", "text of another shape"]))
      }
      yield* ask("PUBLISH", "said:c:chat", JSON.stringify(["elsewhere", "chat", "ours"]))
      expect(yield* texts.take).toEqual(["ours"])
      expect((yield* presence.list("room")).map(({ key }) => key)).toEqual(["alice"])
      // A word for the kind of thing, not one for each.
      expect(lines).toEqual([expect.stringMatching(/a message on "said:.*of a newer version.*format 3/)])
      // It goes on to hear what it understands.
      yield* presence.track("room", "bob")
      yield* until(presence.list("room"), (list) => list.length === 2)
    })
  )
})
