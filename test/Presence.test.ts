import { describe, expect, it } from "@effect/vitest"
import {
  type Clock,
  Config,
  ConfigProvider,
  Context,
  Duration,
  Effect,
  Exit,
  Layer,
  Schema,
  Scope,
  TestClock
} from "effect"
import { Channels, LimitExceeded, Presence, PresenceLive } from "../src/index.js"
import { presenceContract } from "./contract/presence.js"
import { seedContract } from "./contract/seed.js"
import { followTopic } from "./support/followTopic.js"
import { leave } from "./support/listen.js"
import { expectGrowthBelow } from "./support/memory.js"
import { finalizersOf } from "./support/scope.js"

seedContract("in process", Presence.layer)
presenceContract("in process", Presence.layer)

describe("in process only", () => {
  const inProcess = (
    name: string,
    body: () => Effect.Effect<void, unknown, Presence | Channels | Scope.Scope>,
    options?: Presence.Options
  ) => it.scoped(name, () => Effect.provide(Effect.scoped(Effect.suspend(body)), Presence.layer(options)))

  describe("list", () => {
    inProcess("the same array until a change", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { a: 1 })
        const list = yield* presence.list("room")
        expect(yield* presence.list("room")).toBe(list)
        yield* lease.refresh
        yield* lease.update({ a: 1 })
        yield* presence.track("lobby", "alice")
        yield* presence.evict("room", "bob")
        yield* Effect.flip(presence.track("room", ""))
        yield* presence.snapshot("room")
        yield* presence.sweepExpired
        expect(yield* presence.list("room")).toBe(list)
        yield* lease.update({ a: 2 })
        const updated = yield* presence.list("room")
        expect(updated).not.toBe(list)
        expect(yield* presence.list("room")).toBe(updated)
      })
    )

    inProcess("that nobody is on is one array too, whoever follows the topic", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const list = yield* presence.list("room")
        yield* presence.subscribe("room")
        expect(yield* presence.list("room")).toBe(list)
      })
    )

    inProcess("a typed list, too, is the same array until a change", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const numbers = presence.forSchema(Schema.Number)
        yield* numbers.track("room", "alice", 1)
        const list = yield* numbers.list("room")
        expect(yield* numbers.list("room")).toBe(list)
        yield* numbers.track("room", "bob", 2)
        expect(yield* numbers.list("room")).not.toBe(list)
      })
    )

    inProcess("many changes between two lists are all in the second", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const scope = yield* Scope.make()
        for (let i = 0; i < 200; i++) yield* Scope.extend(presence.track("room", `user ${i}`, i), scope)
        yield* presence.list("room")
        for (let i = 0; i < 100; i++) yield* presence.evict("room", `user ${i * 2}`)
        for (let i = 0; i < 100; i++) yield* presence.track("room", `new ${i}`, i)
        const expected = [
          ...Array.from({ length: 100 }, (_, i) => ({ key: `user ${i * 2 + 1}`, metas: [i * 2 + 1] })),
          ...Array.from({ length: 100 }, (_, i) => ({ key: `new ${i}`, metas: [i] }))
        ].sort((a, b) => (a.key < b.key ? -1 : 1))
        expect(yield* presence.list("room")).toEqual(expected)
      })
    )
  })

  inProcess("reads and changes never suspend", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Scope.make()
      const lease = Effect.runSync(Scope.extend(presence.track("room", "alice"), scope))
      expect(Effect.runSync(presence.count("room"))).toEqual({ keys: 1, connections: 1 })
      expect(Effect.runSync(presence.list("room"))).toHaveLength(1)
      expect(Effect.runSync(lease.update(1))).toBe("updated")
      expect(Effect.runSync(lease.refresh)).toBe("renewed")
      expect(Effect.runSync(presence.sweepExpired)).toBe(0)
      Effect.runSync(Scope.close(scope, Exit.void))
      expect(Effect.runSync(presence.topics)).toEqual([])
    })
  )

  inProcess("reading an unknown topic allocates nothing", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      let n = 0
      yield* expectGrowthBelow(
        100_000,
        Effect.gen(function* () {
          for (let i = 0; i < 3_000; i++) {
            const topic = `unknown ${n++}`
            yield* presence.snapshot(topic)
            yield* presence.list(topic)
            yield* presence.get(topic, "alice")
            yield* presence.count(topic)
            yield* presence.evict(topic, "alice")
          }
        })
      )
      expect(yield* presence.topics).toEqual([])
    })
  )

  inProcess("each life of a topic has its own epoch; followers and connections keep it", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const epoch = Effect.map(presence.snapshot("room"), (snapshot) => snapshot.epoch)
      const seen: Array<string> = []
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(
          Effect.zipRight(
            presence.track("room", "alice"),
            Effect.map(epoch, (e) => seen.push(e))
          )
        )
      }
      expect(new Set(seen).size).toBe(3)
      const follower = yield* Scope.make()
      const lease = yield* presence.track("room", "alice")
      const life = yield* epoch
      yield* Scope.extend(presence.subscribe("room"), follower)
      yield* lease.release
      expect(yield* epoch).toBe(life)
      const again = yield* presence.track("room", "alice")
      yield* Scope.close(follower, Exit.void)
      expect(yield* epoch).toBe(life)
      yield* again.release
      yield* presence.track("room", "alice")
      expect(yield* epoch).not.toBe(life)
      expect(seen).not.toContain(yield* epoch)
    })
  )

  inProcess("a key tracked again within its leave delay is one diff with both", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const before = yield* Effect.scoped(presence.track("room", "alice", 1, { leaveDelay: "1 minute" }))
      const follower = yield* followTopic("room")
      const { epoch, version } = follower.start
      const ref = before.ref
      const after = yield* presence.track("room", "alice", 2)
      expect(yield* follower.next).toEqual([
        {
          _tag: "Diff",
          topic: "room",
          epoch,
          from: version,
          version: version + 2,
          joins: [{ key: "alice", ref: after.ref, meta: 2 }],
          leaves: [{ key: "alice", ref, meta: 1, reason: "released" }],
          updates: []
        }
      ])
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [2] }])
    })
  )

  inProcess(
    "those that stay for their leave delay do not keep their key out",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* Effect.scoped(presence.track("room", "alice", 1, { leaveDelay: "1 minute" }))
        yield* presence.track("room", "alice", 2)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [2] }])
      }),
    { limits: { connectionsPerKey: 1 } }
  )

  describe("one finalizer for all leases of a scope", () => {
    inProcess("however many there are", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const scope = yield* Scope.make()
        for (let i = 0; i < 100; i++) yield* Scope.extend(presence.track("room", `user ${i}`), scope)
        expect(finalizersOf(scope)).toBe(1)
        yield* Scope.close(scope, Exit.void)
        expect(yield* presence.topics).toEqual([])
      })
    )

    inProcess("also for many thousands, which close without holding up the event loop", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const scope = yield* Scope.make()
        for (let i = 0; i < 50_000; i++) yield* Scope.extend(presence.track("room", `user ${i}`), scope)
        let turns = 0
        const timer = setInterval(() => turns++, 0)
        yield* Scope.close(scope, Exit.void)
        clearInterval(timer)
        expect(turns).toBeGreaterThan(5)
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      })
    )
  })

  describe("time", () => {
    inProcess("by default a connection lives 30 seconds, and the sweep runs every second", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice")
        const { take } = yield* presence.subscribe("room")
        yield* TestClock.adjust("29999 millis")
        expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
        yield* TestClock.adjust("1 millis")
        expect(yield* take).toEqual([leave("alice")])
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      })
    )

    inProcess(
      "between two sweeps what is past its ttl is present",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          yield* TestClock.adjust("9 seconds")
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
          yield* TestClock.adjust("1 seconds")
          expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        }),
      { ttl: "3 seconds", sweepInterval: "10 seconds" }
    )

    inProcess(
      "a leave delay is over on its own time, whatever the sweep",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* Effect.scoped(presence.track("room", "later", {}, { leaveDelay: "90 seconds" }))
          yield* Effect.scoped(presence.track("room", "soon", {}, { leaveDelay: "1500 millis" }))
          const keys = Effect.map(presence.list("room"), (list) => list.map((entry) => entry.key))
          yield* TestClock.adjust("1499 millis")
          expect(yield* keys).toEqual(["later", "soon"])
          yield* TestClock.adjust("1 millis")
          expect(yield* keys).toEqual(["later"])
          yield* TestClock.adjust("88 seconds")
          expect(yield* keys).toEqual(["later"])
          yield* TestClock.adjust("500 millis")
          expect(yield* keys).toEqual([])
        }),
      { sweepInterval: "1 hour" }
    )

    it.scopedLive("a leave delay is over, also where timers wake a little early", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (let i = 0; i < 20; i++) {
          yield* Effect.scoped(presence.track("room", "alice", {}, { leaveDelay: 2 + (i % 5) }))
          while ((yield* presence.count("room")).keys > 0) yield* Effect.sleep(1)
        }
      }).pipe(Effect.provide(Presence.layer()))
    )

    it.scoped("one sleeper waits for all leave delays, however long one of them is", () =>
      Effect.gen(function* () {
        const clock = yield* Effect.clock
        let sleepers = 0
        const sleep = (duration: Duration.Duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => sleepers++),
            () => clock.sleep(duration),
            () => Effect.sync(() => sleepers--)
          )
        const counting: Clock.Clock = Object.assign(Object.create(clock), { sleep })
        const context = yield* Layer.build(Presence.layer({ sweepInterval: "1 day" })).pipe(Effect.withClock(counting))
        const presence = Context.get(context, Presence)
        const visit = (key: string, leaveDelay: Duration.DurationInput) =>
          Effect.scoped(presence.track("room", key, {}, { leaveDelay }))
        yield* visit("bob", "1 hour")
        for (let i = 0; i < 20; i++) {
          yield* visit("alice", "1 second")
          yield* TestClock.adjust("1 second")
        }
        expect(yield* presence.list("room")).toEqual([{ key: "bob", metas: [{}] }])
        // The sweep's, and theirs.
        expect(sleepers).toBe(2)
      })
    )

    inProcess(
      "an infinite leave delay ends by release and by evict",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const options = { leaveDelay: Duration.infinity }
          const lease = yield* Effect.scoped(presence.track("room", "alice", {}, options))
          yield* Effect.scoped(presence.track("room", "bob", {}, options))
          yield* Effect.scoped(presence.track("room", "carol", {}, options))
          yield* TestClock.adjust("1000 days")
          expect(yield* presence.count("room")).toEqual({ keys: 3, connections: 3 })
          yield* lease.release
          expect(yield* presence.evict("room", "bob")).toBe(1)
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
        }),
      { sweepInterval: Duration.infinity }
    )

    inProcess("the clock is the one the layer was built with", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const ahead = { ...(yield* Effect.clock), unsafeCurrentTimeNanos: () => 10n ** 18n }
        const lease = yield* Effect.withClock(presence.track("room", "alice"), ahead)
        expect(yield* Effect.withClock(presence.sweepExpired, ahead)).toBe(0)
        yield* Effect.withClock(lease.refresh, ahead)
        yield* TestClock.setTime(30_000)
        expect(yield* presence.list("room")).toEqual([])
      })
    )

    inProcess(
      "a sweep of very many goes on in short turns, and counts all",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          for (let i = 0; i < 20_000; i++) yield* presence.track(`room ${i % 7}`, `user ${i}`)
          yield* TestClock.setTime(30_000)
          let turns = 0
          const timer = setInterval(() => turns++, 0)
          const count = yield* presence.sweepExpired
          clearInterval(timer)
          expect(count).toBe(20_000)
          expect(turns).toBeGreaterThan(0)
          expect(yield* presence.topics).toEqual([])
        }),
      { sweepInterval: "1 hour" }
    )
  })

  describe("layers", () => {
    it.scoped("PresenceLive is presence and its channels with the defaults", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const { take } = yield* (yield* Channels).subscribe("presence:room")
        yield* presence.track("room", "alice")
        expect(yield* take).toHaveLength(1)
      }).pipe(Effect.provide(PresenceLive))
    )

    it.scoped("a layer called twice is two presences, one that is shared is one", () =>
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const memo = yield* Layer.makeMemoMap
        const build = (layer: Layer.Layer<Presence | Channels>) =>
          Effect.map(Layer.buildWithMemoMap(layer, memo, scope), (context) => Context.get(context, Presence))
        const first = yield* build(Presence.layer())
        const second = yield* build(Presence.layer())
        const shared = Presence.layer()
        yield* first.track("room", "alice")
        expect(yield* first.list("room")).toHaveLength(1)
        expect(yield* second.list("room")).toEqual([])
        expect(yield* build(shared)).toBe(yield* build(shared))
      })
    )

    it.scoped("layerConfig reads its options from a Config", () =>
      Effect.gen(function* () {
        const layer = Presence.layerConfig({
          ttl: Config.duration("PRESENCE_TTL"),
          limits: { keysPerTopic: Config.integer("KEYS") }
        })
        const provider = (entries: ReadonlyArray<readonly [string, string]>) =>
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries)))
        yield* Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          expect(yield* Effect.flip(presence.track("room", "bob"))).toBeInstanceOf(LimitExceeded)
          yield* TestClock.adjust("5 seconds")
          expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        }).pipe(
          Effect.scoped,
          Effect.provide(layer),
          provider([
            ["PRESENCE_TTL", "5 seconds"],
            ["KEYS", "1"]
          ])
        )
        const error = yield* Effect.flip(Effect.provide(Presence, layer).pipe(provider([["PRESENCE_TTL", "soon"]])))
        expect(String(error)).toContain("PRESENCE_TTL")
      })
    )

    it.scoped("layerWithoutChannels mirrors to channels of one's own", () =>
      Effect.gen(function* () {
        const channels = yield* Channels
        const { take } = yield* channels.subscribe("presence:room")
        yield* Effect.gen(function* () {
          yield* (yield* Presence).track("room", "alice")
        }).pipe(Effect.scoped, Effect.provide(Presence.layerWithoutChannels()))
        expect(yield* take).toEqual(['{"type":"join","key":"alice","meta":{}}', '{"type":"leave","key":"alice"}'])
      }).pipe(Effect.provide(Channels.layer()))
    )

    it.scoped("capacity is how far a subscriber of a channel may be behind", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const { take } = yield* (yield* Channels).subscribe("presence:room")
        for (let i = 0; i < 5; i++) yield* presence.track("room", "alice", i)
        expect(yield* Effect.flip(take)).toMatchObject({ _tag: "Lagged", topic: "presence:room", missed: 3 })
      }).pipe(Effect.provide(Presence.layer({ capacity: 2 })))
    )
  })
})
