/**
 * Several replicas as real processes, and what can happen to their Redis and to the lines that lead there.
 */
import { describe, expect, it } from "@effect/vitest"
import type { RedisOptions } from "../../src/redis/index.js"
import { redisIsOff, startRedis } from "../support/redis.js"
import {
  eventually,
  expectAgreement,
  GONE,
  HEARTBEAT,
  LEASE,
  type ReplicaProcess,
  sleep,
  useReplicas
} from "./replicas.js"

describe.skipIf(redisIsOff())("replicas", () => {
  const { redis, start, through, world } = useReplicas()

  /** One whose line to Redis can be cut, and one beside it whose line cannot. */
  const apart = async (options: RedisOptions = {}) => {
    const proxy = await through()
    const [b] = await start(1)
    const [a] = await start(1, { url: proxy.url, prefix: world(), ...options })
    return { proxy, a, b }
  }

  it("see nobody leave when Redis stands still for longer than the lease", async () => {
    const [a, b] = await start(2)
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    redis().process.kill("SIGSTOP")
    await sleep(LEASE + 2 * HEARTBEAT)
    redis().process.kill("SIGCONT")
    await eventually(3_000, async () => {
      expect(await a.call({ do: "health" })).toMatchObject({ status: "ok" })
      expect(await b.call({ do: "health" })).toMatchObject({ status: "ok" })
    })
    await sleep(GONE)
    await expectAgreement("room", [a, b])
    for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({})
  })

  it("see nobody leave when all are cut off for longer than the lease", async () => {
    const proxy = await through()
    const [a, b] = await start(2, { url: proxy.url })
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    proxy.cut()
    await sleep(LEASE + 2 * HEARTBEAT)
    expect(await a.call({ do: "health" })).toMatchObject({ status: "unavailable", connections: 1 })
    expect((await a.report("room")).list).toHaveLength(2)
    proxy.mend()
    await sleep(GONE)
    await eventually(2_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({})
    expect(await a.call({ do: "health" })).toMatchObject({ status: "ok" })
  })

  it("catch up at once when their subscribers are killed while everything changes", async () => {
    // The last one writes nothing, so nothing of its own tells it to look.
    const [a, b, c] = (await start(3)) as [ReplicaProcess, ReplicaProcess, ReplicaProcess]
    for (let i = 0; i < 10; i++) await a.track(`${i}`, "room", `user ${i}`)
    for (let round = 0; round < 3; round++) {
      await redis().command("CLIENT", "KILL", "TYPE", "pubsub")
      await Promise.all([
        a.close(`${round}`),
        a.track(`new ${round}`, "room", `new ${round}`),
        b.track(`b ${round}`, "room", "bob")
      ])
    }
    await redis().command("CLIENT", "KILL", "TYPE", "pubsub")
    await eventually(3_000, () => expectAgreement("room", [a, b, c]))
    for (const replica of [a, b, c]) {
      expect(Object.values((await replica.report("room")).leaves).flat()).toEqual(["released", "released", "released"])
    }
  })

  it("see no leave when Redis is flushed, and write everything again under the same refs", async () => {
    const own = await startRedis()
    try {
      const [a, b] = await start(2, { url: own.url })
      await a.track("1", "room", "alice")
      await a.track("2", "room", "bob")
      await b.track("3", "room", "carol")
      await own.command("FLUSHALL")
      await sleep(GONE + 2_000)
      await expectAgreement("room", [a, b])
      await b.close("3")
      await eventually(1_000, () => expectAgreement("room", [a, b]))
      for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({ carol: ["released"] })
    } finally {
      await own.stop()
    }
  })

  it("see no leave when Redis restarts empty, except of who left meanwhile", async () => {
    const own = await startRedis()
    const [a, b] = await start(2, { url: own.url })
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await a.track("3", "room", "carol")
    await own.stop()
    // Nobody answers, and it ends.
    await a.close("3")
    const again = await startRedis({ port: own.port })
    try {
      await eventually(GONE + 5_000, () => expectAgreement("room", [a, b]))
      for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({ carol: ["released"] })
    } finally {
      await again.stop()
    }
  })

  it("do not miss one that was cut off for less than its lease", async () => {
    const { proxy, a, b } = await apart()
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    proxy.cut()
    await b.track("3", "room", "carol")
    await sleep(HEARTBEAT)
    proxy.mend()
    await eventually(3_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({})
  })

  it("see one leave that was cut off for longer, and join again as it was", async () => {
    const { proxy, a, b } = await apart()
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    proxy.cut()
    await eventually(GONE + 1_000, async () => {
      expect((await b.report("room")).list.map(({ key }) => key)).toEqual(["bob"])
    })
    proxy.mend()
    await eventually(3_000, () => expectAgreement("room", [a, b]))
    expect((await b.report("room")).leaves).toEqual({ alice: ["replicaLost"] })
  })

  it("take no ghost from bytes of a dead connection that arrive late", async () => {
    const { proxy, a, b } = await apart()
    await a.track("1", "room", "alice")
    proxy.hold()
    const tracked = a.track("2", "room", "ghost")
    const closed = a.close("1")
    await proxy.kept()
    proxy.orphan()
    await Promise.all([tracked, closed])
    await a.close("2")
    await eventually(2_000, () => expectAgreement("room", [a, b]))
    await proxy.deliver()
    await sleep(2 * HEARTBEAT)
    await expectAgreement("room", [a, b])
    expect((await b.report("room")).list).toEqual([])
  })

  it("that stop while Redis stands still do not wait for it for long", async () => {
    // A call would wait for longer than this test.
    const [a] = await start(1, { timeout: 600_000 })
    await a.track("1", "room", "alice")
    redis().process.kill("SIGSTOP")
    try {
      await a.dispose()
    } finally {
      redis().process.kill("SIGCONT")
    }
  })

  it("whose Redis is away: track fails and leaves nothing, an update stays wanted, a scope closes, lists go on", async () => {
    const { proxy, a, b } = await apart({ timeout: 1_500 })
    await a.track("1", "room", "alice", 1)
    await a.track("2", "room", "bob")
    await b.track("3", "room", "carol")
    proxy.cut()
    await expect(a.track("4", "room", "dave")).rejects.toThrow("presence is unavailable")
    await expect(a.call({ do: "update", id: "1", meta: 2 })).rejects.toThrow("presence is unavailable")
    await expect(a.call({ do: "evict", topic: "room", key: "carol" })).rejects.toThrow("presence is unavailable")
    await expect(a.call({ do: "count", topic: "elsewhere" })).rejects.toThrow("presence is unavailable")
    expect(await a.call({ do: "refresh", id: "1" })).toBe("renewed")
    await a.close("2")
    expect((await a.report("room")).list.map(({ key }) => key)).toEqual(["alice", "bob", "carol"])
    proxy.mend()
    for (const [id, ref] of await a.call<ReadonlyArray<[string, string]>>({ do: "refs" })) {
      const hold = a.holds.get(id)
      if (hold !== undefined) hold.ref = ref
    }
    await eventually(5_000, () => expectAgreement("room", [a, b]))
    expect((await b.report("room")).list).toEqual([
      { key: "alice", metas: [2] },
      { key: "carol", metas: [{}] }
    ])
  })

  it("whose Redis stands still closes a scope, before anybody knows that it does", async () => {
    const proxy = await through()
    // A call would wait for longer than this test.
    const [a] = await start(1, { url: proxy.url, timeout: 600_000 })
    await a.track("1", "room", "alice")
    proxy.freeze()
    await a.close("1")
    proxy.mend()
  })

  it("with whenUnavailable local: a lease is live at once, others see it when Redis has it", async () => {
    const { proxy, a, b } = await apart({ whenUnavailable: "local" })
    await a.track("1", "room", "alice")
    proxy.cut()
    await eventually(1_000, async () => expect(await a.call({ do: "health" })).toMatchObject({ status: "unavailable" }))
    // Nobody can have taken it yet.
    await a.track("2", "room", "bob")
    expect((await b.report("room")).list).toHaveLength(1)
    proxy.mend()
    await eventually(3_000, () => expectAgreement("room", [a, b]))
  })
})
