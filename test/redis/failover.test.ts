/**
 * Replicas while what is under them changes: a fail-over that loses writes, slots that move, versions that roll.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "@effect/vitest"
import { partitionOf } from "../../src/redis/protocol/keys.js"
import { startCluster } from "../support/cluster.js"
import { startProxy } from "../support/proxy.js"
import { redisIsOff, startRedis } from "../support/redis.js"
import { eventually, expectAgreement, GONE, HEARTBEAT, ReplicaProcess, sleep } from "./replicas.js"

describe.skipIf(redisIsOff())("replicas", () => {
  const replicas: Array<ReplicaProcess> = []
  const stops: Array<() => Promise<void>> = []
  afterEach(async () => {
    await Promise.all(replicas.splice(0).map((replica) => replica.kill()))
    for (const stop of stops.splice(0).reverse()) await stop()
  })

  const start = async (url: string, topic: string, handover = false): Promise<ReplicaProcess> => {
    const replica = await ReplicaProcess.start({ url, prefix: "world", handover })
    replicas.push(replica)
    await replica.follow(topic)
    return replica
  }

  it("write again what a fail-over has lost", async () => {
    const master = await startRedis()
    stops.push(master.stop)
    // The Redis replica hears of the master through a line that can be cut; ours come by a name that moves.
    const line = await startProxy(master.port)
    stops.push(line.close)
    const name = await startProxy(master.port)
    stops.push(name.close)
    const second = await startRedis({ args: ["--replicaof", "127.0.0.1", String(line.port)] })
    stops.push(second.stop)
    await eventually(10_000, async () => {
      expect(await second.command("INFO", "replication")).toContain("master_link_status:up")
    })
    const [a, b] = await Promise.all([start(name.url, "room"), start(name.url, "room")])
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await a.track("3", "room", "carol")
    await eventually(5_000, async () => expect(await second.command("HLEN", "world:{0}:m:room")).toContain(":3"))
    line.cut()
    await a.track("4", "room", "dave")
    await a.close("1")
    await b.track("5", "room", "bob")
    await b.close("2")
    await eventually(1_000, () => expectAgreement("room", [a, b]))
    name.cut()
    await second.command("REPLICAOF", "NO", "ONE")
    name.moveTo(second.port)
    name.mend()
    await eventually(GONE + 8_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) {
      const { leaves, leaveEvents } = await replica.report("room")
      expect(leaves).toEqual({ alice: ["released"], bob: ["released"] })
      expect(leaveEvents).toEqual({ alice: 1 })
    }
  })

  it("dial again when their address leads to another master and the old one lives on as its replica", async () => {
    const master = await startRedis()
    stops.push(master.stop)
    const name = await startProxy(master.port)
    stops.push(name.close)
    const second = await startRedis({ args: ["--replicaof", "127.0.0.1", String(master.port)] })
    stops.push(second.stop)
    await eventually(10_000, async () => {
      expect(await second.command("INFO", "replication")).toContain("master_link_status:up")
    })
    const [a, b] = await Promise.all([start(name.url, "room"), start(name.url, "room")])
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await eventually(5_000, async () => expect(await second.command("HLEN", "world:{0}:m:room")).toContain(":2"))
    // Whoever is connected stays connected to the old one.
    name.moveTo(second.port)
    await second.command("REPLICAOF", "NO", "ONE")
    await master.command("REPLICAOF", "127.0.0.1", String(second.port))
    await eventually(15_000, async () => {
      for (const replica of [a, b]) expect(await replica.call({ do: "health" })).toMatchObject({ status: "ok" })
      expect(await second.command("CLIENT", "LIST", "TYPE", "pubsub")).toMatch(/effect-presence[\s\S]*effect-presence/)
    })
    await a.track("3", "room", "carol")
    await eventually(GONE + 5_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({})
  })

  /** A Redis that is killed, and comes back with what it saved last. */
  const startSaving = async () => {
    const directory = mkdtempSync(join(tmpdir(), "presence-saved-"))
    stops.push(async () => rmSync(directory, { recursive: true, force: true }))
    const args = ["--dir", directory]
    let redis = await startRedis({ args })
    stops.push(() => redis.stop())
    return {
      url: redis.url,
      command: (...words: ReadonlyArray<string>) => redis.command(...words),
      restart: async () => {
        await redis.stop()
        redis = await startRedis({ args, port: redis.port })
      }
    }
  }

  it("believe nobody who stopped in order before Redis came back with an old data set", async () => {
    const redis = await startSaving()
    const [a, b, gone] = await Promise.all(
      [1, 2, 3].map(() => start(redis.url, "room")) as never as [
        Promise<ReplicaProcess>,
        Promise<ReplicaProcess>,
        Promise<ReplicaProcess>
      ]
    )
    await a.track("1", "room", "alice")
    await a.track("2", "room", "left")
    await b.track("3", "room", "bob")
    await gone.track("4", "room", "gone")
    await eventually(5_000, () => expectAgreement("room", [a, b, gone]))
    expect(await redis.command("SAVE")).toContain("OK")
    await gone.stop()
    await a.close("2")
    await b.track("5", "room", "late")
    await eventually(5_000, () => expectAgreement("room", [a, b]))
    const joins = await Promise.all([a, b].map(async (replica) => (await replica.report("room")).joins))
    await redis.restart()
    // It has them again; one who comes now is not told of them either.
    expect(await redis.command("HVALS", "world:{0}:m:room")).toContain("gone")
    const c = await start(redis.url, "room")
    await eventually(GONE + 20_000, async () => {
      await expectAgreement("room", [a, b, c])
      expect(await redis.command("ZCARD", "world:{0}:l")).toContain(":3")
      expect(await redis.command("HLEN", "world:{0}:m:room")).toContain(":3")
    })
    for (const [i, replica] of [a, b].entries()) {
      const report = await replica.report("room")
      expect(report.leaves).toEqual({ gone: ["released"], left: ["released"] })
      expect(report.leaveEvents).toEqual({ gone: 1, left: 1 })
      expect(report.joins).toBe(joins[i])
    }
    expect((await c.report("room")).leaves).toEqual({})
    expect((await c.report("room")).joins).toBeLessThanOrEqual(3)
  })

  it("tell neither a join nor a leave when Redis restarts with all that it had", async () => {
    const redis = await startSaving()
    const [a, b] = await Promise.all([start(redis.url, "room"), start(redis.url, "room")])
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await eventually(5_000, () => expectAgreement("room", [a, b]))
    const joins = await Promise.all([a, b].map(async (replica) => (await replica.report("room")).joins))
    expect(await redis.command("SAVE")).toContain("OK")
    await redis.restart()
    await eventually(20_000, async () => {
      expect(await a.call({ do: "health" })).toMatchObject({ status: "ok" })
      expect(await b.call({ do: "health" })).toMatchObject({ status: "ok" })
    })
    await a.track("3", "room", "carol")
    await eventually(20_000, () => expectAgreement("room", [a, b]))
    await sleep(GONE + HEARTBEAT)
    await expectAgreement("room", [a, b])
    for (const [i, replica] of [a, b].entries()) {
      const report = await replica.report("room")
      expect([report.leaves, report.joins]).toEqual([{}, (joins[i] ?? 0) + 1])
    }
  })

  it("find the master by its sentinels, and the next one when it is gone", async () => {
    const master = await startRedis()
    stops.push(master.stop)
    const second = await startRedis({ args: ["--replicaof", "127.0.0.1", String(master.port)] })
    stops.push(second.stop)
    await eventually(10_000, async () => {
      expect(await second.command("INFO", "replication")).toContain("master_link_status:up")
    })
    const sentinel = await startRedis({
      sentinel: [
        `sentinel monitor rooms 127.0.0.1 ${master.port} 1`,
        "sentinel down-after-milliseconds rooms 1000",
        "sentinel failover-timeout rooms 5000"
      ]
    })
    stops.push(sentinel.stop)
    await eventually(15_000, async () => {
      expect(await sentinel.command("SENTINEL", "MASTER", "rooms")).toMatch(/num-slaves\r\n\$1\r\n1/)
    })
    const [a, b] = await Promise.all([start(sentinel.url, "room"), start(`${sentinel.url}/rooms`, "room")])
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await eventually(2_000, () => expectAgreement("room", [a, b]))
    await master.stop()
    await eventually(20_000, async () => {
      expect(await a.call({ do: "health" })).toMatchObject({ status: "ok" })
      expect(await second.command("INFO", "replication")).toContain("role:master")
    })
    await a.track("3", "room", "carol")
    await eventually(GONE + 5_000, () => expectAgreement("room", [a, b]))
    for (const replica of [a, b]) expect((await replica.report("room")).leaves).toEqual({})
  })

  it("agree in a cluster, also while slots move and subscribers are killed", async () => {
    const cluster = await startCluster()
    stops.push(cluster.stop)
    const topics = Array.from({ length: 12 }, (_, i) => `room ${i}`)
    const [a, b] = await Promise.all([start(cluster.url, topics[0] as string), start(cluster.url, topics[0] as string)])
    for (const topic of topics.slice(1)) await Promise.all([a.follow(topic), b.follow(topic)])
    let n = 0
    const change = async (): Promise<void> => {
      const replica = n % 2 === 0 ? a : b
      const topic = topics[n % topics.length] as string
      await replica.track(`${n}`, topic, `user ${n % 5}`)
      const [oldest] = replica.holds.keys()
      if (n % 3 === 0 && oldest !== undefined) await replica.close(oldest)
      n++
    }
    for (let i = 0; i < 30; i++) await change()
    for (const topic of topics) await eventually(3_000, () => expectAgreement(topic, [a, b]))
    // The first partition is always used, of the others those that have a topic.
    const used = new Set([0, ...topics.map((topic) => partitionOf(topic, 16))])
    expect((await cluster.everywhere("KEYS", "world:*:l")).join("").match(/world:\{\d+\}:l\r/g)).toHaveLength(used.size)
    const moving = (async () => {
      for (let partition = 0; partition < 16; partition++) await cluster.moveSlotOf(`world:{${partition}}:l`)
    })()
    let moved = false
    void moving.finally(() => {
      moved = true
    })
    for (let i = 0; !moved || i < 60; i++) {
      await change()
      if (i % 20 === 10) await cluster.everywhere("CLIENT", "KILL", "TYPE", "pubsub")
    }
    await moving
    for (const topic of topics) await eventually(12_000, () => expectAgreement(topic, [a, b]))
    expect(await a.call({ do: "evict", topic: topics[1] as string, key: "nobody" })).toBe(0)
    await b.kill()
    for (const topic of topics) await eventually(GONE + 3_000, () => expectAgreement(topic, [a]))
    await expect(start(`${cluster.url}/1`, "room")).rejects.toThrow("is a cluster: it has database 0 and no other")
    // Orderly, in every partition.
    await a.stop()
    expect((await cluster.everywhere("KEYS", "world:*:[imkx]:*")).join("")).toBe("*0\r\n".repeat(3))
  })

  it.each([false, true])(
    "lose nobody while they are restarted one after the other under load, handover %s",
    async (handover) => {
      const redis = await startRedis()
      stops.push(redis.stop)
      let living = await Promise.all([1, 2, 3].map(() => start(redis.url, "room", handover)))
      const watcher = await start(redis.url, "room", handover)
      await watcher.track("watcher", "room", "watcher")
      let n = 0
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 15; i++) {
          const replica = living[n % living.length] as ReplicaProcess
          await replica.track(`${n}`, "room", `user ${n % 10}`)
          const [oldest] = replica.holds.keys()
          if (n % 2 === 0 && oldest !== undefined) await replica.close(oldest)
          n++
        }
        const [old, ...rest] = living as [ReplicaProcess, ...Array<ReplicaProcess>]
        const clients = [...old.holds]
        const stopping = old.stop()
        const next = await start(redis.url, "room", handover)
        await stopping
        // Its clients come back to another.
        for (const [id, { key }] of clients) await next.track(`${id}'`, "room", key)
        living = [...rest, next]
      }
      await eventually(GONE + 3_000, () => expectAgreement("room", [...living, watcher]))
      const reasons = new Set(Object.values((await watcher.report("room")).leaves).flat())
      expect([...reasons].sort()).toEqual(handover ? ["released", "replicaLost"] : ["released"])
      await sleep(HEARTBEAT)
      await expectAgreement("room", [...living, watcher])
    }
  )
})
