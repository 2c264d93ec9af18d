/**
 * The users that the page on replicas shows, in a real Redis: replicas need no more than the one, and the others reach
 * nothing of presence.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Redis } from "ioredis"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"
import { eventually, HEARTBEAT, LEASE, ReplicaProcess } from "./replicas.js"

const page = readFileSync(fileURLToPath(new URL("../../docs/replicas.md", import.meta.url)), "utf8")
const users = /^```acl\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? ""

describe.skipIf(redisIsOff())("the users of the page on replicas", () => {
  const folder = mkdtempSync(join(tmpdir(), "presence-acl-"))
  const replicas: Array<ReplicaProcess> = []
  let redis: RedisServer
  let app: Redis

  beforeAll(async () => {
    const file = join(folder, "users.acl")
    const inAnotherDatabase = users
      .split("\n", 1)
      .map((user) => user.replace("user presence", "user first").replaceAll("presence:", "presence@1:"))
    writeFileSync(file, [users, ...inAnotherDatabase, ""].join("\n"))
    redis = await startRedis({ args: ["--aclfile", file] })
    app = new Redis({
      port: redis.port,
      username: "app",
      password: "another",
      lazyConnect: true,
      enableReadyCheck: false
    })
    await app.connect()
  })
  afterAll(async () => {
    app?.disconnect()
    await Promise.all(replicas.map((replica) => replica.kill()))
    await redis?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const start = async (): Promise<ReplicaProcess> => {
    const replica = await ReplicaProcess.start({ url: `redis://presence:secret@127.0.0.1:${redis.port}` })
    replicas.push(replica)
    await replica.follow("room")
    return replica
  }

  it("give replicas all that they need", async () => {
    const [a, b] = await Promise.all([start(), start()])
    await a.track("1", "room", "alice")
    await b.track("2", "room", "bob")
    await b.track("3", "room", "carol")
    await a.call({ do: "update", id: "1", meta: { role: "editor" } })
    expect(await a.call({ do: "evict", topic: "room", key: "carol" })).toBe(1)
    // Redis forgets the scripts, as when it restarts.
    await app.script("FLUSH")
    await b.close("2")
    await b.track("4", "room", "dave")
    for (const replica of [a, b]) {
      await eventually(1_000, async () => {
        const { list } = await replica.report("room")
        expect(list.map(({ key, metas }) => [key, ...metas])).toEqual([
          ["alice", { role: "editor" }],
          ["dave", {}]
        ])
      })
    }
    expect(await a.call({ do: "health" })).toMatchObject({ status: "ok" })
    // A lost replica is ended by the other.
    await a.kill()
    await eventually(LEASE + HEARTBEAT, async () => {
      expect((await b.report("room")).leaves).toMatchObject({ alice: ["replicaLost"] })
    })
  })

  it.scopedLive("give them that in another database, under the names that it has there", () =>
    Effect.gen(function* () {
      const url = `redis://first:secret@127.0.0.1:${redis.port}/1`
      const presence = Context.get(yield* Layer.build(PresenceRedis.layer({ url })), Presence)
      yield* presence.track("room", "alice")
      expect(yield* presence.health).toMatchObject({ status: "ok" })
    })
  )

  it.each([
    ["publishes a change", ["PUBLISH", "presence:{0}:t:room", "x"]],
    ["publishes on a channel", ["PUBLISH", "presence:c:socket:room", "x"]],
    ["listens to a topic", ["SUBSCRIBE", "presence:{0}:t:room"]],
    ["listens to every channel", ["PSUBSCRIBE", "*"]],
    ["reads members", ["HGETALL", "presence:{0}:m:room"]],
    ["writes members", ["HSET", "presence:{0}:m:room", "mallory", "{}"]],
    ["deletes leases", ["DEL", "presence:{0}:l"]],
    ["writes by a script", ["EVAL", "return redis.call('DEL', KEYS[1])", "1", "presence:{0}:l"]],
    ["writes by a script that hides the key", ["EVAL", "return redis.call('DEL', 'presence:{0}:l')", "0"]],
    ["publishes by a script", ["EVAL", "return redis.call('PUBLISH', 'presence:{0}:t:room', 'x')", "0"]],
    ["moves a key of its own there", ["RENAME", "app:1", "presence:{0}:l"]],
    ["copies a key from there", ["COPY", "presence:{0}:l", "app:1"]],
    ["flushes", ["FLUSHALL"]],
    ["swaps databases", ["SWAPDB", "0", "1"]],
    ["changes settings", ["CONFIG", "SET", "maxmemory", "1"]],
    ["watches", ["MONITOR"]],
    ["lists keys", ["KEYS", "*"]],
    ["lists keys by pages", ["SCAN", "0"]],
    ["draws a key", ["RANDOMKEY"]],
    ["lists channels", ["PUBSUB", "CHANNELS"]],
    ["gives itself rights", ["ACL", "SETUSER", "app", "allkeys"]]
  ])("keep another program off: it never %s", async (_, [name = "", ...args]) => {
    // A script tells in words of its own that a command in it was refused.
    await expect(app.call(name, ...args)).rejects.toThrow(
      /NOPERM|ACL failure in script|user executing the script can't/
    )
  })

  it("leave that program what is its own", async () => {
    expect(await app.set("app:1", "x")).toBe("OK")
    expect(await app.publish("app:news", "x")).toBe(0)
    expect(await app.eval("return redis.call('GET', KEYS[1])", 1, "app:1")).toBe("x")
  })

  it("let nobody in without a password", async () => {
    expect(await redis.command("GET", "presence:{0}:l")).toMatch(/^-NOAUTH/)
  })
})
