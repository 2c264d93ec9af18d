import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { connect } from "../../../src/redis/client/ioredis.js"
import type { Port } from "../../../src/redis/client/port.js"
import * as calls from "../../../src/redis/protocol/calls.js"
import { checkPrefix, Keys, partitionOf } from "../../../src/redis/protocol/keys.js"
import { FakePartition } from "../../support/partition.js"
import { type RedisServer, redisIsOff, startRedis } from "../../support/redis.js"

const LEASE = 1_000_000_000
const HEARTBEAT = 100_000_000
const times: calls.Times = {
  lease: LEASE,
  heartbeat: HEARTBEAT,
  shared: "lease 15000 ms, heartbeat 5000 ms, partitions 1"
}

const put = (topic: string, seq: number, revision = seq, key = "alice", meta = "{}"): calls.Operation => ({
  type: "put",
  topic,
  seq,
  revision,
  key,
  meta
})

const remove = (topic: string, seq: number): calls.Operation => ({ type: "remove", topic, seq, reason: "released" })

describe.skipIf(redisIsOff())("the scripts, on a real server", () => {
  let redis: RedisServer
  let port: Port
  let messages: Array<calls.TopicMessage & { readonly topic: string }> = []
  let onMarker: (text: string) => void = () => {}
  const keys = new Keys("test", 0)

  beforeAll(async () => {
    redis = await startRedis()
    const ignore = (): void => {}
    port = await connect(
      { url: redis.url, timeout: 5_000, name: "scripts" },
      {
        onReady: ignore,
        onSubscriberReady: ignore,
        onDown: ignore,
        onSubscriberDown: ignore,
        onMessage: (channel, text) => {
          if (channel === "marker") onMarker(text)
          else messages.push({ ...calls.messageOf(text), topic: channel.slice(keys.channel.length) })
        }
      }
    )
  })
  afterAll(async () => {
    port.close()
    await redis.stop()
  })

  let number = 0
  const call = (
    mode: calls.ApplyCall["mode"],
    replica: string,
    operations: ReadonlyArray<calls.Operation>
  ): calls.ApplyCall => ({ mode, replica, number: ++number, tag: `${replica}.${number}`, operations })
  const apply = (mode: calls.ApplyCall["mode"], replica: string, ...operations: ReadonlyArray<calls.Operation>) =>
    calls.apply(port, keys, call(mode, replica, operations))
  const beat = (mode: calls.BeatCall["mode"], replica: string, ...seen: ReadonlyArray<string>) =>
    calls.beat(port, keys, times, { mode, replica, number: ++number, tag: `${replica}.${number}`, seen })
  const late = (replica: string) => port.command("ZADD", [keys.leases, "XX", 1, replica])
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
    await beat("claim", "r")
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
    await late("r")
    expect(await beat("beat", "other")).toMatchObject({ late: ["r"] })
    expect(await apply("reap", "r", remove("t", 1))).toMatchObject({ changed: 1, emptied: false })
    // Another reaper comes with the same batch.
    expect(await apply("reap", "r", remove("t", 1))).toMatchObject({ changed: 0, emptied: false })
    await port.command("HDEL", [keys.members("u"), "r.2"])
    expect(await apply("reap", "r", remove("u", 2))).toMatchObject({ changed: 1, emptied: true })
    expect(await beat("beat", "other")).toMatchObject({ late: [] })
    expect(await port.command("KEYS", ["test:{0}:i:r"])).toEqual([])
  })

  it("when everybody was silent, deadlines move on instead of everybody being late", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await beat("claim", "other")
    await late("r")
    await late("other")
    expect(await beat("beat", "other")).toMatchObject({ status: "OK", late: [] })
    expect(await beat("beat", "r")).toMatchObject({ status: "OK" })
  })

  it("as long as somebody beats, who does not is late after a lease", async () => {
    await redis.command("FLUSHALL")
    const short: calls.Times = { ...times, lease: 200, heartbeat: 200 }
    const claim = (mode: calls.BeatCall["mode"], replica: string) =>
      calls.beat(port, keys, short, { mode, replica, number: ++number, tag: `${replica}.${number}`, seen: [] })
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

  const claimAs = (replica: string, others: Partial<calls.Times>) =>
    calls.beat(
      port,
      keys,
      { ...times, ...others },
      { mode: "claim", replica, number: ++number, tag: `${replica}.${number}`, seen: [] }
    )

  it("a claim fails while others divide topics otherwise, which is forgotten with them", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    const otherwise = { shared: "lease 15000 ms, heartbeat 5000 ms, partitions 16" }
    expect(await claimAs("s", otherwise)).toEqual({ status: "SHARED", theirs: times.shared })
    expect(await beat("leave", "r")).toMatchObject({ status: "OK", connections: 0 })
    expect(await claimAs("s", otherwise)).toMatchObject({ status: "OK" })
    // What a later version may say in a form of its own.
    await port.command("SET", [keys.shared, "format 2, partitions 16"])
    expect(await claimAs("t", otherwise)).toEqual({ status: "SHARED", theirs: "format 2, partitions 16" })
  })

  it("each replica lives by its own lease", async () => {
    await redis.command("FLUSHALL")
    const shortly = { lease: 300, heartbeat: 100, shared: "lease 300 ms, heartbeat 100 ms, partitions 1" }
    await beat("claim", "long")
    expect(await claimAs("short", shortly)).toMatchObject({ status: "OK" })
    const left = async (replica: string) => Number(await port.command("ZSCORE", [keys.leases, replica])) - Date.now()
    expect(await left("short")).toBeLessThanOrEqual(300)
    for (;;) {
      const answer = await beat("beat", "long")
      if (answer.status === "OK" && answer.late.includes("short")) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    // The one that beats seldom is not taken for dead by who beats often.
    expect(await claimAs("short", shortly)).toMatchObject({ status: "OK", late: [] })
    expect(await left("long")).toBeGreaterThan(300)
  })

  it("replicas of a release that does not say by what it lives are taken to live as the others do", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    await port.command("HDEL", [keys.terms, "r"])
    await port.command("ZADD", [keys.leases, Date.now() + LEASE + 3_600_000, "r"])
    await beat("claim", "s")
    expect(Number(await port.command("ZSCORE", [keys.leases, "r"]))).toBeLessThanOrEqual(Date.now() + LEASE)
  })

  it("a clock that stepped back keeps nobody who is dead for longer than a lease", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "dead")
    await beat("claim", "r")
    // As if both had beaten by a clock that was an hour ahead.
    for (const replica of ["dead", "r"])
      await port.command("ZADD", [keys.leases, Date.now() + LEASE + 3_600_000, replica])
    expect(await beat("beat", "r")).toMatchObject({ status: "OK", late: [] })
    for (const replica of ["dead", "r"]) {
      const deadline = Number(await port.command("ZSCORE", [keys.leases, replica]))
      expect(deadline).toBeLessThanOrEqual(Date.now() + LEASE)
    }
  })

  it("a deadline that lies in the future does not hide that all were silent", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["dead", "alive", "r"]) await beat("claim", replica)
    await port.command("ZADD", [keys.leases, Date.now() + LEASE + 3_600_000, "dead"])
    for (const replica of ["alive", "r"]) await port.command("ZADD", [keys.leases, Date.now() - LEASE, replica])
    expect(await beat("beat", "r")).toMatchObject({ status: "OK", late: [] })
    expect(await beat("beat", "alive")).toMatchObject({ status: "OK", late: [] })
  })

  it("a clock that stepped forward is nobody's death", async () => {
    await redis.command("FLUSHALL")
    for (const replica of ["alive", "r"]) await beat("claim", replica)
    for (const replica of ["alive", "r"]) await port.command("ZADD", [keys.leases, Date.now() - 3_600_000, replica])
    expect(await beat("beat", "r")).toMatchObject({ status: "OK", late: [] })
    expect(await beat("beat", "alive")).toMatchObject({ status: "OK" })
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
    const page = await calls.scan(port, keys.members("t"), "0", 500)
    expect(page.cursor).toBe("0")
    expect(
      calls
        .membersOf(page.entries)
        .map(({ connection }) => connection)
        .sort()
    ).toEqual(["r.1", "r.2", "r.3"])
    const [t, none] = await calls.standings(port, keys, ["t", "none"])
    expect([t?.version, none]).toEqual([1, { epoch: t?.epoch, version: 0, tag: "" }])
  })

  it("a call of 128 operations over as many topics passes", async () => {
    await redis.command("FLUSHALL")
    await beat("claim", "r")
    const operations = Array.from({ length: 128 }, (_, seq) => put(`topic ${seq}`, seq + 1))
    expect(await apply("own", "r", ...operations)).toMatchObject({ status: "OK", changed: 128 })
  })

  it("does, for any calls in any order, what the partition in memory does that simulations stand on", async () => {
    const replica = fc.constantFrom("r", "s")
    const seq = fc.integer({ min: 1, max: 4 })
    const topic = fc.constantFrom("a", "b", "__proto__")
    const operation: fc.Arbitrary<calls.Operation> = fc.oneof(
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
          back: fc.constantFrom(0, 0, 0, 3)
        })
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("late" as const), replica }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("flush" as const) }) }
    )
    await port.subscribe(["a", "b", "__proto__"].map((topic) => keys.topicChannel(topic)))
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 40 }), async (commands) => {
        await redis.command("FLUSHALL")
        messages = []
        const clock = { now: Date.now() }
        const published: Array<unknown> = []
        const fake = new FakePartition(clock, LEASE, HEARTBEAT, (topic, message) =>
          published.push({ ...message, topic })
        )
        for (const replica of ["r", "s"]) {
          const claim: calls.BeatCall = {
            mode: "claim",
            replica,
            number: ++number,
            tag: `${replica}.${number}`,
            seen: []
          }
          const answer = await calls.beat(port, keys, times, claim)
          if (answer.status === "OK") fake.history = answer.history
          expect(answer).toEqual(fake.beat(claim, times.shared))
        }
        for (const command of commands) {
          clock.now = Date.now()
          const tag = `t${++number}`
          if (command.do === "late") {
            await late(command.replica)
            if (fake.leases.has(command.replica)) fake.leases.set(command.replica, 1)
          } else if (command.do === "flush") {
            await redis.command("FLUSHALL")
            fake.flush()
          } else if (command.do === "beat") {
            const { mode, replica, seen } = command
            const beat: calls.BeatCall = { mode, replica, seen, number: number - command.back, tag }
            const real = await calls.beat(port, keys, times, beat)
            expect(inOrder(real)).toEqual(inOrder(fake.beat(beat, times.shared)))
          } else {
            const { mode, replica, operations } = command
            const apply: calls.ApplyCall = { mode, replica, operations, number: number - command.back, tag }
            expect(await calls.apply(port, keys, apply)).toEqual(fake.apply(apply))
          }
        }
        for (const topic of ["a", "b", "__proto__"]) {
          const real = await calls.read(port, keys, topic, 1_000, "follow")
          const known = fake.read(topic)
          expect({ ...real, members: [...(real.members ?? [])].sort(calls.byAge) }).toEqual({
            ...known,
            members: [...(known.members ?? [])].sort(calls.byAge)
          })
          expect(await connectionsByKey(topic)).toEqual(byKey(known.members ?? []))
        }
        await marker()
        expect(messages).toEqual(published)
      }),
      { numRuns: 100 }
    )
  }, 60_000)

  /** What a topic's keys name as their connections. */
  const connectionsByKey = async (topic: string) => {
    const { entries } = await calls.scan(port, keys.keys(topic), "0", 100)
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

const byKey = (members: ReadonlyArray<calls.StoredMember>) => {
  const found = new Map<string, Array<string>>()
  for (const { key, connection } of members) found.set(key, [...(found.get(key) ?? []), connection].sort())
  return found
}

const inOrder = (answer: calls.BeatAnswer): calls.BeatAnswer =>
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
