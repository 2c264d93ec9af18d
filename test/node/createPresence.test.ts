/** Presence as promises, in process and over Redis. */
import { getEventListeners } from "node:events"
import { Redis } from "ioredis"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  type ConnectionOptions,
  createPresence,
  InvalidKey,
  InvalidMeta,
  InvalidOption,
  InvalidTopic,
  LimitExceeded,
  type NodeOptions,
  type NodePresence,
  PresenceUnavailable
} from "../../src/node/index.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

let redis: RedisServer | undefined
beforeAll(async () => {
  if (!redisIsOff()) redis = await startRedis()
})
afterAll(() => redis?.stop())

/** Runs with a presence that is closed afterwards, however it went. */
const using = async (options: NodeOptions, body: (presence: NodePresence) => Promise<void>): Promise<void> => {
  const presence = await createPresence(options)
  try {
    await body(presence)
  } finally {
    await presence.close()
  }
}

const suite = (name: string, optionsOf: () => NodeOptions) =>
  describe(name, () => {
    const test = (sentence: string, body: (presence: NodePresence) => Promise<void>, more: NodeOptions = {}) =>
      it(sentence, () => using({ ...optionsOf(), ...more }, body))

    test("a lease is present until its block is left", async (presence) => {
      {
        await using lease = await presence.track("room", "alice", { role: "viewer" })
        expect([lease.topic, lease.key]).toEqual(["room", "alice"])
        await using _second = await presence.track("room", "alice")
        expect(await presence.list("room")).toEqual([{ key: "alice", metas: [{ role: "viewer" }, {}] }])
        expect(await presence.get("room", "alice")).toEqual({ key: "alice", metas: [{ role: "viewer" }, {}] })
        expect(await presence.count("room")).toEqual({ keys: 1, connections: 2 })
        expect(await presence.topics()).toEqual(["room"])
        const counts = await presence.counts(["room", "empty"])
        expect([counts.get("room"), counts.get("empty")?.keys ?? 0]).toEqual([{ keys: 1, connections: 2 }, 0])
        expect([await presence.topicsOf("alice"), await presence.topicsOf("nobody")]).toEqual([["room"], []])
        expect(await presence.evictEverywhere("nobody")).toBe(0)
        expect((await presence.snapshot("room")).connections.map(({ ref }) => ref)).toContain(lease.ref)
      }
      expect(await presence.list("room")).toEqual([])
      expect(await presence.get("room", "alice")).toBeUndefined()
    })

    test("a block that throws ends it too", async (presence) => {
      const thrown = (async () => {
        await using _lease = await presence.track("room", "alice")
        throw new Error("no")
      })()
      await expect(thrown).rejects.toThrow("no")
      expect(await presence.count("room")).toEqual({ keys: 0, connections: 0 })
    })

    test("a lease is updated, refreshed, evicted, released, and says how it ended", async (presence) => {
      const lease = await presence.track("room", "alice", { n: 1 })
      const ref = lease.ref
      expect(await lease.update({ n: 2 })).toBe("updated")
      expect(lease.ref).not.toBe(ref)
      expect(await lease.update((meta: unknown) => ({ was: meta }))).toBe("updated")
      expect(await presence.list("room")).toEqual([{ key: "alice", metas: [{ was: { n: 2 } }] }])
      expect(await lease.refresh()).toBe("renewed")
      const ended = lease.ended()
      expect(await presence.evict("room", "alice")).toBe(1)
      expect(await ended).toBe("evicted")
      expect([await lease.refresh(), await lease.update({})]).toEqual(["evicted", "evicted"])
      const other = await presence.track("room", "alice")
      await Promise.all([other.release(), other.release(), other[Symbol.asyncDispose]()])
      expect(await other.ended()).toBe("released")
      expect(await presence.list("room")).toEqual([])
    })

    test("leaveDelay keeps one whose lease is disposed of, and not one who is released", async (presence) => {
      const stays = await presence.track("room", "stays", {}, { leaveDelay: "1 minute" })
      const goes = await presence.track("room", "goes", {}, { leaveDelay: 60_000 })
      await stays[Symbol.asyncDispose]()
      await goes.release()
      expect((await presence.list("room")).map(({ key }) => key)).toEqual(["stays"])
    })

    test(
      "a lease expires without refresh, and for ever is for ever",
      async (presence) => {
        const changes = presence.changes("room")
        expect(await changes.next()).toMatchObject({ value: { _tag: "Snapshot" } })
        await presence.track("room", "short", {}, { ttl: 50 })
        await presence.track("room", "long", {}, { ttl: Number.POSITIVE_INFINITY })
        for await (const change of changes) {
          if (change._tag === "Diff" && change.leaves.length > 0) {
            expect(change.leaves).toMatchObject([{ key: "short", reason: "expired" }])
            break
          }
        }
        expect((await presence.list("room")).map(({ key }) => key)).toEqual(["long"])
      },
      { sweepInterval: "10 millis" }
    )

    test("what is refused is thrown as the class it is", async (presence) => {
      await expect(presence.track("", "a")).rejects.toBeInstanceOf(InvalidTopic)
      await expect(presence.track("room", "")).rejects.toBeInstanceOf(InvalidKey)
      await expect(presence.track("room", "a", { at: new Date() })).rejects.toBeInstanceOf(InvalidMeta)
      await expect(presence.track("room", "a", "x".repeat(20_000))).rejects.toBeInstanceOf(LimitExceeded)
      await expect(presence.track("room", "a", {}, { ttl: 0 })).rejects.toBeInstanceOf(InvalidOption)
      await expect(presence.track("room", "a", {}, { ttl: "soon" as "1 second" })).rejects.toThrow(
        'the option ttl is "soon"'
      )
      const lease = await presence.track("room", "a")
      await expect(lease.update(() => 1n)).rejects.toBeInstanceOf(InvalidMeta)
      // What somebody writes who has promises everywhere.
      await expect(lease.update(async () => ({}))).rejects.toBeInstanceOf(InvalidMeta)
      const mine = new Error("mine")
      await expect(
        lease.update(() => {
          throw mine
        })
      ).rejects.toBe(mine)
      expect(await presence.list("room")).toEqual([{ key: "a", metas: [{}] }])
    })

    test("events and changes are heard from the first that is asked for", async (presence) => {
      const events = presence.events("room")
      const changes = presence.changes("room")
      // Once it has this the topic is followed, over Redis too.
      await changes.next()
      const first = events.next()
      await using lease = await presence.track("room", "alice", 1)
      await lease.update(2)
      expect(await first).toEqual({ done: false, value: { type: "join", key: "alice", meta: 1 } })
      expect(await events.next()).toEqual({ done: false, value: { type: "update", key: "alice", meta: 2 } })
      expect(await changes.next()).toMatchObject({ value: { _tag: "Diff", joins: [{ key: "alice" }] } })
      await Promise.all([events.return?.(), changes.return?.()])
    })

    test("an iterator that is left by break, return or a signal ends, also while it waits", async (presence) => {
      for await (const _ of presence.changes("room")) break
      const waiting = presence.events("room")
      const [one, two] = [waiting.next(), waiting.next()]
      expect(await waiting.return?.("x")).toEqual({ done: true, value: "x" })
      expect(await Promise.all([one, two, waiting.next()])).toEqual([
        { done: true, value: undefined },
        { done: true, value: undefined },
        { done: true, value: undefined }
      ])

      const controller = new AbortController()
      const signalled = presence.changes("room", { signal: controller.signal })
      await signalled.next()
      const next = signalled.next()
      controller.abort()
      await expect(next).rejects.toMatchObject({ name: "AbortError" })
      await expect(signalled.next()).rejects.toMatchObject({ name: "AbortError" })
      await expect(presence.events("room", { signal: AbortSignal.abort("gone") }).next()).rejects.toBe("gone")

      // A signal that outlives its iterators keeps none of them.
      const { signal } = new AbortController()
      for await (const _ of presence.changes("room", { signal })) break
      expect(getEventListeners(signal, "abort")).toEqual([])
    })

    test("live gives the list, then the latest whenever it has changed", async (presence) => {
      const lists = presence.live("room")
      expect(await lists.next()).toEqual({ done: false, value: [] })
      await using lease = await presence.track("room", "alice", 1)
      await using _bob = await presence.track("room", "bob")
      await lease.update(2)
      // Those in between may be left out.
      for await (const list of lists) {
        if (list.length < 2 || list[0]?.metas[0] !== 2) continue
        expect(list).toEqual([
          { key: "alice", metas: [2] },
          { key: "bob", metas: [{}] }
        ])
        break
      }
      const controller = new AbortController()
      const signalled = presence.live("room", { signal: controller.signal })
      await signalled.next()
      const next = signalled.next()
      controller.abort()
      await expect(next).rejects.toMatchObject({ name: "AbortError" })
    })

    test("changes go on from where somebody stood", async (presence) => {
      await using _kept = await presence.track("room", "a")
      const first = presence.changes("room")
      const { value } = await first.next()
      await using _later = await presence.track("room", "b")
      const rest = presence.changes("room", { since: { epoch: value.epoch, version: value.version } })
      expect(await rest.next()).toMatchObject({ value: { _tag: "Diff", joins: [{ key: "b" }] } })
      await Promise.all([first.return?.(), rest.return?.()])
    })

    it("after close leases have left, iterators are over, and calls are refused with the reason", async () => {
      const presence = await createPresence(optionsOf())
      const lease = await presence.track("room", "alice")
      const changes = presence.changes("room")
      await changes.next()
      const rest = (async () => {
        for await (const _ of changes);
      })()
      const closing = presence.close()
      expect(presence.close()).toBe(closing)
      expect(presence[Symbol.asyncDispose]()).toBe(closing)
      await closing
      await rest
      expect(await lease.refresh()).toBe("released")
      await lease.release()
      await lease[Symbol.asyncDispose]()
      for (const late of [
        presence.track("room", "a"),
        presence.list("room"),
        presence.get("room", "a"),
        presence.count("room"),
        presence.counts(["room"]),
        presence.live("room").next(),
        presence.topics(),
        presence.snapshot("room"),
        presence.evict("room", "a"),
        presence.topicsOf("a"),
        presence.evictEverywhere("a"),
        presence.changes("room").next(),
        presence.events("room").next()
      ]) {
        await expect(late).rejects.toThrow("presence is unavailable: this presence is closed: close() was called")
      }
      await expect(presence.list("room")).rejects.toBeInstanceOf(PresenceUnavailable)
    })
  })

suite("in process", () => ({}))
describe.skipIf(redisIsOff())("with a Redis", () => {
  let n = 0
  suite("over Redis", () => ({ redis: { url: redis?.url ?? "", prefix: `t${n++}` } }))

  it("a connection may be made by a function", async () => {
    const connect = (options: ConnectionOptions) => new Redis({ ...options, port: redis?.port ?? 0, host: "127.0.0.1" })
    await using(
      { redis: { connect, prefix: "connect" } },
      async (presence) => void (await presence.track("room", "alice"))
    )
  })

  it("one that cannot be used is refused with its reason, and nothing stays connected to it", async () => {
    await redis?.command("ACL", "SETUSER", "mute", "reset", "on", ">pw", "~*", "+@all", "resetchannels")
    const url = `redis://mute:pw@127.0.0.1:${redis?.port}`
    await expect(createPresence({ redis: { url, prefix: "mute" } })).rejects.toThrow(/channel/)
    await expect
      .poll(async () => (await redis?.command("CLIENT", "LIST"))?.includes("user=mute"), { timeout: 300_000 })
      .toBe(false)
  })

  it("two processes' presences are one", async () => {
    const options = { redis: { url: redis?.url ?? "", prefix: "two" } }
    await using(options, (a) =>
      using(options, async (b) => {
        const changes = b.changes("room")
        await changes.next()
        await using _lease = await a.track("room", "alice")
        expect(await changes.next()).toMatchObject({ value: { joins: [{ key: "alice" }] } })
        expect(await b.list("room")).toEqual([{ key: "alice", metas: [{}] }])
      })
    )
  })
})

describe("options that make no sense", () => {
  it("are refused by name", async () => {
    await expect(createPresence({ ttl: -1 })).rejects.toBeInstanceOf(InvalidOption)
    await expect(createPresence({ bufferSize: 0 })).rejects.toThrow("bufferSize")
    await expect(createPresence({ redis: { url: "http://x" } })).rejects.toBeInstanceOf(Error)
    // As somebody writes them who has no types.
    await expect(createPresence({ tll: 5 } as never)).rejects.toThrow("the option tll is 5, but must be left out")
    const redis = { url: "redis://127.0.0.1:1", timout: 5 } as never
    await expect(createPresence({ redis })).rejects.toThrow("the option redis.timout is 5, but must be left out")
    await using presence = await createPresence()
    await expect(presence.track("room", "alice", {}, { tll: 5 } as never)).rejects.toThrow("the option tll is 5")
    expect(await presence.list("room")).toEqual([])
  })

  it("a Redis that is not there is PresenceUnavailable", async () => {
    await expect(createPresence({ redis: { url: "redis://127.0.0.1:1", timeout: 500 } })).rejects.toBeInstanceOf(
      PresenceUnavailable
    )
  })
})

it("an iterator that is left holds no topic", async () => {
  const presence = await createPresence()
  // Followed, a topic has a past from which a follower goes on. Left, it has none.
  const position = async () => {
    const changes = presence.changes("room")
    const { value } = await changes.next()
    await changes.return?.()
    return { epoch: value.epoch, version: value.version }
  }
  const since = await position()
  await using _lease = await presence.track("room", "alice")
  const resumed = presence.changes("room", { since })
  expect(await resumed.next()).toMatchObject({ value: { _tag: "Snapshot" } })
  await resumed.return?.()
  await presence.close()
})
