/** Where somebody is, by the key index of all replicas, and what becomes of the answer where it is not complete. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger } from "effect"
import { Presence } from "../../src/index.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { Keys, partitionOf } from "../../src/redis/protocol/keys.js"
import { startCluster } from "../support/cluster.js"
import { redisIsOff, startRedis } from "../support/redis.js"

const replica = (url: string, options: Presence.Options = { keyIndex: true }) =>
  Effect.map(Layer.build(PresenceRedis.layer({ url, ...options, timeout: "30 seconds" })), (context) =>
    Context.get(context, Presence)
  )

const rooms = Array.from({ length: 40 }, (_, i) => `room:${i}`)

const sorted = (topics: ReadonlyArray<string>): ReadonlyArray<string> => [...topics].sort()

/** How often Redis was asked for a page of all topics. */
const scans = (stats: ReadonlyArray<string>): number =>
  stats.reduce((sum, text) => sum + Number(/cmdstat_hscan:calls=(\d+)/.exec(text)?.[1] ?? 0), 0)

describe.skipIf(redisIsOff())("where somebody is", () => {
  it.scopedLive("in a Cluster is asked of each partition, and not of each topic", () =>
    Effect.gen(function* () {
      const cluster = yield* Effect.acquireRelease(
        Effect.promise(() => startCluster()),
        (cluster) => Effect.promise(() => cluster.stop())
      )
      const [a, b] = yield* Effect.all([replica(cluster.url), replica(cluster.url)])
      expect(new Set(rooms.map((room) => partitionOf(room, 16))).size).toBe(16)
      yield* Effect.forEach(rooms, (room, i) => (i % 2 === 0 ? a : b).track(room, "alice"), { concurrency: 10 })
      yield* Effect.forEach(rooms, (room) => a.track(room, "bob"), { concurrency: 10 })
      const everywhere = (...args: ReadonlyArray<string>) => Effect.promise(() => cluster.everywhere(...args))
      yield* everywhere("CONFIG", "RESETSTAT")
      for (const presence of [a, b]) expect(sorted(yield* presence.topicsOf("alice"))).toEqual(sorted(rooms))
      expect(yield* a.topicsOf("nobody")).toEqual([])
      expect(scans(yield* everywhere("INFO", "commandstats"))).toBe(0)
      expect(yield* b.evictEverywhere("alice")).toBe(rooms.length)
      expect(yield* a.topicsOf("alice")).toEqual([])
      // One who keeps no index looks at all topics, and while they are there so do the others.
      const c = yield* replica(cluster.url, {})
      yield* c.track("room:1", "alice")
      expect(yield* a.topicsOf("alice")).toEqual(["room:1"])
      expect(sorted(yield* c.topicsOf("bob"))).toEqual(sorted(rooms))
      expect(scans(yield* everywhere("INFO", "commandstats"))).toBeGreaterThan(0)
    })
  )

  it.scopedLive("is answered, and a warning names the key, also where another program has written there", () =>
    Effect.gen(function* () {
      const redis = yield* Effect.acquireRelease(
        Effect.promise(() => startRedis()),
        (redis) => Effect.promise(() => redis.stop())
      )
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const presence = yield* Effect.provide(replica(redis.url), Logger.replace(Logger.defaultLogger, logger))
      const { keyIndex } = new Keys("presence", 0)
      yield* presence.track("room", "alice")
      yield* Effect.promise(() => redis.command("SET", keyIndex, "a typing error"))
      const lease = yield* presence.track("other", "alice")
      expect(sorted(yield* presence.topicsOf("alice"))).toEqual(["other", "room"])
      expect(warnings.some((warning) => warning.includes(keyIndex))).toBe(true)
      yield* lease.release
      expect(yield* presence.topicsOf("alice")).toEqual(["room"])
      // Deleted, it is not taken for empty.
      yield* Effect.promise(() => redis.command("DEL", keyIndex))
      yield* presence.track("another", "alice")
      expect(sorted(yield* presence.topicsOf("alice"))).toEqual(["another", "room"])
    })
  )
})
