/** What is told of all topics by all replicas together. */
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import { Presence, type PresenceActivity } from "../../src/index.js"
import { open } from "../../src/redis/client/ioredis.js"
import { PresenceRedis } from "../../src/redis/index.js"
import * as calls from "../../src/redis/protocol/calls.js"
import { Keys, refOf } from "../../src/redis/protocol/keys.js"
import type { ApplyCall, BeatCall, Operation } from "../../src/redis/protocol/values.js"
import { redisIsOff, startRedis } from "../support/redis.js"

const LEASE = 1_000
const HEARTBEAT = 200

/** A replica, and what it has told so far. */
const replica = (
  url: string
): Effect.Effect<
  { readonly presence: Presence.Service; readonly told: ReadonlyArray<PresenceActivity> },
  unknown,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const layer = PresenceRedis.layer({ url, lease: LEASE, heartbeat: HEARTBEAT })
    const presence = Context.get(yield* Layer.build(layer), Presence)
    const told: Array<PresenceActivity> = []
    yield* Effect.forkScoped(Stream.runForEach(presence.activity, (one) => Effect.sync(() => told.push(one))))
    for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
    return { presence, told }
  })

const redis = Effect.acquireRelease(
  Effect.promise(() => startRedis()),
  (redis) => Effect.promise(() => redis.stop())
)

const until = (what: () => boolean) => Effect.repeat(Effect.sleep("20 millis"), { until: what })

describe.skipIf(redisIsOff())("the activity of several replicas", () => {
  it.scopedLive("is told once by all together, each what happens to its own", () =>
    Effect.gen(function* () {
      const { url } = yield* redis
      const [a, b] = yield* Effect.all([replica(url), replica(url)])
      // Somebody follows, which tells nobody twice.
      yield* a.presence.subscribe("room")
      const alice = yield* a.presence.track("room", "alice", 1)
      const tab = yield* b.presence.track("room", "alice", 2)
      const joined = alice.ref
      yield* alice.update(3)
      yield* tab.release
      expect(yield* b.presence.evict("room", "alice")).toBe(1)
      expect(yield* alice.ended).toBe("evicted")
      yield* until(() => a.told.length >= 3 && b.told.length >= 2)
      expect(a.told).toEqual([
        { type: "join", topic: "room", key: "alice", ref: joined, meta: 1 },
        { type: "update", topic: "room", key: "alice", ref: alice.ref, previousRef: joined, meta: 3 },
        { type: "leave", topic: "room", key: "alice", ref: alice.ref, meta: 3, reason: "evicted" }
      ])
      expect(b.told).toEqual([
        { type: "join", topic: "room", key: "alice", ref: tab.ref, meta: 2 },
        { type: "leave", topic: "room", key: "alice", ref: tab.ref, meta: 2, reason: "released" }
      ])
    })
  )

  it.scopedLive("has the leaves of a lost replica once, from whoever ended them", () =>
    Effect.gen(function* () {
      const { url } = yield* redis
      const ignore = (): void => {}
      const port = yield* Effect.acquireRelease(
        Effect.promise(() =>
          open(
            { where: { url }, timeout: 5_000, name: "lost" },
            {
              onReady: ignore,
              onSubscriberReady: ignore,
              onDown: ignore,
              onSubscriberDown: ignore,
              onMessage: ignore
            }
          )
        ),
        (port) => Effect.sync(() => port.close())
      )
      // One that writes, and never beats again.
      const keys = new Keys("presence", 0)
      const settings = { lease: LEASE, heartbeat: HEARTBEAT, partitions: 1 }
      const claim: BeatCall = {
        mode: "claim",
        replica: "lost",
        number: 1,
        tag: "lost.1",
        settled: "",
        whole: false,
        seen: []
      }
      expect((yield* Effect.promise(() => calls.beat(port, keys, settings, claim))).status).toBe("OK")
      const seqs = Array.from({ length: 1_000 }, (_, i) => i + 1)
      for (let from = 0, number = 2; from < seqs.length; from += 100, number++) {
        const operations = seqs.slice(from, from + 100).map(
          (seq): Operation => ({
            type: "put",
            topic: `room:${seq % 7}`,
            seq,
            revision: seq,
            key: `user ${seq}`,
            meta: JSON.stringify({ seq })
          })
        )
        const call: ApplyCall = { mode: "own", replica: "lost", number, tag: `lost.${number}`, operations }
        expect((yield* Effect.promise(() => calls.apply(port, keys, call))).status).toBe("OK")
      }
      const [a, b] = yield* Effect.all([replica(url), replica(url)])
      yield* until(() => a.told.length + b.told.length >= seqs.length)
      // When nothing of it is left nothing more can be told.
      yield* Effect.repeat(
        Effect.promise(() => port.command("ZSCORE", [keys.leases, "lost"])),
        { until: (score) => score === null }
      )
      const told = [...a.told, ...b.told].sort((one, other) => keyOf(one) - keyOf(other))
      expect(told).toEqual(
        seqs.map((seq) => ({
          type: "leave",
          topic: `room:${seq % 7}`,
          key: `user ${seq}`,
          ref: refOf(`lost.${seq}`, seq),
          meta: { seq },
          reason: "replicaLost"
        }))
      )
      expect(yield* a.presence.topics).toEqual([])
    })
  )

  it.scopedLive("tells no leave of what is handed over: whoever ends it does", () =>
    Effect.gen(function* () {
      const { url } = yield* redis
      const other = yield* replica(url)
      const told = yield* Effect.scoped(
        Effect.gen(function* () {
          const layer = PresenceRedis.layer({ url, lease: LEASE, heartbeat: HEARTBEAT, handover: true })
          const presence = Context.get(yield* Layer.build(layer), Presence)
          const reading = yield* Effect.forkDaemon(Stream.runCollect(presence.activity))
          for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
          yield* presence.track("room", "alice", 1, { leaveDelay: "1 minute" })
          return reading
        })
      )
      expect([...(yield* told)].map(({ type }) => type)).toEqual(["join"])
      yield* until(() => other.told.length > 0)
      expect(other.told).toMatchObject([{ type: "leave", topic: "room", key: "alice", reason: "replicaLost" }])
    })
  )
})

const keyOf = ({ key }: PresenceActivity): number => Number(key.slice("user ".length))
