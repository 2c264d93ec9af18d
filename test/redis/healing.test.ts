/** Keys that somebody deletes, or lets Redis evict: replicas write them again, nobody is told a leave that is none, nobody stays. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Chunk, Context, Effect, Layer, Schedule, Stream } from "effect"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { Keys } from "../../src/redis/protocol/keys.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"
import { HEARTBEAT, LEASE } from "./replicas.js"

let redis: RedisServer

const replica = (prefix: string) =>
  Effect.map(
    Layer.build(PresenceRedis.layer({ url: redis.url, prefix, lease: LEASE, heartbeat: HEARTBEAT, timeout: LEASE })),
    (context) => Context.get(context, Presence)
  )

const command = (...args: ReadonlyArray<string>) => Effect.promise(() => redis.command(...args))

/** What Redis has of a prefix: each key with its type and what is in it, but for numbers that grow. */
const DATA = `
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local type = redis.call('TYPE', key).ok
  local inside = {}
  if type == 'zset' then inside = redis.call('ZRANGE', key, 0, -1) end
  if type == 'hash' then inside = redis.call('HKEYS', key) end
  table.sort(inside)
  found[#found + 1] = string.sub(key, #ARGV[1] + 1) .. ' ' .. type .. ' ' .. table.concat(inside, ', ')
end
table.sort(found)
return table.concat(found, '|')`

const dataOf = (base: string) =>
  Effect.map(command("EVAL", DATA, "0", base), (reply) => reply.split("\r\n")[1]?.split("|") ?? [])

/** Waits until Redis has what it had. */
const healed = (base: string, before: ReadonlyArray<string>) =>
  dataOf(base).pipe(
    Effect.filterOrFail(
      (now) => now.join() === before.join(),
      () => "not yet" as const
    ),
    Effect.retry(Schedule.spaced("50 millis"))
  )

describe.skipIf(redisIsOff())("a key that is gone", () => {
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  it.live.each([
    ["the leases", "l"],
    ["the versions", "v"],
    ["who lives how", "r"],
    ["what all have in common", "c"],
    ["the indexes", "i:"],
    ["a topic's members", "m:room"],
    ["a topic's keys", "k:room"],
    ["all members and keys", "[mk]:"]
  ])("is written again within a few heartbeats: %s", ([name, letters]) =>
    Effect.gen(function* () {
      const prefix = `heal ${name}`
      const base = new Keys(prefix, 0).leases.slice(0, -1)
      const [a, b, reader] = yield* Effect.all([replica(prefix), replica(prefix), replica(prefix)])
      const leaving = yield* a.track("hall", "carol")
      yield* a.track("room", "alice")
      yield* b.track("room", "bob")
      yield* b.track("room", "alice")
      const { stream } = yield* b.subscribe("room")
      const before = yield* dataOf(base)
      const gone = before.map((line) => line.split(" ")[0] ?? "").filter((key) => new RegExp(`^${letters}`).test(key))
      expect(gone.length).toBeGreaterThan(0)
      for (const key of gone) yield* command("DEL", base + key)
      yield* healed(base, before)
      // Whoever reads them now reads what there is.
      expect((yield* reader.list("room")).map(({ key, metas }) => [key, metas.length]).sort()).toEqual([
        ["alice", 2],
        ["bob", 1]
      ])
      expect(yield* reader.count("room")).toEqual({ keys: 2, connections: 3 })
      expect(Array.from(yield* reader.topics).sort()).toEqual(["hall", "room"])
      expect(Array.from(yield* reader.topicsOf("alice"))).toEqual(["room"])
      // And what follows it: the first that its channel tells is what happens next.
      yield* leaving.release
      yield* a.track("room", "dave")
      const [first] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(stream, 1)))
      expect(first).toMatchObject({ type: "join", key: "dave" })
      expect(Array.from(yield* reader.topics)).toEqual(["room"])
    }).pipe(Effect.scoped)
  )

  it.scopedLive("keeps nobody on who leaves before it is written again", () =>
    Effect.gen(function* () {
      const keys = new Keys("leaver", 0)
      const [a, b] = yield* Effect.all([replica("leaver"), replica("leaver")])
      const lease = yield* a.track("room", "alice")
      const { stream } = yield* b.subscribe("room")
      expect((yield* b.list("room")).map(({ key }) => key)).toEqual(["alice"])
      yield* command("DEL", keys.members("room"))
      yield* lease.release
      const [first] = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(stream, 1)))
      expect(first).toMatchObject({ type: "leave", key: "alice" })
      expect(yield* b.list("room")).toEqual([])
      expect(yield* b.topicsOf("alice")).toEqual([])
    })
  )

  it.scopedLive("keeps nobody on of a replica that ended without a word, whose index it was", () =>
    Effect.gen(function* () {
      const keys = new Keys("ghost", 0)
      const b = yield* replica("ghost")
      // As one that was there leaves it when it is killed, and then somebody deletes its index.
      yield* command("HSET", keys.versions, "room", "1 t")
      yield* command("HSET", keys.members("room"), "dead.1", "1 1 {}\nalice")
      yield* command("HSET", keys.keys("room"), "alice", " dead.1 ")
      const { stream } = yield* b.subscribe("room")
      yield* command("ZADD", keys.leases, "1", "dead")
      const leaves = yield* Stream.runCollect(
        Stream.take(stream.pipe(Stream.filter(({ type }) => type === "leave")), 1)
      )
      expect(Chunk.toReadonlyArray(leaves)).toMatchObject([{ key: "alice" }])
      expect(yield* b.list("room")).toEqual([])
      expect(yield* b.topics).toEqual([])
    })
  )

  it.scopedLive("keeps nobody on of a replica that ended without a word, before all leases were lost", () =>
    Effect.gen(function* () {
      const keys = new Keys("forgotten", 0)
      const [a, b] = yield* Effect.all([replica("forgotten"), replica("forgotten")])
      yield* a.track("room", "bob", undefined, { ttl: "1 hour" })
      // As one that was there leaves it when it is killed.
      yield* command("HSET", keys.members("room"), "dead.1", "1 1 {}\nalice")
      yield* command("HSET", keys.keys("room"), "alice", " dead.1 ")
      yield* command("HSET", keys.index("dead"), "", "1", "1:room", "")
      const { stream } = yield* b.subscribe("room")
      const before = yield* dataOf(keys.leases.slice(0, -1))
      yield* command("DEL", keys.leases, keys.replicas)
      const leaves = yield* Stream.runCollect(
        Stream.take(stream.pipe(Stream.filter(({ type }) => type === "leave")), 1)
      )
      expect(Chunk.toReadonlyArray(leaves)).toMatchObject([{ key: "alice" }])
      expect((yield* a.list("room")).map(({ key }) => key)).toEqual(["bob"])
      // Nothing is left of it, nor of the search.
      yield* healed(
        keys.leases.slice(0, -1),
        before
          .filter((line) => line !== "i:dead hash , 1:room")
          .map((line) => line.replace("alice, ", "").replace(/dead\.1, |, dead\.1/, ""))
      )
    })
  )
})
