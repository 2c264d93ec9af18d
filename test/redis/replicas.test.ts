/**
 * Several replicas as real processes over a real Redis, and what can happen to them.
 */
import { describe, expect, it } from "@effect/vitest"
import { redisIsOff, startRedis } from "../support/redis.js"
import { eventually, expectAgreement, GONE, HEARTBEAT, LEASE, ReplicaProcess, sleep, useReplicas } from "./replicas.js"

/** Where something has to happen before it is over, on a busy machine too. */
const LONG = { lease: LEASE + 7_000 }

describe.skipIf(redisIsOff())("replicas", () => {
  const { nextWorld, redis, start, world } = useReplicas()

  it("see each other, and a key on two of them leaves once, with the last connection anywhere", async () => {
    const [a, b] = await start(2)
    await a.track("1", "room", "alice", { on: "a" })
    await b.track("2", "room", "alice", { on: "b" })
    await eventually(1_000, () => expectAgreement("room", [a, b]))
    await a.close("1")
    await eventually(1_000, () => expectAgreement("room", [a, b]))
    expect((await b.report("room")).leaveEvents).toEqual({})
    await b.close("2")
    await eventually(1_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) expect((await replica.report("room")).leaveEvents).toEqual({ alice: 1 })
  })

  it("end the connections of one that is killed within lease and heartbeat, each key once, as replicaLost", async () => {
    const [a, b, c] = (await start(3, LONG)) as [ReplicaProcess, ReplicaProcess, ReplicaProcess]
    for (let i = 0; i < 20; i++) await a.track(`a${i}`, "room", `user ${i}`)
    await a.track("both", "room", "carol")
    await b.track("carol", "room", "carol")
    await a.kill()
    // Until then they are listed.
    expect((await b.report("room")).list).toHaveLength(21)
    await eventually(LONG.lease + GONE, () => expectAgreement("room", [b, c]))
    for (const replica of [b, c]) {
      const report = await replica.report("room")
      for (let i = 0; i < 20; i++) {
        expect(report.leaves[`user ${i}`]).toEqual(["replicaLost"])
        expect(report.leaveEvents[`user ${i}`]).toBe(1)
      }
      expect(report.leaves.carol).toEqual(["replicaLost"])
      expect(report.leaveEvents.carol).toBeUndefined()
    }
    // Nothing of it is left, and nothing of what it left empty.
    const keys = await redis().command("KEYS", `${world()}:*`)
    expect(keys.match(/:i:/g)).toHaveLength(2)
  })

  it("that was paused longer than its lease writes again what it still holds, under the same refs", async () => {
    const [a, b] = await start(2)
    await a.track("1", "room", "alice")
    await a.track("2", "room", "bob")
    await b.track("3", "room", "carol")
    a.child.kill("SIGSTOP")
    await eventually(GONE + 1_000, async () => {
      expect((await b.report("room")).list.map(({ key }) => key)).toEqual(["carol"])
    })
    a.child.kill("SIGCONT")
    await a.close("2")
    await eventually(2_000, () => expectAgreement("room", [a, b]))
    expect((await b.report("room")).leaves).toEqual({ alice: ["replicaLost"], bob: ["replicaLost"] })
    expect(await a.call({ do: "refresh", id: "1" })).toBe("renewed")
  })

  it("reap a large one together without doing it twice", async () => {
    const [a, b, c] = (await start(3)) as [ReplicaProcess, ReplicaProcess, ReplicaProcess]
    await a.call({ do: "trackMany", topic: "room", key: "user", count: 2_000 })
    await eventually(5_000, async () => expect((await c.report("room")).copy).toHaveLength(2_000))
    await a.kill()
    await redis().command("CONFIG", "RESETSTAT")
    await eventually(GONE + 5_000, () => expectAgreement("room", [b, c]))
    const stats = /cmdstat_evalsha:calls=(\d+)/.exec(await redis().command("INFO", "commandstats"))
    // Sixteen calls end them; the rest are heartbeats, and the few that met each other.
    expect(Number(stats?.[1])).toBeLessThan(16 * 2 + 30)
    for (const replica of [b, c]) {
      const { leaves, leaveEvents } = await replica.report("room")
      expect(Object.keys(leaves)).toHaveLength(2_000)
      for (const reasons of Object.values(leaves)) expect(reasons).toEqual(["replicaLost"])
      for (const count of Object.values(leaveEvents)) expect(count).toBe(1)
    }
  })

  it("end what another evicted, also where the owner does not follow the topic", async () => {
    const [a, b] = await start(2)
    await a.track("1", "elsewhere", "mallory")
    await a.track("2", "elsewhere", "mallory")
    await b.track("3", "elsewhere", "mallory")
    const ended = a.call({ do: "ended", id: "1", ms: 500 })
    expect(await b.call({ do: "evict", topic: "elsewhere", key: "mallory" })).toBe(3)
    expect(await ended).toBe("evicted")
    expect(await a.call({ do: "update", id: "2", meta: 1 })).toBe("evicted")
    expect(await b.call({ do: "count", topic: "elsewhere" })).toEqual({ keys: 0, connections: 0 })
  })

  it("end it with the next heartbeat when the nudge is lost", async () => {
    const own = await startRedis()
    try {
      const [a, b] = await start(2, { url: own.url })
      await a.track("1", "room", "mallory")
      await a.track("2", "room", "alice")
      // Nobody may publish to an inbox.
      await own.command("ACL", "SETUSER", "default", "resetchannels", `&${world()}:{0}:t:*`)
      expect(await b.call({ do: "evict", topic: "room", key: "mallory" })).toBe(1)
      expect(await a.call({ do: "ended", id: "1", ms: 2 * HEARTBEAT })).toBe("evicted")
      a.holds.delete("1")
      await eventually(1_000, () => expectAgreement("room", [a, b]))
    } finally {
      await own.stop()
    }
  })

  it("see one that stops in order leave at once, in batches", async () => {
    const [a, b] = await start(2)
    await a.call({ do: "trackMany", topic: "room", key: "user", count: 1_000 })
    await a.stop()
    await eventually(1_000, () => expectAgreement("room", [b]))
    const { leaves } = await b.report("room")
    expect(Object.keys(leaves)).toHaveLength(1_000)
    expect(new Set(Object.values(leaves).flat())).toEqual(new Set(["released"]))
    const keys = `${world()}:*:[ix]:*`
    await eventually(GONE, async () => expect(await redis().command("KEYS", keys)).toMatch(/^\*1\r/))
  })

  it("see no leave and no second join of clients that reconnect while one hands over", async () => {
    const [a, b] = await start(2, { handover: true, ...LONG })
    await a.track("1", "room", "alice")
    await a.track("2", "room", "bob")
    await a.stop()
    expect((await b.report("room")).list.map(({ key }) => key)).toEqual(["alice", "bob"])
    await b.track("1", "room", "alice")
    await eventually(LONG.lease + GONE, () => expectAgreement("room", [b]))
    expect((await b.report("room")).leaveEvents).toEqual({ bob: 1 })
  })

  it("hand over also those who are in their leave delay", async () => {
    const [a, b] = await start(2, { handover: true, ...LONG })
    for (const key of ["alice", "bob"]) {
      await a.track(key, "room", key, {}, 60_000)
      await a.close(key)
    }
    await a.stop()
    expect((await b.report("room")).list.map(({ key }) => key)).toEqual(["alice", "bob"])
    await b.track("again", "room", "alice")
    await eventually(LONG.lease + GONE, () => expectAgreement("room", [b]))
    const { leaveEvents, leaves } = await b.report("room")
    expect(leaveEvents).toEqual({ bob: 1 })
    expect(leaves).toEqual({ alice: ["replicaLost"], bob: ["replicaLost"] })
  })

  it("live each by its own lease, and none is locked out, also when Redis comes back empty", async () => {
    const prefix = nextWorld()
    const [long] = await start(1, { prefix, lease: 30_000, heartbeat: 8_000 })
    const [a, b] = await start(2, { prefix })
    for (const [id, replica] of [long, a, b].entries()) await replica.track(`${id}`, "room", `user ${id}`)
    await eventually(2_000, () => expectAgreement("room", [long, a, b]))
    await redis().command("FLUSHALL")
    await eventually(30_000, async () => expect(await redis().command("HLEN", `${prefix}:{0}:m:room`)).toContain(":3"))
    await eventually(20_000, () => expectAgreement("room", [long, a, b]))
    for (const replica of [long, a, b]) expect((await replica.report("room")).leaves).toEqual({})
    // The one with the long heartbeat beats as often as the others, so it finds them dead in their time.
    await a.kill()
    await b.kill()
    await eventually(8_000 + GONE + 10_000, () => expectAgreement("room", [long]))
    expect((await long.report("room")).leaves).toEqual({ "user 1": ["replicaLost"], "user 2": ["replicaLost"] })
    // And it is missed only after its own.
    const [c] = await start(1, { prefix })
    await long.kill()
    await sleep(GONE + 1_000)
    expect((await c.report("room")).list.map(({ key }) => key)).toEqual(["user 0"])
  })

  it("of another lease do not start beside version 0.1, and say why", async () => {
    const prefix = nextWorld()
    await redis().command("SET", `${prefix}:{0}:c`, "lease 9000 ms, heartbeat 3000 ms, partitions 1")
    await redis().command("ZADD", `${prefix}:{0}:l`, String(Date.now() + 600_000), "old")
    await expect(ReplicaProcess.start({ url: redis().url, prefix, lease: LEASE + 1 })).rejects.toThrow(
      new RegExp(
        `version 0\\.1.*lease 9000 ms, heartbeat 3000 ms, partitions 1, this one by lease ${LEASE + 1} ms, heartbeat ${HEARTBEAT} ms`
      )
    )
    const [same] = await start(1, { prefix, lease: 9_000, heartbeat: 3_000 })
    await same.track("1", "room", "alice")
    await expectAgreement("room", [same])
  })

  it("of a newer version are left alone", async () => {
    const prefix = nextWorld()
    await redis().command("SET", `${prefix}:{0}:c`, "format 3, regions 7")
    await redis().command("ZADD", `${prefix}:{0}:l`, "1", "newer")
    const starting = ReplicaProcess.start({ url: redis().url, prefix })
    await expect(starting).rejects.toThrow(/newer version.*"format 3, regions 7"; it knows formats up to 2/)
    expect(await redis().command("ZRANGE", `${prefix}:{0}:l`, "0", "-1")).toContain("newer")
  })
})
