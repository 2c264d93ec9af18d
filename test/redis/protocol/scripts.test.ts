import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { open } from "../../../src/redis/client/ioredis.js"
import type { Port } from "../../../src/redis/client/port.js"
import * as calls from "../../../src/redis/protocol/calls.js"
import { membersOf, messageOf } from "../../../src/redis/protocol/decoding.js"
import { checkPrefix, Keys, partitionOf } from "../../../src/redis/protocol/keys.js"
import { pages, topicsWith } from "../../../src/redis/protocol/pages.js"
import { type Script, where } from "../../../src/redis/protocol/scripts.js"
import {
  type ApplyCall,
  type BeatAnswer,
  type BeatCall,
  byAge,
  type Operation,
  type Settings,
  type StoredMember,
  type TopicMessage
} from "../../../src/redis/protocol/values.js"
import { FakePartition } from "../../support/partition.js"
import { type RedisServer, redisIsOff, startRedis } from "../../support/redis.js"

const LEASE = 1_000_000_000
const HEARTBEAT = 100_000_000
const settings: Settings = { lease: LEASE, heartbeat: HEARTBEAT, partitions: 1 }

/** Scripts that take the time from the key `clock`, in ms, so that a test can step it. */
const clocked = (port: Port): Port => ({
  ...port,
  run: (script, keys, args) => {
    const text = script.text.replace(/(redis\.)?call\('TIME'\)/, "{ 0, redis.call('GET', 'clock') * 1000 }")
    return port.run({ ...script, text, hash: createHash("sha1").update(text).digest("hex") }, keys, args)
  }
})

const put = (topic: string, seq: number, revision = seq, key = "alice", meta = "{}"): Operation => ({
  type: "put",
  topic,
  seq,
  revision,
  key,
  meta
})

const remove = (topic: string, seq: number): Operation => ({ type: "remove", topic, seq, reason: "released" })

describe.skipIf(redisIsOff())("the scripts, on a real server", () => {
  let redis: RedisServer
  let port: Port
  let messages: Array<TopicMessage & { readonly topic: string }> = []
  let inboxes: Array<string> = []
  let onMarker: (text: string) => void = () => {}
  const keys = new Keys("test", 0)

  beforeAll(async () => {
    redis = await startRedis({ args: ["--enable-debug-command", "local"] })
    const ignore = (): void => {}
    port = await open(
      { where: { url: redis.url }, timeout: 60_000, name: "scripts" },
      {
        onReady: ignore,
        onSubscriberReady: ignore,
        onDown: ignore,
        onSubscriberDown: ignore,
        onMessage: (channel, text) => {
          if (channel === "marker") onMarker(text)
          else if (channel.startsWith(keys.inboxes)) inboxes.push(channel.slice(keys.inboxes.length))
          else {
            const message = messageOf(text)
            if (message !== undefined) messages.push({ ...message, topic: channel.slice(keys.channel.length) })
          }
        }
      }
    )
  })
  afterAll(async () => {
    port.close()
    await redis.stop()
  })

  let number = 0
  const call = (mode: ApplyCall["mode"], replica: string, operations: ReadonlyArray<Operation>): ApplyCall => ({
    mode,
    replica,
    number: ++number,
    tag: `${replica}.${number}`,
    operations
  })
  const apply = (mode: ApplyCall["mode"], replica: string, ...operations: ReadonlyArray<Operation>) =>
    calls.apply(port, keys, call(mode, replica, operations))
  const beatOf = (mode: BeatCall["mode"], replica: string, more: Partial<BeatCall> = {}): BeatCall => ({
    mode,
    replica,
    number: ++number,
    tag: `${replica}.${number}`,
    settled: "",
    whole: false,
    seen: [],
    ...more
  })
  const beat = (mode: BeatCall["mode"], replica: string, ...seen: ReadonlyArray<string>) =>
    calls.beat(port, keys, settings, beatOf(mode, replica, { seen }))
  /** As a beat finds it: `passed` is late for the next one, and then marked. */
  const late = (replica: string) => port.command("ZADD", [keys.leases, "XX", "-inf", replica])
  const passed = (replica: string) => port.command("ZADD", [keys.leases, "XX", 1, replica])
  const members = async (topic: string) => (await calls.read(port, keys, topic, 1_000)).members ?? []

  it("apply refuses who is not in l, who is late, and what comes after something newer", async () => {
    await redis.command("FLUSHALL")
    expect(await apply("own", "r", put("t", 1))).toEqual({ status: "LEASE" })
    expect(await beat("claim", "r")).toMatchObject({ status: "OK", connections: 0, late: [], evicted: [] })
    expect(Number(await port.command("ZSCORE", [keys.leases, "r"])) - Date.now()).toBeGreaterThan(LEASE - 60_000)
    const old = call("own", "r", [put("t", 1)])
    expect(await apply("own", "r", put("t", 2))).toMatchObject({ status: "OK", changed: 1 })
    expect(await calls.apply(port, keys, old)).toEqual({ status: "STALE" })
    await late("r")
    expect(await apply("own", "r", put("t", 3))).toEqual({ status: "LEASE" })
    expect((await members("t")).map(({ connection }) => connection)).toEqual(["r.2"])
  })

  it("a replica begins to count at 1, and goes on where somebody else took away or spoiled what it had counted", async () => {
    await redis.command("FLUSHALL")
    const claim = (number: number) => calls.beat(port, keys, settings, { ...beatOf("claim", "r"), number })
    const write = (number: number) => calls.apply(port, keys, { ...call("own", "r", [put("t", number)]), number })
    expect(await claim(1)).toMatchObject({ status: "OK" })
    expect(await write(2)).toMatchObject({ status: "OK" })
    // What comes twice is carried out once.
    expect([await write(2), await claim(2)]).toEqual([{ status: "STALE" }, { status: "STALE" }])
    await redis.command("DEL", keys.index("r"))
    expect(await write(3)).toMatchObject({ status: "OK" })
    await redis.command("HSET", keys.index("r"), "", "x")
    expect(await write(4)).toMatchObject({ status: "OK" })
    await redis.command("HSET", keys.index("r"), "", "x")
    expect(await claim(5)).toMatchObject({ status: "OK" })
  })

  it("apply is silent about what is so already, and tells one message for each topic that changed", async () => {
    await redis.command("FLUSHALL")
    messages = []
    await port.subscribe([keys.topicChannel("a"), keys.topicChannel("b")])
    await beat("claim", "r")
    await apply("own", "r", put("a", 1), put("b", 2), put("a", 3, 3, "bob", '{"n":1e3,"s":"}\\"\\n"}'))
    await apply("own", "r", put("a", 1), put("a", 3, 2, "bob"), remove("b", 9))
    await apply("own", "r", put("a", 3, 5, "bob", "[]"), remove("b", 2))
    await apply("own", "r", put("b", 6, 6, "x\ny", "null"))
    await marker()
    expect(messages.filter(({ topic }) => topic === "a")).toMatchObject([
      {
        from: 0,
        to: 1,
        fromTag: "",
        born: true,
        operations: [
          { type: "put", connection: "r.1", revision: 1, key: "alice", meta: {} },
          { type: "put", connection: "r.3", revision: 3, key: "bob", meta: { n: 1000, s: '}"\n' } }
        ]
      },
      { from: 1, to: 2, born: false, operations: [{ type: "put", connection: "r.3", revision: 5, meta: [] }] }
    ])
    const b = messages.filter(({ topic }) => topic === "b")
    expect(b).toMatchObject([
      { from: 0, to: 1, born: true },
      { from: 1, to: 2, born: false, operations: [{ type: "remove", connection: "r.2", reason: "released" }] },
      // It went away at 2, so it comes back above it.
      { from: 2, to: 3, born: true, fromTag: "", operations: [{ key: "x\ny", meta: null }] }
    ])
    expect(b[1]?.fromTag).toBe(b[0]?.tag)
    expect(await calls.get(port, keys, "b", "x\ny")).toMatchObject([{ connection: "r.6", key: "x\ny", meta: null }])
    await port.unsubscribe([keys.topicChannel("a"), keys.topicChannel("b")])
  })

  it("a connection that was evicted is not written again, also not after its replica was reaped", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "other"]) await beat("claim", replica)
    await apply("own", "r", put("t", 1), put("t", 2))
    expect(await apply("evict", "r", remove("t", 1), remove("t", 7))).toMatchObject({ status: "OK", changed: 1 })
    expect(await apply("own", "r", put("t", 1, 3))).toMatchObject({ changed: 0, forbidden: [0] })
    // An owner that never comes back does not leave it for ever.
    expect(Number(await port.command("TTL", [keys.evicted("r")]))).toBeGreaterThan(3_500)
    await late("r")
    expect(await apply("reap", "r", remove("t", 2))).toMatchObject({ changed: 1, emptied: true })
    expect(await beat("claim", "r")).toMatchObject({ status: "OK", connections: 0, evicted: ["1:t"] })
    expect(await apply("own", "r", put("t", 1, 3), put("t", 2))).toMatchObject({ changed: 1, forbidden: [0] })
    expect(await beat("beat", "r", "1:t")).toMatchObject({ evicted: [], connections: 1 })
    expect(await apply("own", "r", put("t", 1, 3))).toMatchObject({ changed: 1, forbidden: [] })
  })

  it("reap leaves who is in time alone, removes what the index leads to, and forgets the replica with the last", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await beat("claim", "other")
    await apply("own", "r", put("t", 1), put("u", 2))
    expect(await apply("reap", "r", remove("t", 1))).toEqual({ status: "ALIVE" })
    await passed("r")
    expect(await apply("reap", "r", remove("t", 1))).toEqual({ status: "ALIVE" })
    expect(await beat("beat", "other")).toMatchObject({ late: ["r"] })
    expect(await apply("reap", "r", remove("t", 1))).toMatchObject({ changed: 1, emptied: false })
    // Another reaper comes with the same batch.
    expect(await apply("reap", "r", remove("t", 1))).toMatchObject({ changed: 0, emptied: false })
    await port.command("HDEL", [keys.members("u"), "r.2"])
    expect(await apply("reap", "r", remove("u", 2))).toMatchObject({ changed: 1, emptied: true })
    expect(await beat("beat", "other")).toMatchObject({ late: [] })
    expect(await port.command("KEYS", ["test:{0}:i:r"])).toEqual([])
  })

  it("reap says whom it ended, by the operation that did", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "other"]) await beat("claim", replica)
    await apply("own", "r", put("t", 1), put("u", 2, 5, "bob", '{"n":1}'), put("t", 3))
    await late("r")
    const reaped = await apply("reap", "r", remove("t", 9), remove("u", 2), remove("t", 1))
    expect(reaped).toMatchObject({
      status: "OK",
      lost: [
        { topic: "u", member: { connection: "r.2", revision: 5, key: "bob", meta: { n: 1 } } },
        { topic: "t", member: { connection: "r.1", revision: 1, key: "alice", meta: {} } }
      ]
    })
    expect(await calls.get(port, keys, "t", "alice")).toMatchObject([{ connection: "r.3" }])
    expect(await apply("reap", "r", remove("t", 3))).toMatchObject({ changed: 1, emptied: true })
    expect(await port.command("EXISTS", [keys.keys("t"), keys.keys("u")])).toBe(0)
  })

  it("reap forgets whose index is lost when nothing is asked for any more, as it may have had more", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "other"]) await beat("claim", replica)
    await apply("own", "r", put("t", 1))
    await port.command("DEL", [keys.index("r")])
    await apply("own", "r", put("t", 2))
    await late("r")
    // Who is in it still may have come since.
    expect(await apply("reap", "r")).toMatchObject({ changed: 0, emptied: false })
    expect(await apply("reap", "r", remove("t", 2))).toMatchObject({ changed: 1, emptied: false })
    expect(await apply("reap", "r", remove("t", 1))).toMatchObject({ changed: 1, emptied: false })
    expect(await apply("reap", "r")).toMatchObject({ changed: 0, emptied: true })
    expect(await members("t")).toEqual([])
    expect(await port.command("ZSCORE", [keys.leases, "r"])).toBe(null)
  })

  it("put gives back what belongs to a member and somebody has deleted, and tells nobody", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "other"]) await beat("claim", replica)
    const all = [put("a", 1), put("b", 2, 2, "bob"), put("b", 3), put("b", 4, 4, "b.b")]
    await apply("own", "r", ...all)
    await apply("own", "other", put("b", 1, 1, "bob"))
    const state = async () => ({
      index: await port.command("HKEYS", [keys.index("r")]),
      versions: await port.command("HKEYS", [keys.versions]),
      a: await connectionsByKey("a"),
      b: await connectionsByKey("b")
    })
    const before = await state()
    messages = []
    await port.subscribe([keys.topicChannel("a"), keys.topicChannel("b")])
    const lose = (...names: ReadonlyArray<string>) => port.command("DEL", names)
    await lose(keys.index("r"), keys.keys("a"), keys.keys("b"))
    expect(await apply("own", "r", ...all)).toMatchObject({ changed: 0, prevented: [] })
    expect(await apply("own", "other", put("b", 1, 1, "bob"))).toMatchObject({ changed: 0 })
    // The number comes back with who says that all is in it, so that a reaper knows that the index was not whole.
    for (const mode of ["beat", "claim", "leave"] as const) {
      expect(await beat(mode, "r")).toMatchObject({ connections: undefined })
      expect(await port.command("HEXISTS", [keys.index("r"), ""])).toBe(0)
    }
    const whole = beatOf("beat", "r", { whole: true })
    expect(await calls.beat(port, keys, settings, whole)).toMatchObject({ connections: 4 })
    expect(await state()).toMatchObject({ a: before.a, b: before.b })
    expect([...((await state()).index as Array<string>)].sort()).toEqual([...(before.index as Array<string>)].sort())
    // Again it changes nothing.
    const values = () => port.command("HGETALL", [keys.keys("b")])
    const given = await values()
    await apply("own", "r", ...all)
    expect(await values()).toEqual(given)
    // A key of another type stays what it is, and does no harm.
    await redis.command("SET", keys.keys("a"), "x")
    expect(await apply("own", "r", put("a", 1))).toMatchObject({ changed: 0, prevented: [] })
    await lose(keys.keys("a"))
    // The versions begin anew, each topic's with the first put.
    await lose(keys.versions)
    const restored = await apply("own", "r", put("a", 1), put("b", 3))
    expect(restored).toMatchObject({ status: "OK", changed: 0 })
    expect(restored.status === "OK" && [...restored.versions]).toEqual([
      ["a", 1],
      ["b", 1]
    ])
    expect((await calls.read(port, keys, "b", 0)).standing).toMatchObject({ version: 1 })
    expect([...((await state()).versions as Array<string>)].sort()).toEqual(["", "a", "b"])
    await marker()
    expect(messages).toEqual([])
    await port.unsubscribe([keys.topicChannel("a"), keys.topicChannel("b")])
  })

  it("who is a member and in no index may be one whom no follower has heard of: the version moves, and nobody is told", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("a", 1), put("b", 2))
    const [before] = await calls.standings(port, keys, ["a"])
    expect(before).toMatchObject({ version: 1 })
    messages = []
    await port.subscribe([keys.topicChannel("a"), keys.topicChannel("b")])
    await port.command("HDEL", [keys.index("r"), "1:a"])
    // What is told with it of others waits for the reading too.
    const restored = await apply("own", "r", put("a", 1), put("a", 3), put("b", 2))
    expect(restored).toMatchObject({
      changed: 1,
      versions: new Map([
        ["a", 2],
        ["b", 1]
      ])
    })
    expect(await calls.standings(port, keys, ["a", "b"])).toMatchObject([{ version: 2 }, { version: 1 }])
    // Once it is there again nothing moves.
    expect(await apply("own", "r", put("a", 1))).toMatchObject({ versions: new Map([["a", 2]]) })
    await marker()
    expect(messages).toEqual([])
    await port.unsubscribe([keys.topicChannel("a"), keys.topicChannel("b")])
  })

  it("a member that somebody has deleted leaves for its followers all the same, and its key with the topic", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "other"]) await beat("claim", replica)
    messages = []
    await port.subscribe([keys.topicChannel("t")])
    await apply("own", "r", put("t", 1), put("t", 2))
    await port.command("DEL", [keys.members("t")])
    expect(await apply("own", "r", remove("t", 9))).toMatchObject({ changed: 0 })
    expect(await apply("evict", "r", remove("t", 1))).toMatchObject({ changed: 1 })
    expect(await apply("own", "r", put("t", 1, 3))).toMatchObject({ forbidden: [0] })
    expect(await apply("own", "r", remove("t", 2))).toMatchObject({ changed: 1 })
    await marker()
    expect(messages.map(({ operations }) => operations)).toMatchObject([
      [{ type: "put" }, { type: "put" }],
      [{ type: "remove", connection: "r.1", reason: "released" }],
      [{ type: "remove", connection: "r.2", reason: "released" }]
    ])
    expect(await port.command("EXISTS", [keys.members("t"), keys.keys("t")])).toBe(0)
    expect(await port.command("HKEYS", [keys.versions])).toEqual([""])
    await port.unsubscribe([keys.topicChannel("t")])
  })

  it("when everybody was silent, deadlines move on instead of everybody being late", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await beat("claim", "other")
    await passed("r")
    await passed("other")
    expect(await beat("beat", "other")).toMatchObject({ status: "OK", late: [] })
    expect(await beat("beat", "r")).toMatchObject({ status: "OK" })
  })

  it("as long as somebody beats, who does not is late after a lease", async () => {
    await redis.command("FLUSHALL")
    const short = { ...settings, lease: 200, heartbeat: 200 }
    const claim = (mode: BeatCall["mode"], replica: string) => calls.beat(port, keys, short, beatOf(mode, replica))
    await claim("claim", "r")
    await claim("claim", "other")
    for (;;) {
      const answer = await claim("beat", "other")
      if (answer.status === "OK" && answer.late.includes("r")) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(await claim("beat", "r")).toEqual({ status: "LEASE" })
  })

  it("who gives the lease back with nothing left behind leaves nothing behind", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("t", 1), put("t", 2))
    await apply("evict", "r", remove("t", 1))
    expect(await beat("leave", "r")).toMatchObject({ status: "OK", connections: 1 })
    expect(await port.command("EXISTS", [keys.index("r"), keys.evicted("r")])).toBe(2)
    await apply("own", "r", remove("t", 2))
    expect(await beat("leave", "r")).toMatchObject({ status: "OK", connections: 0 })
    expect(await port.command("EXISTS", [keys.leases, keys.index("r"), keys.evicted("r")])).toBe(0)
  })

  it("an answer carries the first hundred who are late, and a thousand evictions; the next has the rest", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    const places = Array.from({ length: 1_001 }, (_, i) => `${i}:t`)
    await port.command("ZADD", [keys.leases, ...places.slice(0, 101).flatMap((_, i) => ["-inf", `s${i}`])])
    await port.command("HSET", [keys.evicted("r"), ...places.flatMap((place) => [place, ""])])
    const answer = await beat("beat", "r")
    expect(answer.status === "OK" && [answer.late.length, answer.evicted.length]).toEqual([100, 1_000])
    const seen = answer.status === "OK" ? answer.evicted : []
    const rest = places.filter((place) => !seen.includes(place))
    expect(await beat("beat", "r", ...seen)).toMatchObject({ evicted: rest })
  })

  it("who gives the lease back is gone from the settings of those who stay", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "s"]) await beat("claim", replica)
    await beat("leave", "s")
    expect(await port.command("HKEYS", [keys.replicas])).toEqual(["r", ""])
    expect(await port.command("ZRANGE", [keys.leases, 0, -1])).toEqual(["r"])
  })

  it("the name of a replica is taken as it stands, whatever characters are in it", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["a-b+", "a.b"]) await beat("claim", replica)
    await apply("own", "a-b+", put("t", 1), put("t", 2))
    await apply("own", "a.b", put("t", 1))
    await apply("own", "a-b+", remove("t", 1))
    const byName = new Map([["alice", ["a-b+.2", "a.b.1"]]])
    expect(await connectionsByKey("t")).toEqual(byName)
    await apply("own", "a-b+", put("t", 2))
    expect(await connectionsByKey("t")).toEqual(byName)
    await redis.command("DEBUG", "CHANGE-REPL-ID")
    await beat("beat", "a.b")
    expect(await calls.get(port, keys, "t", "alice")).toEqual([])
    await apply("own", "a-b+", remove("t", 2))
    await apply("own", "a.b", remove("t", 1))
    expect(await calls.counts(port, keys, ["t"])).toEqual([{ keys: 0, connections: 0 }])
  })

  describe("the key index", () => {
    const keeping = { ...settings, keyIndex: true }
    const beatKeeping = (mode: BeatCall["mode"], replica: string) =>
      calls.beat(port, keys, keeping, beatOf(mode, replica))
    /** The topics of a key by the index; `undefined` when it is not to be believed. */
    const indexed = async (key: string) => {
      const reply = await port.run(where, [keys.leases, keys.keyIndex], [key, "", 500])
      return reply === null ? undefined : reply
    }

    it("has the topics of those who keep it, who go out of it whoever ends them, and nothing is left at the end", async () => {
      await redis.command("FLUSHALL")
      for (const replica of ["r", "s"]) await beatKeeping("claim", replica)
      await apply("own", "r", put("a", 1), put("b", 2), put("c", 3), put("c", 4, 4, "bob"))
      await apply("own", "s", put("c", 1), put("d", 2))
      expect(await indexed("alice")).toEqual(["a", "b", "c", "d"])
      expect(await indexed("bob")).toEqual(["c"])
      await apply("own", "r", remove("a", 1), put("a", 5, 5, "bob"))
      await apply("evict", "r", remove("b", 2))
      expect([await indexed("alice"), await indexed("bob")]).toEqual([
        ["c", "d"],
        ["a", "c"]
      ])
      await late("r")
      expect(await apply("reap", "r", remove("c", 3), remove("c", 4))).toMatchObject({ emptied: false })
      expect([await indexed("alice"), await indexed("bob")]).toEqual([["c", "d"], ["a"]])
      expect(await apply("reap", "r", remove("a", 5))).toMatchObject({ emptied: true })
      await apply("own", "s", remove("c", 1), remove("d", 2))
      expect(await port.command("ZRANGE", [keys.keyIndex, 0, -1])).toEqual(["0:s"])
      await beatKeeping("leave", "s")
      expect(await port.command("EXISTS", [keys.keyIndex])).toBe(0)
    })

    it("has one who keeps it less when that one leaves, and nothing at all when the last does", async () => {
      await redis.command("FLUSHALL")
      for (const replica of ["r", "s"]) await beatKeeping("claim", replica)
      // An entry that nobody took out, as by version 0.1.
      await port.command("ZADD", [keys.keyIndex, 0, "5:aliceroom"])
      await beatKeeping("leave", "s")
      expect(await port.command("ZRANGE", [keys.keyIndex, 0, -1])).toEqual(["0:r", "5:aliceroom"])
      await beatKeeping("leave", "r")
      expect(await port.command("EXISTS", [keys.keyIndex])).toBe(0)
    })

    it("is read by pages, each of which begins behind the last topic of the one before", async () => {
      await redis.command("FLUSHALL")
      await beatKeeping("claim", "r")
      const all = Array.from({ length: 5 }, (_, i) => `topic ${i}`)
      await apply("own", "r", ...all.map((topic, i) => put(topic, i + 1)))
      // Keys of which one begins as the other are apart, and one of 12 bytes is no neighbour of one of 5.
      await apply("own", "r", put("z", 6, 6, "alice2"), put("a", 7, 7, "alicealicean"), put("topic 9", 8, 8, "alic"))
      const page = (last: string, size: number) => port.run(where, [keys.leases, keys.keyIndex], ["alice", last, size])
      expect(await page("", 3)).toEqual(["topic 0", "topic 1", "topic 2"])
      expect(await page("topic 2", 3)).toEqual(["topic 3", "topic 4"])
      expect(await page("topic 4", 3)).toEqual([])
      expect(await page("", 500)).toEqual(all)
    })

    it("is not believed while somebody is there who does not keep it, and has all of the others when they have gone", async () => {
      await redis.command("FLUSHALL")
      await beatKeeping("claim", "r")
      await beat("claim", "s")
      await apply("own", "s", put("a", 1), put("b", 2))
      // The second connection of the key is the one that is indexed.
      await apply("own", "r", put("a", 1))
      expect(await indexed("alice")).toBeUndefined()
      const looked: Array<ReadonlyArray<string>> = []
      for await (const page of topicsWith(port, keys, "alice", () => {})) looked.push(page)
      expect(looked.flat().sort()).toEqual(["a", "b"])
      await apply("own", "s", remove("a", 1), remove("b", 2))
      await beat("leave", "s")
      expect(await indexed("alice")).toEqual(["a"])
    })

    it("that another program deletes, or writes, is believed again when those who keep it begin anew", async () => {
      await redis.command("FLUSHALL")
      await beatKeeping("claim", "r")
      await apply("own", "r", put("a", 1))
      await redis.command("DEL", keys.keyIndex)
      await beatKeeping("beat", "r")
      await apply("own", "r", put("b", 2))
      expect(await indexed("alice")).toBeUndefined()
      await redis.command("SET", keys.keyIndex, "x")
      expect(await apply("own", "r", put("c", 3), remove("b", 2))).toMatchObject({ changed: 2, prevented: [] })
      expect(await beatKeeping("beat", "r")).toMatchObject({ status: "OK", connections: 2 })
      await redis.command("DEL", keys.keyIndex)
      await apply("own", "r", remove("a", 1), remove("c", 3))
      await beatKeeping("beat", "r")
      await apply("own", "r", put("d", 4))
      expect(await indexed("alice")).toEqual(["d"])
    })
  })

  it("the floor is that of the highest of the topics that emptied, so no version comes twice", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("low", 1))
    await apply("own", "r", put("high", 2))
    await apply("own", "r", put("high", 2, 3))
    await apply("own", "r", remove("high", 2), remove("low", 1))
    expect(await calls.standings(port, keys, ["low"])).toMatchObject([{ version: 3, tag: "" }])
    const again = await apply("own", "r", put("low", 4))
    expect(again.status === "OK" && again.versions.get("low")).toBe(4)
  })

  it("a topic where nobody was and is stands at no version, wherever others have taken the floor", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("other", 1))
    await apply("own", "r", remove("other", 1))
    const answer = await apply("own", "r", remove("nobody", 2), remove("other", 1))
    expect(answer).toMatchObject({
      changed: 0,
      versions: new Map([
        ["nobody", 0],
        ["other", 0]
      ])
    })
  })

  it("ten comes after nine: revisions, versions and floors are numbers", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    for (let revision = 1; revision <= 10; revision++) await apply("own", "r", put("t", 1, revision))
    expect(await members("t")).toMatchObject([{ revision: 10 }])
    await apply("own", "r", put("low", 2))
    for (let revision = 3; revision <= 9; revision++) await apply("own", "r", put("low", 2, revision))
    await apply("own", "r", remove("low", 2))
    expect(await calls.standings(port, keys, ["low", "t"])).toMatchObject([{ version: 9 }, { version: 10 }])
    await apply("own", "r", remove("t", 1))
    expect(await calls.standings(port, keys, ["t"])).toMatchObject([{ version: 11, tag: "" }])
  })

  it("a heartbeat is taken when the memory is full, so that nobody is late for that", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    try {
      expect(await beat("beat", "r")).toMatchObject({ status: "OK" })
      await expect(apply("own", "r", put("t", 1))).rejects.toThrow("OOM")
    } finally {
      await redis.command("CONFIG", "SET", "maxmemory", "0")
    }
  })

  it("leaves, evictions and reaps are taken when the memory is full, as they make room", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("t", 1), put("t", 2), put("t", 3))
    await redis.command("CONFIG", "SET", "maxmemory", "1")
    try {
      expect(await apply("own", "r", remove("t", 1))).toMatchObject({ status: "OK", changed: 1 })
      expect(await apply("evict", "r", remove("t", 2))).toMatchObject({ status: "OK", changed: 1 })
      await redis.command("ZREM", keys.leases, "r")
      expect(await apply("reap", "r", remove("t", 3))).toMatchObject({ status: "OK", emptied: true })
    } finally {
      await redis.command("CONFIG", "SET", "maxmemory", "0")
    }
  })

  describe("when clocks step and leases differ", () => {
    const own = (lease: number, heartbeat = lease / 3): Settings => ({ lease, heartbeat, partitions: 1 })
    const all: Record<string, Settings> = { a: own(15_000), b: own(15_000), c: own(15_000), slow: own(60_000) }
    let now = 1_800_000_000_000

    const at = async (ms: number, replica: string, mode: BeatCall["mode"] = "beat") => {
      now += ms
      await redis.command("SET", "clock", String(now))
      return calls.beat(clocked(port), keys, all[replica] as Settings, beatOf(mode, replica))
    }
    const begin = async (...replicas: ReadonlyArray<string>): Promise<void> => {
      await redis.command("FLUSHALL")
      for (const replica of replicas) expect(await at(0, replica, "claim")).toMatchObject({ status: "OK" })
    }
    /** Beats in turn until somebody is late: who, and after how long. */
    const untilLate = async (...replicas: ReadonlyArray<string>) => {
      for (let passed = 0; passed < 200_000; passed += 1_000) {
        const answer = await at(1_000, replicas[(passed / 1_000) % replicas.length] as string)
        expect(answer.status).toBe("OK")
        if (answer.status === "OK" && answer.late.length > 0) return { late: answer.late, after: passed + 1_000 }
      }
      return undefined
    }

    it.each([-3_600_000, -7_000, -1, 1, 9_000, 12_000, 3_600_000])(
      "a step of %i ms is nobody's death, and keeps no dead one longer than its lease",
      async (step) => {
        await begin("a", "b", "c")
        for (const replica of ["a", "b"]) await at(2_000, replica)
        // From here on only a and b live; c has beaten 4 s ago.
        for (const replica of ["a", "b"])
          expect(await at(replica === "a" ? 500 + step : 500, replica)).toMatchObject({ late: [] })
        const found = await untilLate("a", "b")
        expect(found?.late).toEqual(["c"])
        expect(found?.after).toBeLessThanOrEqual(15_000)
      }
    )

    it("two heartbeats without any are no sign of a clock that stepped, and more than two are", async () => {
      for (const silence of [10_000, 10_001]) {
        await begin("a", "b")
        await at(silence, "a")
        const left = Number(await port.command("ZSCORE", [keys.leases, "b"])) - now
        expect(left).toBe(silence === 10_000 ? 5_000 : 15_000)
      }
    })

    it("in a new history nobody is late by what was lost of it", async () => {
      await begin("a", "b", "c")
      // The data set was saved when b and c had not beaten for a while; a comes back first, 9 s after it was saved.
      now += 4_500
      await at(0, "a")
      await redis.command("DEBUG", "CHANGE-REPL-ID")
      expect(await at(9_000, "a")).toMatchObject({ status: "OK", late: [] })
      expect(await at(3_000, "b")).toMatchObject({ status: "OK", late: [] })
      expect(await at(1_900, "c")).toMatchObject({ status: "OK", late: [] })
      expect((await untilLate("a", "b"))?.late).toEqual(["c"])
    })

    it("those who beat less often are told when somebody comes who beats more often", async () => {
      await port.subscribe([keys.inbox("slow"), keys.inbox("a")])
      await begin("slow")
      inboxes = []
      await at(0, "a", "claim")
      await at(0, "a")
      await at(0, "b", "claim")
      await marker()
      expect(inboxes).toEqual(["slow", "slow"])
      await port.unsubscribe([keys.inbox("slow"), keys.inbox("a")])
    })

    it("who was found late may not write, whatever the clock says meanwhile, and is let in again when it claims", async () => {
      await begin("a", "b")
      await apply("own", "b", put("t", 1))
      while ((await port.command("ZSCORE", [keys.leases, "b"])) !== "-inf") await at(1_000, "a")
      await at(-1_000_000, "a")
      expect(await apply("own", "b", put("t", 2))).toEqual({ status: "LEASE" })
      expect(await apply("reap", "b", remove("t", 1))).toMatchObject({ status: "OK", changed: 1 })
      expect(await at(0, "b")).toEqual({ status: "LEASE" })
      expect(await at(0, "b", "claim")).toMatchObject({ status: "OK" })
      await at(3_000_000, "a")
      expect(await apply("reap", "b", remove("t", 1))).toEqual({ status: "ALIVE" })
      expect(await apply("own", "b", put("t", 2))).toMatchObject({ status: "OK" })
    })

    it("each is late by its own lease, and all beat at the shortest heartbeat", async () => {
      await begin("slow", "a")
      expect(await at(0, "slow")).toMatchObject({ heartbeat: 5_000, lease: 60_000 })
      expect(await at(0, "a")).toMatchObject({ heartbeat: 5_000, lease: 60_000 })
      expect(await untilLate("slow")).toEqual({ late: ["a"], after: 15_000 })
      await apply("reap", "a")
      expect(await at(0, "slow")).toMatchObject({ heartbeat: 20_000, lease: 60_000, late: [] })
      expect(await port.command("HKEYS", [keys.replicas])).toEqual(["slow", ""])
      await begin("a", "slow")
      expect(await untilLate("a")).toEqual({ late: ["slow"], after: 60_000 })
    })

    it("silence of all is nobody's death where leases differ, whoever comes back first", async () => {
      for (const first of ["a", "slow"]) {
        await begin("a", "b", "slow")
        for (const replica of ["a", "slow", "b"]) await at(1_000, replica)
        expect(await at(40_000, first)).toMatchObject({ status: "OK", late: [] })
        expect(await at(4_000, "b")).toMatchObject({ status: "OK", late: [] })
        const others = first === "a" ? ["b", "slow"] : ["slow", "b"]
        expect((await untilLate(...others))?.late).toEqual(["a"])
      }
    })
  })

  describe("beside replicas of version 0.1", () => {
    const old = (name: "apply" | "beat"): Script => {
      const text = readFileSync(new URL(`release-0.1/${name}.lua`, import.meta.url), "utf8")
      return { name, text, hash: createHash("sha1").update(text).digest("hex") }
    }
    const oldBeat = async (mode: string, replica: string, lease = 15_000, heartbeat = 5_000, partitions = 1) => {
      const names = [keys.leases, keys.versions, keys.index(replica), keys.evicted(replica), keys.shared]
      const common = `lease ${lease} ms, heartbeat ${heartbeat} ms, partitions ${partitions}`
      const args = [mode, replica, ++number, `${replica}.${number}`, lease, heartbeat, common]
      const reply = (await clocked(port).run(old("beat"), names, args)) as ReadonlyArray<unknown>
      return { status: reply[0], theirs: reply[1], late: reply[4] }
    }
    const oldReap = async (replica: string) => {
      const names = [keys.leases, keys.versions, keys.index(replica), keys.evicted(replica)]
      const args = ["reap", replica, ++number, `t.${number}`, keys.channel, 0]
      return ((await clocked(port).run(old("apply"), names, args)) as ReadonlyArray<unknown>)[0]
    }
    let now = 1_800_000_000_000
    const pass = async (ms: number): Promise<void> => {
      now += ms
      await redis.command("SET", "clock", String(now))
    }
    const newBeat = (mode: BeatCall["mode"], replica: string, lease = 15_000, heartbeat = 5_000) =>
      calls.beat(clocked(port), keys, { lease, heartbeat, partitions: 1 }, beatOf(mode, replica))
    const begin = async (): Promise<void> => {
      await redis.command("FLUSHALL")
      await pass(0)
    }
    /** All that is kept. */
    const dump = async (): Promise<ReadonlyArray<unknown>> => {
      const names = ((await port.command("KEYS", ["test:*"])) as ReadonlyArray<string>).toSorted()
      return Promise.all(names.map(async (name) => [name, await port.command("DUMP", [name])]))
    }

    it.each(["old", "new"])("those of the same settings live together, the %s ones first", async (first) => {
      await begin()
      const claims = [() => oldBeat("claim", "old"), () => newBeat("claim", "new")]
      for (const claim of first === "old" ? claims : claims.reverse())
        expect(await claim()).toMatchObject({ status: "OK" })
      // Nobody is late for either, for as long as they beat.
      for (let i = 0; i < 12; i++) {
        await pass(2_500)
        expect(await oldBeat("beat", "old")).toMatchObject({ status: "OK", late: [] })
        await pass(2_500)
        expect(await newBeat("beat", "new")).toMatchObject({ status: "OK", late: [], heartbeat: 5_000 })
      }
      // Also when all are cut off, whoever comes back first.
      await pass(60_000)
      expect(await newBeat("beat", "new")).toMatchObject({ status: "OK", late: [] })
      expect(await oldBeat("beat", "old")).toMatchObject({ status: "OK", late: [] })
      await pass(60_000)
      expect(await oldBeat("beat", "old")).toMatchObject({ status: "OK", late: [] })
      expect(await newBeat("beat", "new")).toMatchObject({ status: "OK", late: [] })
      // And each finds the other dead after its lease.
      for (let i = 0; i < 3; i++) {
        await pass(5_000)
        await oldBeat("beat", "old")
      }
      expect(await oldBeat("beat", "old")).toMatchObject({ late: ["new"] })
      expect(await oldReap("new")).toBe("OK")
      expect(await newBeat("beat", "new")).toEqual({ status: "LEASE" })
      expect(await newBeat("claim", "new")).toMatchObject({ status: "OK" })
      for (let i = 0; i < 3; i++) {
        await pass(5_000)
        await newBeat("beat", "new")
      }
      expect(await newBeat("beat", "new")).toMatchObject({ late: ["old"] })
      expect(await oldBeat("beat", "old")).toMatchObject({ status: "LEASE" })
      expect(await oldBeat("claim", "old")).toMatchObject({ status: "OK" })
    })

    it("the silence of old ones alone is nobody's death for the new one that comes", async () => {
      await begin()
      await oldBeat("claim", "old")
      await oldBeat("claim", "older")
      await pass(4_000)
      await oldBeat("beat", "old")
      const before = now
      await pass(60_000)
      expect(await newBeat("claim", "new")).toMatchObject({ status: "OK", late: [], heartbeat: 5_000, lease: 15_000 })
      // Each has as much of its lease left as when the last of them beat.
      const deadline = async (replica: string) => Number(await port.command("ZSCORE", [keys.leases, replica])) - now
      expect(await deadline("old")).toBe(15_000)
      expect(await deadline("older")).toBe(11_000)
      expect(now - before).toBe(60_000)
    })

    it("an old one whose lease has just ended keeps nobody from coming with another", async () => {
      await begin()
      await oldBeat("claim", "old")
      await newBeat("claim", "same")
      for (const ms of [5_000, 5_000, 4_999]) {
        await pass(ms)
        await newBeat("beat", "same")
      }
      expect(await newBeat("claim", "new", 30_000)).toMatchObject({ status: "SHARED" })
      await pass(1)
      expect(await newBeat("claim", "new", 30_000)).toMatchObject({ status: "OK", late: ["old"] })
    })

    it("a new one with another lease waits until the old ones have gone; then an old one is refused", async () => {
      await begin()
      await oldBeat("claim", "old")
      expect(await newBeat("claim", "new", 30_000)).toEqual({
        status: "SHARED",
        theirs: "lease 15000 ms, heartbeat 5000 ms, partitions 1"
      })
      expect(await port.command("ZRANGE", [keys.leases, 0, -1])).toEqual(["old"])
      expect(await newBeat("claim", "same")).toMatchObject({ status: "OK" })
      await oldBeat("leave", "old")
      expect(await newBeat("claim", "new", 30_000)).toMatchObject({ status: "OK" })
      expect(await oldBeat("claim", "old")).toMatchObject({ status: "SHARED", theirs: "format 2, partitions 1" })
      expect(await newBeat("beat", "same")).toMatchObject({ status: "OK", late: [] })
    })

    it("a newer format, and other partitions, are left alone as long as anybody is there", async () => {
      for (const theirs of [
        "format 3, regions 7",
        "format 2, partitions 16",
        "lease 15000 ms, heartbeat 5000 ms, partitions 16"
      ]) {
        await begin()
        await redis.command("SET", keys.shared, theirs)
        await redis.command("ZADD", keys.leases, "1", "other")
        expect(await newBeat("claim", "new")).toEqual({ status: "SHARED", theirs })
        expect(await port.command("KEYS", ["test:*"])).toHaveLength(2)
        await redis.command("DEL", keys.leases)
        expect(await newBeat("claim", "new")).toMatchObject({ status: "OK" })
      }
    })

    it("who finds itself beside a newer format stands aside, whatever it calls for, and comes back when that is gone", async () => {
      await begin()
      expect(await newBeat("claim", "new")).toMatchObject({ status: "OK" })
      const theirs = "format 3, regions 7"
      const appear = async (): Promise<void> => {
        await redis.command("SET", keys.shared, theirs)
        await redis.command("ZADD", keys.leases, String(now + 60_000), "newer")
        await redis.command("HSET", keys.replicas, "newer", "format 3, lease 15 s")
      }
      await appear()
      const before = await dump()
      await pass(5_000)
      for (const mode of ["beat", "claim", "leave"] as const) {
        expect(await newBeat(mode, "new")).toEqual({ status: "SHARED", theirs })
        expect(await newBeat(mode, "another")).toEqual({ status: "SHARED", theirs })
      }
      // Late or not, they are there.
      await pass(120_000)
      expect(await newBeat("beat", "new")).toEqual({ status: "SHARED", theirs })
      expect(await dump()).toEqual(before)
      await redis.command("ZREM", keys.leases, "newer")
      await redis.command("HDEL", keys.replicas, "newer")
      expect(await newBeat("beat", "new")).toMatchObject({ status: "OK", late: [] })
      expect(await port.command("GET", [keys.shared])).toBe("format 2, partitions 1")
    })

    it("who is no replica keeps nobody of this format from beating", async () => {
      await begin()
      await redis.command("SET", keys.shared, "format 2, partitions 1")
      expect(await newBeat("claim", "new")).toMatchObject({ status: "OK" })
      await redis.command("ZADD", keys.leases, String(now + 60_000), "stranger")
      expect(await newBeat("beat", "new")).toMatchObject({ status: "OK" })
    })

    it("what all have in common and somebody has deleted comes back with a heartbeat, but beside who says what is not understood", async () => {
      await begin()
      await newBeat("claim", "new")
      const common = () => port.command("GET", [keys.shared])
      const first = await common()
      // Any beat but the one that finds it gone leaves it as it is.
      await newBeat("beat", "new")
      expect(await common()).toBe(first)
      await redis.command("DEL", keys.shared)
      await newBeat("beat", "new")
      expect(await common()).toBe("format 2, partitions 1")
      await redis.command("DEL", keys.shared)
      await redis.command("ZADD", keys.leases, String(now + 60_000), "newer")
      await redis.command("HSET", keys.replicas, "newer", "format 3, lease 15 s")
      await newBeat("beat", "new")
      expect(await common()).toBeNull()
    })

    it("who says what is not understood gets no lease where somebody has deleted all of them", async () => {
      await begin()
      for (const replica of ["a", "b"]) await newBeat("claim", replica)
      await redis.command("HSET", keys.replicas, "newer", "format 3, lease 15 s")
      await redis.command("DEL", keys.leases)
      expect(await newBeat("beat", "a")).toMatchObject({ status: "OK", late: [] })
      expect(await port.command("ZRANGE", [keys.leases, 0, -1])).toEqual(["a", "b"])
    })

    it("where somebody has deleted all that knows who lives, whoever has a topic has one lease to say so", async () => {
      await begin()
      for (const replica of ["a", "b"]) await newBeat("claim", replica)
      const lose = () => redis.command("DEL", keys.leases, keys.replicas)
      const stored = async () => [
        await port.command("ZRANGE", [keys.leases, 0, -1, "WITHSCORES"]),
        await port.command("HGET", [keys.replicas, "*"])
      ]
      await lose()
      await newBeat("claim", "c", 20_000, 4_000)
      expect(await stored()).toEqual([["c", String(now + 20_000)], null])
      await apply("own", "c", put("t", 1))
      await lose()
      expect(await newBeat("claim", "a", 20_000, 4_000)).toMatchObject({ status: "OK", late: [], lease: 20_000 })
      expect(await stored()).toEqual([["*", String(now + 20_000), "a", String(now + 20_000)], "20000 4000 "])
      for (let passed = 0; passed < 16_000; passed += 4_000) {
        await pass(4_000)
        expect(await newBeat("beat", "a", 20_000, 4_000)).toMatchObject({ late: [] })
      }
      await pass(4_000)
      expect(await newBeat("beat", "a", 20_000, 4_000)).toMatchObject({ late: ["*"] })
    })

    it("a newer format that nobody there can have written is mended by the next heartbeat", async () => {
      await begin()
      for (const replica of ["a", "b"]) await newBeat("claim", replica)
      await redis.command("SET", keys.shared, "format 22, partitions 1")
      expect(await newBeat("beat", "a")).toMatchObject({ status: "OK" })
      expect(await port.command("GET", [keys.shared])).toBe("format 2, partitions 1")
      expect(await newBeat("claim", "c")).toMatchObject({ status: "OK" })
      await redis.command("SET", keys.shared, "format 22, partitions 1")
      expect(await newBeat("claim", "d")).toMatchObject({ status: "OK" })
      expect(await port.command("GET", [keys.shared])).toBe("format 2, partitions 1")
    })
  })

  it("a replica is doubted in a new history until it has gone through what there is of it", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["r", "s", "empty"]) await beat("claim", replica)
    await apply("own", "r", put("t", 1))
    await apply("own", "s", put("t", 2))
    const doubted = async (purpose?: "follow") => [...(await calls.read(port, keys, "t", 10, purpose)).doubted].sort()
    const found = async () => (await calls.get(port, keys, "t", "alice")).map(({ connection }) => connection)
    expect([await doubted(), await doubted("follow"), await found()]).toEqual([[], [], ["r.1", "s.2"]])
    await redis.command("DEBUG", "CHANGE-REPL-ID")
    // Before anybody has beaten only who follows asks for the history.
    expect(await doubted("follow")).toEqual(["empty", "r", "s"])
    // Somebody has deleted it, and nobody has beaten since.
    await redis.command("RENAME", keys.leases, "deleted")
    expect(await doubted("follow")).toEqual(["empty", "r", "s"])
    await redis.command("RENAME", "deleted", keys.leases)
    await beat("beat", "empty")
    expect([await doubted(), await doubted("follow"), await found()]).toEqual([["r", "s"], ["r", "s"], []])
    await calls.beat(port, keys, settings, beatOf("beat", "r", { settled: "an old one" }))
    expect(await doubted()).toEqual(["r", "s"])
    await calls.beat(port, keys, settings, beatOf("beat", "r", { settled: await history() }))
    expect([await doubted(), await found()]).toEqual([["s"], ["r.1"]])
    // One that was on its way when it said so takes nothing back.
    await beat("beat", "r")
    expect(await doubted()).toEqual(["s"])
    // Also one whose lease is lost, by then.
    await redis.command("DEBUG", "CHANGE-REPL-ID")
    await redis.command("ZREM", keys.leases, "r", "empty")
    await beat("claim", "s")
    expect(await doubted()).toEqual(["s"])
    // Who has been reaped since has left nobody, and is forgotten with the next beat.
    await redis.command("ZADD", keys.leases, "+inf", "elder")
    await late("s")
    expect(await apply("reap", "s", remove("t", 2))).toMatchObject({ emptied: true })
    await redis.command("DEBUG", "CHANGE-REPL-ID")
    expect(await doubted("follow")).toEqual(["s"])
    await beat("claim", "r")
    expect(await doubted()).toEqual(["r"])
    // Of what somebody else took away nobody says anything.
    await redis.command("HDEL", keys.replicas, "")
    expect([await doubted(), await doubted("follow")]).toEqual([[], []])
  })

  it("a topic with more members than asked for is left to be read by pages", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("t", 1), put("t", 2), put("t", 3))
    expect(await calls.read(port, keys, "t", 2)).toMatchObject({
      size: 3,
      members: undefined,
      standing: { version: 1 }
    })
    expect((await calls.read(port, keys, "t", 3)).members).toHaveLength(3)
    const read: Array<string> = []
    for await (const page of pages(port, keys.members("t"))) read.push(...page)
    expect(
      membersOf(read)
        .map(({ connection }) => connection)
        .sort()
    ).toEqual(["r.1", "r.2", "r.3"])
    const [t, none] = await calls.standings(port, keys, ["t", "none"])
    expect([t?.version, none]).toEqual([1, { epoch: t?.epoch, version: 0, tag: "" }])
  })

  it("topics are counted by their keys and their connections, in the order in which they were asked for", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await apply("own", "r", put("a", 1), put("a", 2), put("a", 3, 3, "bob"), put("b", 4))
    expect(await calls.counts(port, keys, ["b", "none", "a"])).toEqual([
      { keys: 1, connections: 1 },
      { keys: 0, connections: 0 },
      { keys: 2, connections: 3 }
    ])
    await apply("own", "r", remove("a", 1), remove("a", 3))
    expect(await calls.counts(port, keys, ["a"])).toEqual([{ keys: 1, connections: 1 }])
  })

  it("of many topics those are found on which a key is", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    const all = Array.from({ length: 10 }, (_, i) => `topic ${i}`)
    await apply("own", "r", ...all.map((topic, i) => put(topic, i + 1, 1, i % 3 === 0 ? "bob" : "alice")))
    expect(await calls.having(port, keys, all, "bob")).toEqual(["topic 0", "topic 3", "topic 6", "topic 9"])
    expect(await calls.having(port, keys, ["none", ...all], "alice")).toEqual(all.filter((_, i) => i % 3 !== 0))
    expect(await calls.having(port, keys, all, "nobody")).toEqual([])
  })

  it("a call of 128 operations over as many topics passes", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    const operations = Array.from({ length: 128 }, (_, seq) => put(`topic ${seq}`, seq + 1))
    expect(await apply("own", "r", ...operations)).toMatchObject({ status: "OK", changed: 128 })
  })

  it("what somebody else wrote into a topic's keys spoils no other topic, and nothing is left half done", async () => {
    const spoil: fc.Arbitrary<{ readonly key: string; readonly command: ReadonlyArray<string> }> = fc.oneof(
      fc.record({
        key: fc.constantFrom(keys.members("a"), keys.keys("a")),
        command: fc.constantFrom<ReadonlyArray<string>>(
          ["SET", "text"],
          ["RPUSH", "1"],
          ["SADD", "1"],
          ["ZADD", "1", "r.1"]
        )
      }),
      fc.record({
        key: fc.constant(keys.members("a")),
        command: fc.tuple(
          fc.constant("HSET"),
          fc.constantFrom("r.1", "x", ""),
          fc.constantFrom("", "1", "1 2 {\nk", "x\n")
        )
      }),
      fc.record({
        key: fc.constant(keys.keys("a")),
        command: fc.tuple(fc.constant("HSET"), fc.constant("alice"), fc.constantFrom("", "x", " r.1 "))
      }),
      fc.record({
        key: fc.constant(keys.versions),
        command: fc.tuple(fc.constant("HSET"), fc.constantFrom("", "a"), fc.constantFrom("", "x", "1", "-1 x"))
      }),
      fc.record({ key: fc.constant(keys.index("r")), command: fc.constant<ReadonlyArray<string>>(["HSET", "", "x"]) }),
      fc.record({
        key: fc.constant(keys.leases),
        command: fc.constantFrom<ReadonlyArray<string>>(["ZADD", "+inf", "x"], ["ZADD", "1", "y z"])
      })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(spoil, { minLength: 1, maxLength: 4 }), fc.boolean(), async (spoils, isFull) => {
        await port.command("FLUSHALL", [])
        await beat("claim", "r")
        await beat("claim", "s")
        if (isFull) await apply("own", "r", put("a", 1), put("b", 2))
        for (const { key, command } of spoils) {
          const [name = "", ...args] = command
          await redis.command(name, key, ...args)
        }
        expect(await beat("beat", "s")).toMatchObject({ status: "OK", epoch: expect.any(String) })
        expect(await beat("beat", "r")).toMatchObject({ status: "OK" })
        const answer = await apply("own", "r", put("b", 3), put("a", 4), put("a", 1, 5), remove("a", 2), put("b", 5))
        expect(answer).toMatchObject({ status: "OK" })
        const here = async (topic: string) => (await members(topic)).map(({ connection }) => connection)
        expect(await here("b")).toEqual(expect.arrayContaining(["r.3", "r.5"]))
        expect((await calls.get(port, keys, "b", "alice")).length).toBe(isFull ? 3 : 2)
        const prevented = answer.status === "OK" ? answer.prevented : []
        if (prevented.includes(1)) expect(fieldsOf(await written("a"))).not.toContain("r.4")
        const indexed = fieldsOf(await allOf(keys.index("r")))
        expect(indexed.includes("4:a")).toBe(!prevented.includes(1))
        // Who takes it away finds everything as it was meant.
        await port.command("DEL", [keys.members("a"), keys.keys("a")])
        expect(await apply("own", "r", put("a", 6))).toMatchObject({ status: "OK", changed: 1, prevented: [] })
        expect(await here("a")).toEqual(["r.6"])
        await late("r")
        expect(await apply("reap", "r", ...[1, 4, 6].map((seq) => remove("a", seq)))).toMatchObject({ status: "OK" })
        expect(await here("a")).toEqual([])
      }),
      { numRuns: 60 }
    )
  })

  /** A topic's members as they are, if they are in a hash. */
  const written = async (topic: string): Promise<ReadonlyArray<string>> =>
    (await port.command("TYPE", [keys.members(topic)])) === "hash" ? allOf(keys.members(topic)) : []

  const allOf = async (key: string): Promise<ReadonlyArray<string>> => {
    const found: Array<string> = []
    for await (const page of pages(port, key)) found.push(...page)
    return found
  }

  it("does, for any calls in any order, what the partition in memory does that simulations stand on", async () => {
    const replica = fc.constantFrom("r", "s")
    const seq = fc.integer({ min: 1, max: 4 })
    const topic = fc.constantFrom("a", "b", "__proto__")
    const operation: fc.Arbitrary<Operation> = fc.oneof(
      {
        weight: 2,
        arbitrary: fc
          .record({
            type: fc.constant("put" as const),
            topic,
            seq,
            revision: fc.integer({ min: 1, max: 3 }),
            meta: fc.json()
          })
          // A connection is of one key all its life.
          .map((operation) => ({ ...operation, key: ["k", "é🙂\n}", "}"][operation.seq % 3] ?? "" }))
      },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant("remove" as const),
          topic,
          seq,
          reason: fc.constantFrom("released" as const, "expired" as const, "evicted" as const, "replicaLost" as const)
        })
      }
    )
    // One connection occurs once in a call.
    const operations = fc.uniqueArray(operation, { maxLength: 5, selector: ({ topic, seq }) => `${seq}:${topic}` })
    const command = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant("apply" as const),
          mode: fc.constantFrom("own" as const, "own" as const, "reap" as const, "evict" as const),
          replica,
          operations,
          back: fc.constantFrom(0, 0, 0, 3)
        })
      },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("beat" as const),
          mode: fc.constantFrom("beat" as const, "claim" as const, "leave" as const),
          replica,
          seen: fc.array(fc.constantFrom("1:a", "2:b"), { maxLength: 1 }),
          isSettled: fc.boolean(),
          whole: fc.boolean(),
          back: fc.constantFrom(0, 0, 0, 3)
        })
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("late" as const), replica }) },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("step" as const),
          ms: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.integer({ min: -4_000_000, max: 4_000_000 }))
        })
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("delete" as const),
          lost: fc.constantFrom("l", "v", "r", "l r", "c", "i:r", "i:s", "m:a", "m:b", "m:__proto__")
        })
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("loaded" as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("flush" as const) }) }
    )
    await port.subscribe(["a", "b", "__proto__"].map((topic) => keys.topicChannel(topic)))
    /** How often the key index was. */
    let believed = 0
    const commands = fc.array(command, { minLength: 10, maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(commands, fc.boolean(), fc.boolean(), async (commands, rKeeps, sKeeps) => {
        const lives: Record<string, Settings> = {
          r: { lease: 15_000, heartbeat: 5_000, partitions: 1, keyIndex: rKeeps },
          s: { lease: 60_000, heartbeat: 7_000, partitions: 1, keyIndex: sKeeps }
        }
        await port.command("FLUSHALL", [])
        messages = []
        const clock = { now: 1_800_000_000_000 }
        const published: Array<unknown> = []
        const fake = new FakePartition(clock, (topic, message) => published.push({ ...message, topic }))
        fake.history = await history()
        const beatBoth = async (beat: BeatCall): Promise<void> => {
          const settings = lives[beat.replica] as Settings
          await port.command("SET", ["clock", clock.now])
          const real = await calls.beat(clocked(port), keys, settings, beat)
          expect(inOrder(real)).toEqual(inOrder(fake.beat(beat, settings)))
          const deadlines = (await port.command("ZRANGE", [keys.leases, 0, -1, "WITHSCORES"])) as ReadonlyArray<string>
          expect(new Map(pairs(deadlines))).toEqual(new Map([...fake.leases].map(([other, at]) => [other, textOf(at)])))
        }
        for (const replica of ["r", "s"]) await beatBoth(beatOf("claim", replica))
        for (const command of commands) {
          const tag = `t${++number}`
          if (command.do === "step") clock.now += command.ms
          else if (command.do === "loaded") {
            await port.command("DEBUG", ["CHANGE-REPL-ID"])
            fake.history = await history()
          } else if (command.do === "late") {
            await late(command.replica)
            if (fake.leases.has(command.replica)) fake.leases.set(command.replica, Number.NEGATIVE_INFINITY)
          } else if (command.do === "delete") {
            const base = keys.leases.slice(0, -1)
            for (const key of command.lost.split(" ")) {
              await port.command("DEL", [base + key, base + key.replace(/^m/, "k")])
              fake.delete(key)
            }
          } else if (command.do === "flush") {
            await port.command("FLUSHALL", [])
            fake.flush()
          } else if (command.do === "beat") {
            const { mode, replica, seen, whole } = command
            const settled = command.isSettled ? fake.history : ""
            await beatBoth({ mode, replica, seen, settled, whole, number: number - command.back, tag })
          } else {
            const { mode, replica } = command
            // Nobody joins for another.
            const operations = command.operations.filter(({ type }) => mode === "own" || type === "remove")
            const apply: ApplyCall = { mode, replica, operations, number: number - command.back, tag }
            expect(await calls.apply(port, keys, apply)).toEqual(fake.apply(apply))
          }
        }
        for (const topic of ["a", "b", "__proto__"]) {
          const real = await calls.read(port, keys, topic, 1_000, "follow")
          const known = fake.read(topic)
          expect({ ...real, members: [...(real.members ?? [])].sort(byAge) }).toEqual({
            ...known,
            members: [...(known.members ?? [])].sort(byAge)
          })
          expect(await connectionsByKey(topic)).toEqual(byKey(known.members ?? []))
        }
        // Nobody here is of version 0.1, so the key index has what is true, or is not to be believed.
        for (const key of ["k", "é🙂\n}", "}"]) {
          const reply = await port.run(where, [keys.leases, keys.keyIndex], [key, "", 500])
          // Of what somebody has deleted it may say too little, until it is written again, or too much.
          if (reply === null || commands.some((command) => command.do === "delete")) continue
          believed++
          const on = [...fake.topics].filter(([, { members }]) =>
            [...members.values()].some((member) => member.key === key)
          )
          expect(reply).toEqual(on.map(([topic]) => topic).sort())
        }
        await marker()
        expect(messages).toEqual(published)
      }),
      { numRuns: 100 }
    )
    expect(believed).toBeGreaterThan(0)
  })

  /** The history that Redis says it is in. */
  const history = async (): Promise<string> => {
    const answer = await port.command("INFO", ["replication"])
    return /master_replid:(\w+)/.exec(String(answer))?.[1] ?? ""
  }

  /** What a topic's keys name as their connections. */
  const connectionsByKey = async (topic: string) => {
    const entries: Array<string> = []
    for await (const page of pages(port, keys.keys(topic))) entries.push(...page)
    const found = new Map<string, ReadonlyArray<string>>()
    for (let i = 0; i < entries.length; i += 2) {
      found.set(
        String(entries[i]),
        String(entries[i + 1])
          .trim()
          .split(" ")
          .sort()
      )
    }
    return found
  }

  /** Until everything published before has arrived. */
  let markers = 0
  const marker = async (): Promise<void> => {
    await port.subscribe(["marker"])
    const text = String(++markers)
    await new Promise<void>((resolve) => {
      onMarker = (got) => {
        if (got === text) resolve()
      }
      void port.publish("marker", text)
    })
  }
})

/** Of fields and values by turns. */
const fieldsOf = (flat: ReadonlyArray<string>): ReadonlyArray<string> => pairs(flat).map(([field]) => field)

const pairs = (flat: ReadonlyArray<string>): ReadonlyArray<[string, string]> =>
  flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? ""] as [string, string]] : []))

/** A score as Redis writes it. */
const textOf = (score: number): string => (score === Number.NEGATIVE_INFINITY ? "-inf" : String(score))

const byKey = (members: ReadonlyArray<StoredMember>) => {
  const found = new Map<string, Array<string>>()
  for (const { key, connection } of members) found.set(key, [...(found.get(key) ?? []), connection].sort())
  return found
}

const inOrder = (answer: BeatAnswer): BeatAnswer =>
  answer.status === "OK" ? { ...answer, late: [...answer.late].sort(), evicted: [...answer.evicted].sort() } : answer

describe("the names in Redis", () => {
  it("have the partition in braces before anything a user named", () => {
    const keys = new Keys("presence", 3)
    expect(keys.members("a}{7}b")).toBe("presence:{3}:m:a}{7}b")
    expect(keys.inbox("r")).toBe("presence:{3}:n:r")
  })

  it("refuse a prefix that would decide the slot", () => {
    expect(checkPrefix("a{b}")).toContain("brace")
    expect(checkPrefix("")).toContain("empty")
    expect(checkPrefix("my:app")).toBeUndefined()
  })

  it("spread topics over all partitions, the same way everywhere", () => {
    const found = new Set(Array.from({ length: 500 }, (_, i) => partitionOf(`room:${i}`, 16)))
    expect(found.size).toBe(16)
    // FNV-1a of "a" is 0xe40c292c.
    expect([partitionOf("a", 16), partitionOf("a", 1)]).toEqual([0xc, 0])
  })
})
