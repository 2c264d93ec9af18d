/**
 * The invariants, each under its name, each with tests that fail when it is broken.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Logger,
  type LogLevel,
  Option,
  Random,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import fc from "fast-check"
import { Channels, type Lagged, Presence, type PresenceEvent } from "../src/index.js"
import { followTopic } from "./support/followTopic.js"
import { atEveryOperation, interruptAt } from "./support/interruptAt.js"
import { join, leave, listen, update } from "./support/listen.js"
import { growth, isCollected } from "./support/memory.js"
import { channelsWith } from "./support/mirrors.js"
import { holds } from "./support/property.js"
import { finalizersOf } from "./support/scope.js"

const check = (
  name: string,
  body: () => Effect.Effect<void, unknown, Presence | Channels | Scope.Scope>,
  options?: Presence.Options
) => it.scoped(name, () => Effect.provide(Effect.scoped(Effect.suspend(body)), Presence.layer(options)))

/** Only the tests sweep. */
const quiet: Presence.Options = { ttl: "3 seconds", sweepInterval: Duration.infinity }

/** A presence over channels of the test's own, closed by the test. */
const openWith = (channels: Layer.Layer<Channels>, options?: Presence.Options) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      Layer.provideMerge(Presence.layerWithoutChannels(options), channels),
      scope
    )
    return { presence: Context.get(context, Presence), close: Scope.close(scope, Exit.void) }
  })

describe("1. a topic's events are in the order of its state changes, for every subscriber", () => {
  check(
    "many fibers at once: every subscriber hears the same order, that of the versions",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const listeners = yield* Effect.replicateEffect(listen("room"), 3)
        const follower = yield* followTopic("room")
        const mirror = yield* (yield* Channels).subscribe("presence:room")
        const actor = (key: string) =>
          Effect.gen(function* () {
            for (let i = 0; i < 20; i++) {
              const lease = yield* presence.track("room", key, i)
              if ((yield* Random.nextInt) % 2 === 0) yield* Effect.yieldNow()
              yield* lease.update(`${i}`)
              if ((yield* Random.nextInt) % 3 === 0) yield* Effect.yieldNow()
              yield* lease.release
            }
          })
        // Keys of which each actor is the only one, so that every release is a leave.
        const keys = ["a", "b", "c", "d", "e", "f"]
        const reading = yield* Effect.fork(
          Effect.gen(function* () {
            const texts: Array<string> = []
            while (texts.length < keys.length * 60) texts.push(...(yield* mirror.take))
            return texts
          })
        )
        yield* Effect.forEach(keys, actor, { concurrency: "unbounded" })
        const told: Array<PresenceEvent> = []
        for (const change of yield* follower.until(
          (copy) => copy.version === follower.start.version + keys.length * 60
        )) {
          if (change._tag === "Snapshot") continue
          for (const { key, meta } of change.joins) told.push({ type: "join", key, meta })
          for (const { key, meta } of change.updates) told.push({ type: "update", key, meta })
          for (const { key } of change.leaves) told.push({ type: "leave", key })
        }
        expect(told).toHaveLength(keys.length * 60)
        for (const heard of listeners) expect(yield* heard).toEqual(told)
        expect((yield* Fiber.join(reading)).map((text) => JSON.parse(text))).toEqual(told)
      }),
    { capacity: 1_000 }
  )

  it.scoped("when an event is told, the state is already the one it speaks of, and nothing came between", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [event: string, metas: unknown]> = []
      let presence: Presence.Service | undefined
      const spy = channelsWith((usual) => (topic, text) => {
        const made = typeof text === "function" ? text() : text
        if (presence !== undefined) seen.push([made, Effect.runSync(presence.list("room"))[0]?.metas])
        return usual(topic, made)
      })
      const opened = yield* openWith(spy, quiet)
      presence = opened.presence
      const first = yield* presence.track("room", "alice", 1)
      const second = yield* presence.track("room", "alice", 2)
      yield* first.update(3)
      yield* second.release
      yield* TestClock.adjust("3 seconds")
      yield* presence.sweepExpired
      yield* first.refresh
      yield* presence.evict("room", "alice")
      expect(seen).toEqual([
        ['{"type":"join","key":"alice","meta":1}', [1]],
        ['{"type":"join","key":"alice","meta":2}', [1, 2]],
        ['{"type":"update","key":"alice","meta":3}', [3, 2]],
        ['{"type":"leave","key":"alice"}', undefined],
        ['{"type":"join","key":"alice","meta":3}', [3]],
        ['{"type":"leave","key":"alice"}', undefined]
      ])
      yield* opened.close
    })
  )

  check("a change that is interrupted at any operation is whole or has not happened", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      let operations = yield* atEveryOperation((n) =>
        Effect.scoped(
          Effect.gen(function* () {
            const lease = yield* presence.track("room", "alice", 1)
            const heard = yield* listen("room")
            const outcome = yield* interruptAt(lease.update(2), n)
            const metas = (yield* presence.list("room"))[0]?.metas
            const done = metas?.[0] === 2
            expect(yield* heard).toEqual(done ? [update("alice", 2)] : [])
            if (Exit.isSuccess(outcome.exit)) expect(done).toBe(true)
            return outcome
          })
        )
      )
      expect(operations).toBeGreaterThan(1)
      operations = yield* atEveryOperation((n) =>
        Effect.gen(function* () {
          yield* presence.track("room", "bob", 1)
          const heard = yield* listen("room")
          const outcome = yield* interruptAt(presence.evict("room", "bob"), n)
          const done = (yield* presence.list("room")).length === 0
          expect(yield* heard).toEqual(done ? [leave("bob")] : [])
          if (Exit.isSuccess(outcome.exit)) expect(done).toBe(true)
          yield* presence.evict("room", "bob")
          return outcome
        })
      )
      expect(operations).toBeGreaterThan(0)
    })
  )

  it.scoped("a mirror that throws comes between neither the state and its followers, nor two followers", () =>
    Effect.gen(function* () {
      let broken = false
      const { presence, close } = yield* openWith(
        channelsWith((usual) => (topic, text) => {
          if (broken) throw new Error("the mirror is broken")
          return usual(topic, text)
        })
      )
      yield* Effect.gen(function* () {
        const follower = yield* followTopic("room")
        const heard = yield* listen("room")
        yield* presence.track("room", "alice", 1)
        broken = true
        yield* Effect.exit(presence.track("room", "bob", 2))
        yield* Effect.exit(presence.evict("room", "alice"))
        broken = false
        yield* presence.track("room", "carol", 3)
        const now = yield* presence.snapshot("room")
        yield* follower.until((copy) => copy.version >= now.version)
        expect(follower.copy().connections).toEqual(now.connections)
        const keys = new Set(["alice", "bob", "carol"])
        const folded = new Set<string>()
        for (const event of yield* heard) {
          if (event.type === "join") folded.add(event.key)
          if (event.type === "leave") folded.delete(event.key)
        }
        expect([...folded].sort()).toEqual(
          now.connections.map((connection) => connection.key).filter((k) => keys.has(k))
        )
      }).pipe(Effect.scoped, Effect.provideService(Presence, presence), Effect.ensuring(close))
    })
  )
})

describe("2. a leave for a key is told when its last connection is gone, and then exactly once", () => {
  const ways = {
    release: (_: Presence.Service, lease: Presence.Lease) => lease.release,
    scope: (_: Presence.Service, __: Presence.Lease, scope: Scope.CloseableScope) => Scope.close(scope, Exit.void),
    expiry: (presence: Presence.Service) => Effect.zipRight(TestClock.adjust("3 seconds"), presence.sweepExpired),
    evict: (presence: Presence.Service) => presence.evict("room", "alice")
  } as const
  const names = ["release", "scope", "expiry", "evict"] as const

  for (const first of names) {
    for (const second of names) {
      check(
        `by ${first}, and the other by ${second}`,
        () =>
          Effect.gen(function* () {
            const presence = yield* Presence
            const heard = yield* listen("room")
            const open = (ttl: Duration.DurationInput) =>
              Effect.gen(function* () {
                const scope = yield* Scope.make()
                const lease = yield* Scope.extend(presence.track("room", "alice", {}, { ttl }), scope)
                return [lease, scope] as const
              })
            const [lease, scope] = yield* open("3 seconds")
            // The second expires later than the first, so that one sweep does not take both.
            const [other, otherScope] = yield* open("6 seconds")
            yield* ways[first](presence, lease, scope)
            const both = first === "evict"
            expect(yield* heard).toEqual([join("alice"), join("alice"), ...(both ? [leave("alice")] : [])])
            yield* ways[second](presence, other, otherScope)
            if (second === "expiry" && first !== "expiry") yield* ways.expiry(presence)
            expect(yield* heard).toEqual(both ? [] : [leave("alice")])
            // And nothing of it is told again.
            for (const way of names) {
              yield* ways[way](presence, lease, scope)
              yield* ways[way](presence, other, otherScope)
            }
            expect(yield* heard).toEqual([])
            expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
          }),
        quiet
      )
    }
  }
})

describe("3. track interrupted at any point leaves either a connection whose scope will end it, or none", () => {
  const Name = Schema.Struct({ name: Schema.String })
  const cases = {
    "the first on its scope": (presence: Presence.Service) => presence.track("room", "alice"),
    "with options": (presence: Presence.Service) =>
      presence.track("room", "alice", { a: [1, 2, 3] }, { ttl: "1 minute" }),
    typed: (presence: Presence.Service) => presence.forSchema(Name).track("room", "alice", { name: "Alice" }),
    "the second on its scope": (presence: Presence.Service) =>
      Effect.zipRight(presence.track("lobby", "alice"), presence.track("room", "alice"))
  } as const

  for (const [name, track] of Object.entries(cases)) {
    check(name, () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const operations = yield* atEveryOperation((n) =>
          Effect.gen(function* () {
            const heard = yield* listen("room")
            const scope = yield* Scope.make()
            const outcome = yield* interruptAt(Scope.extend(Effect.asVoid(track(presence)), scope), n)
            const { connections } = yield* presence.count("room")
            expect(connections).toBeLessThanOrEqual(1)
            if (Exit.isSuccess(outcome.exit)) expect(connections).toBe(1)
            expect(yield* presence.list("room")).toHaveLength(connections)
            expect((yield* heard).map((event) => event.type)).toEqual(connections === 1 ? ["join"] : [])
            yield* Scope.close(scope, Exit.void)
            expect(yield* presence.topics).toEqual([])
            expect((yield* heard).map((event) => event.type)).toEqual(connections === 1 ? ["leave"] : [])
            return outcome
          }).pipe(Effect.scoped)
        )
        expect(operations).toBeGreaterThan(2)
      })
    )
  }

  check("a fiber that tracks and is interrupted leaves nobody behind", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const operations = yield* atEveryOperation((n) =>
        Effect.gen(function* () {
          const outcome = yield* interruptAt(Effect.scoped(presence.track("room", "alice")), n)
          expect(yield* presence.topics).toEqual([])
          return outcome
        })
      )
      expect(operations).toBeGreaterThan(5)
    })
  )

  check("a subscription that is interrupted at any operation leaves no subscriber behind", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      const unknown = (yield* presence.snapshot("never seen")).epoch
      for (const subscribe of [
        Effect.asVoid(presence.subscribe("room")),
        Effect.asVoid(Effect.orDie(channels.subscribe("room"))),
        Effect.asVoid(Stream.runHead(presence.changes("room")))
      ]) {
        const operations = yield* atEveryOperation((n) =>
          Effect.gen(function* () {
            const outcome = yield* interruptAt(Effect.scoped(subscribe), n)
            expect((yield* channels.stats).total.subscribers).toBe(0)
            // A topic that was followed and is no more has no life: it stands where an unknown one does.
            expect((yield* presence.snapshot("room")).epoch).toBe(unknown)
            return outcome
          })
        )
        expect(operations).toBeGreaterThan(5)
      }
    })
  )
})

describe("4. a closed scope ends its leases, whatever else is broken, within a bound", () => {
  it.scoped("even if the layer is already gone", () =>
    Effect.gen(function* () {
      const { presence, close } = yield* openWith(Channels.layer())
      const scope = yield* Scope.make()
      const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
      yield* Scope.extend(presence.track("room", "bob", {}, { leaveDelay: "1 minute" }), scope)
      yield* close
      expect(Exit.isSuccess(yield* Effect.exit(Scope.close(scope, Exit.void)))).toBe(true)
      expect(yield* lease.ended).toBe("released")
    })
  )

  check(
    "even if a subscriber is stuck",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* (yield* Channels).subscribe("presence:room")
        yield* presence.subscribe("room")
        yield* Stream.toPull(presence.changes("room"))
        yield* Effect.scoped(Effect.forEach(Array.from({ length: 100 }), () => presence.track("room", "alice")))
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      }),
    { bufferSize: 2, capacity: 2 }
  )

  check("even if another finalizer failed, before or after", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const broken = Effect.addFinalizer(() => Effect.die("broken"))
      const exit = yield* Effect.exit(
        Effect.scoped(
          Effect.all([broken, presence.track("room", "alice"), broken, presence.track("room", "bob"), broken])
        )
      )
      expect(Exit.isFailure(exit)).toBe(true)
      expect(yield* presence.topics).toEqual([])
    })
  )

  check("even if somebody waits for its end and is interrupted", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Scope.make()
      const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
      const waiting = yield* Effect.fork(lease.ended)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      yield* Scope.close(scope, Exit.void)
      expect(yield* lease.ended).toBe("released")
    })
  )

  it.scoped("even if the mirror throws at each leave", () =>
    Effect.gen(function* () {
      let broken = false
      const { presence, close } = yield* openWith(
        channelsWith((usual) => (topic, text) => {
          if (broken) throw new Error("the mirror is broken")
          return usual(topic, text)
        })
      )
      const scope = yield* Scope.make()
      const leases = yield* Effect.forEach(["a", "b", "c"], (key) => Scope.extend(presence.track("room", key), scope))
      const waiting = yield* Effect.fork(Effect.forEach(leases, (lease) => lease.ended))
      yield* Effect.yieldNow()
      broken = true
      yield* Effect.exit(Scope.close(scope, Exit.void))
      broken = false
      expect(yield* presence.list("room")).toEqual([])
      for (let i = 0; i < 20 && waiting.unsafePoll() === null; i++) yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toEqual(Exit.succeed(["released", "released", "released"]))
      yield* close
    })
  )

  it.scoped("even if the mirror throws when a leave delay is over: later ones end as well", () =>
    Effect.gen(function* () {
      let broken = false
      const { presence, close } = yield* openWith(
        channelsWith((usual) => (topic, text) => {
          if (broken) throw new Error("the mirror is broken")
          return usual(topic, text)
        })
      )
      yield* Effect.scoped(presence.track("room", "alice", {}, { leaveDelay: "2 seconds" }))
      broken = true
      yield* TestClock.adjust("3 seconds")
      broken = false
      yield* Effect.scoped(presence.track("room", "bob", {}, { leaveDelay: "2 seconds" }))
      yield* TestClock.adjust("3 seconds")
      expect(yield* presence.list("room")).toEqual([])
      yield* close
    })
  )
})

describe("5. refresh on a lease that expired rejoins; an evicted one stays out and can wait for ended", () => {
  check(
    "the sweep ends a lease, refresh brings it back; evict ends it for good",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const lease = yield* presence.track("room", "alice", { role: "viewer" })
        const ended = yield* Effect.fork(lease.ended)
        yield* TestClock.adjust("3 seconds")
        yield* presence.sweepExpired
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* lease.refresh).toBe("rejoined")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ role: "viewer" }] }])
        expect(ended.unsafePoll()).toBeNull()
        yield* presence.evict("room", "alice")
        expect(yield* Fiber.join(ended)).toBe("evicted")
        expect(yield* lease.refresh).toBe("evicted")
        yield* TestClock.adjust("10 seconds")
        expect(yield* lease.refresh).toBe("evicted")
        expect(yield* presence.list("room")).toEqual([])
        const once = [join("alice", { role: "viewer" }), leave("alice")]
        expect(yield* heard).toEqual([...once, ...once])
      }),
    quiet
  )
})

describe("6. releasing twice, releasing after expiry, two sweeps at once: one leave", () => {
  check(
    "all of them, by many fibers at once",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const scope = yield* Scope.make()
        const keys = Array.from({ length: 20 }, (_, i) => `user ${String(i).padStart(2, "0")}`)
        const leases = yield* Effect.forEach(keys, (key) => Scope.extend(presence.track("room", key), scope))
        yield* heard
        yield* TestClock.adjust("3 seconds")
        const paused = (effect: Effect.Effect<unknown>) => Effect.zipRight(Effect.yieldNow(), effect)
        yield* Effect.all(
          [
            presence.sweepExpired,
            presence.sweepExpired,
            ...leases.flatMap(({ release }, i) => (i % 3 === 0 ? [release, paused(release)] : [])),
            ...keys.map((key) => paused(Effect.orDie(presence.evict("room", key)))),
            paused(Scope.close(scope, Exit.void)),
            presence.sweepExpired
          ],
          { concurrency: "unbounded" }
        )
        const leaves = yield* heard
        expect(leaves.map((event) => event.type)).toEqual(keys.map(() => "leave"))
        expect(leaves.map((event) => event.key).sort()).toEqual(keys)
      }),
    quiet
  )
})

describe("7. a snapshot plus the later diffs equals the state at every version", () => {
  // The model test in model/presence.model.test.ts drives this at random; here it is for every kind of change.
  check(
    "through each kind of change",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const follower = yield* followTopic("room")
        let steps = 0
        const agrees = Effect.gen(function* () {
          const now = yield* presence.snapshot("room")
          yield* follower.until((copy) => copy.version >= now.version)
          expect(follower.copy()).toEqual({ epoch: now.epoch, version: now.version, connections: now.connections })
          steps++
        })
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(presence.track("room", "b", 1), scope)
        yield* agrees
        yield* Scope.extend(presence.track("room", "a", 2, { ttl: "1 minute" }), scope)
        yield* Scope.extend(presence.track("room", "b", 3, { leaveDelay: "1 minute", ttl: "1 minute" }), scope)
        yield* agrees
        yield* lease.update(4)
        yield* agrees
        yield* TestClock.adjust("3 seconds")
        yield* presence.sweepExpired
        yield* agrees
        yield* lease.refresh
        yield* agrees
        yield* TestClock.adjust("3 seconds")
        yield* presence.sweepExpired
        yield* lease.update(5)
        yield* agrees
        yield* Scope.close(scope, Exit.void)
        yield* agrees
        yield* presence.track("room", "b", 6)
        yield* agrees
        yield* presence.evict("room", "b")
        yield* agrees
        expect(steps).toBe(9)
      }),
    quiet
  )
})

describe("8. no slow reader or full queue can stop somebody else's join or leave, or grow memory without a bound", () => {
  check(
    "who never reads holds up nobody, and is told how much was lost",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const stuck = yield* presence.subscribe("room")
        const quick = yield* presence.subscribe("room")
        const pull = yield* Stream.toPull(presence.changes("room"))
        yield* pull
        const heard: Array<PresenceEvent> = []
        for (let i = 0; i < 1_000; i++) {
          yield* Effect.scoped(presence.track("room", "alice", i))
          heard.push(...(yield* quick.take))
        }
        expect(heard).toHaveLength(2_000)
        const { missed } = (yield* Effect.flip(stuck.take)) as Lagged
        const kept = yield* stuck.take
        expect(missed + kept.length).toBe(2_000)
        expect(kept.length).toBeLessThanOrEqual(8)
        expect(kept).toEqual(heard.slice(missed))
        // The follower is resynced, not failed.
        const [first] = yield* pull
        expect(first?._tag).toBe("Snapshot")
      }),
    { bufferSize: 8 }
  )

  check(
    "memory does not grow with what they did not read",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const channels = yield* Channels
        yield* presence.subscribe("room")
        yield* channels.subscribe("presence:room")
        const pull = yield* Stream.toPull(presence.changes("room"))
        yield* pull
        const lease = yield* presence.track("room", "alice")
        let n = 0
        const bytes = yield* growth(
          Effect.gen(function* () {
            for (let i = 0; i < 1_000; i++) yield* lease.update(`${n++} ${"x".repeat(2_000)}`)
          })
        )
        // What was told is 2 MB, three times.
        expect(bytes).toBeLessThan(500_000)
      }),
    { bufferSize: 64 }
  )

  check("a refused track, however large, costs the topic nothing", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const follower = yield* followTopic("room")
      const keeper = yield* presence.track("room", "keeper")
      for (let i = 0; i < 100; i++) yield* Effect.flip(presence.track("room", `user ${i}`, "x".repeat(20_000)))
      yield* keeper.update(1)
      yield* follower.until((copy) => copy.version === follower.start.version + 2)
      expect(follower.copy().connections.map((connection) => connection.key)).toEqual(["keeper"])
    })
  )
})

describe("9. what is refused is refused whole, with a typed error; nothing is stored, nothing told", () => {
  /** Whether a value is JSON, written as plainly as can be. */
  const isJson = (value: unknown): boolean => {
    if (value === null || typeof value === "string" || typeof value === "boolean") return true
    if (typeof value === "number") return Number.isFinite(value)
    if (typeof value !== "object") return false
    const prototype: unknown = Object.getPrototypeOf(value)
    if (Array.isArray(value)) return prototype === Array.prototype && Array.from(value).every(isJson)
    if (prototype !== null && prototype !== Object.prototype) return false
    return Object.getOwnPropertySymbols(value).length === 0 && Object.values(value).every(isJson)
  }

  const anything = fc.oneof(
    fc.jsonValue(),
    fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true
    })
  )

  check("any value at all: it is stored as JSON says it, or it is InvalidMeta and nothing has happened", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const heard = yield* listen("room")
      const met = { stored: 0, refused: 0 }
      yield* holds({ name: "metas", runs: 1_000, atOnce: 1 }, anything, (meta) =>
        Effect.gen(function* () {
          const key = `user ${met.stored + met.refused}`
          const { version } = yield* presence.snapshot("room")
          const result = yield* Effect.either(Effect.scoped(presence.track("room", key, meta)))
          const told = (yield* heard).filter((event) => event.key === key)
          if (isJson(meta ?? null)) {
            met.stored++
            expect(result._tag).toBe("Right")
            // `undefined` is no meta at all, and that is an empty one.
            expect(told.map((event) => JSON.stringify(event))).toEqual([
              JSON.stringify({ type: "join", key, meta: meta === undefined ? {} : meta }),
              JSON.stringify({ type: "leave", key })
            ])
          } else {
            met.refused++
            expect(Either.flip(result)).toMatchObject({ right: { _tag: "InvalidMeta", topic: "room", key } })
            expect(told).toEqual([])
            expect((yield* presence.snapshot("room")).version).toBe(version + 2)
          }
        })
      )
      expect(met.stored).toBeGreaterThan(100)
      expect(met.refused).toBeGreaterThan(100)
    })
  )

  check("any name at all: it is an ordinary name, or it is refused and named", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const name = fc.oneof(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "grapheme", minLength: 1 }),
        fc.array(fc.nat({ max: 0xffff })).map((units) => String.fromCharCode(...units)),
        fc.string({ minLength: 200, maxLength: 400 }),
        fc.constantFrom("__proto__", "constructor", "", "*", "}", ":")
      )
      const met = { good: 0, refused: 0 }
      yield* holds({ name: "names", runs: 500, atOnce: 1 }, fc.tuple(name, name), ([topic, key]) =>
        Effect.gen(function* () {
          const bytes = [topic, key].map((text) => Buffer.byteLength(text))
          const broken = (text: string) => text === "" || /\p{Surrogate}/u.test(text)
          const tag = broken(topic)
            ? "InvalidTopic"
            : (bytes[0] ?? 0) > 255
              ? "LimitExceeded"
              : broken(key)
                ? "InvalidKey"
                : (bytes[1] ?? 0) > 255
                  ? "LimitExceeded"
                  : undefined
          const scope = yield* Scope.make()
          const result = yield* Effect.either(Scope.extend(presence.track(topic, key), scope))
          const list = yield* presence.list(topic)
          if (tag === undefined) {
            met.good++
            expect(result._tag).toBe("Right")
            expect(list).toContainEqual({ key, metas: [{}] })
            expect(yield* presence.topics).toContain(topic)
          } else {
            met.refused++
            // A name that is too long and broken as well may be refused for either.
            const tooLong = (broken(topic) && (bytes[0] ?? 0) > 255) || (broken(key) && (bytes[1] ?? 0) > 255)
            const actual = Either.isLeft(result) ? result.left._tag : "none"
            expect(tooLong ? ["LimitExceeded", tag] : [tag]).toContain(actual)
            expect(list).toEqual([])
          }
          yield* Scope.close(scope, Exit.void)
          expect(yield* presence.list(topic)).toEqual([])
        })
      )
      expect(met.good).toBeGreaterThan(100)
      expect(met.refused).toBeGreaterThan(100)
    })
  )
})

describe("10. names are data: nothing in a topic or key is special", () => {
  check("a topic's channel is nobody else's", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      const outer = yield* channels.subscribe("presence:presence:room")
      const inner = yield* channels.subscribe("presence:room")
      yield* presence.track("presence:room", "alice")
      yield* presence.track("room", "bob")
      expect(yield* outer.take).toEqual(['{"type":"join","key":"alice","meta":{}}'])
      expect(yield* inner.take).toEqual(['{"type":"join","key":"bob","meta":{}}'])
      expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    })
  )
})

describe("11. a lease released early leaves nothing behind on a scope that lives on", () => {
  check("no finalizer for each, and no lease, whichever way it ended", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const scope = yield* Scope.make()
      const refs: Array<WeakRef<object>> = []
      const open = (key: string, meta: unknown) => Scope.extend(presence.track("room", key, meta), scope)
      const use = (end: (lease: Presence.Lease) => Effect.Effect<unknown, unknown>) =>
        Effect.gen(function* () {
          const lease = yield* open("alice", { some: "meta" })
          refs.push(new WeakRef(lease))
          yield* end(lease)
        })
      yield* open("bob", {})
      for (let i = 0; i < 10; i++) {
        yield* use((lease) => lease.release)
        yield* use(() => presence.evict("room", "alice"))
        // One in the middle of others that stay.
        yield* use((lease) => Effect.zipRight(open("dave", i), lease.release))
      }
      yield* Effect.yieldNow()
      expect(finalizersOf(scope)).toBe(1)
      for (const ref of refs) expect(yield* isCollected(ref)).toBe(true)
      expect(yield* presence.count("room")).toEqual({ keys: 2, connections: 11 })
      yield* Scope.close(scope, Exit.void)
      expect(yield* presence.topics).toEqual([])
    })
  )

  check("memory does not grow with early releases", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const bytes = yield* growth(
        Effect.gen(function* () {
          for (let i = 0; i < 5_000; i++) {
            const lease = yield* presence.track("room", "alice")
            if (i % 2 === 0) yield* lease.release
            else yield* presence.evict("room", "alice")
          }
        })
      )
      expect(bytes).toBeLessThan(150_000)
    })
  )

  check("waiting for ended, and giving up, leaves nothing either", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const bytes = yield* growth(
        Effect.gen(function* () {
          for (let i = 0; i < 1_000; i++) {
            const lease = yield* presence.track("room", "alice")
            const waiting = yield* Effect.fork(lease.ended)
            yield* Effect.yieldNow()
            yield* Fiber.interrupt(waiting)
            yield* lease.release
          }
        })
      )
      expect(bytes).toBeLessThan(60_000)
    })
  )
})

describe("12. after the last connection and subscriber of a topic go, its memory goes", () => {
  check("of very many topics, each tracked, listed, followed and left", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      let n = 0
      const bytes = yield* growth(
        Effect.gen(function* () {
          for (let i = 0; i < 200; i++) {
            const topic = `room ${n++}`
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* channels.subscribe(`presence:${topic}`)
                const { take } = yield* presence.subscribe(topic)
                const lease = yield* presence.track(topic, "alice", { n })
                yield* take
                yield* presence.list(topic)
                yield* Stream.runHead(presence.changes(topic))
                yield* lease.update({ n: -n })
                yield* presence.snapshot(topic)
              })
            )
          }
        })
      )
      expect(bytes).toBeLessThan(60_000)
      expect(yield* presence.topics).toEqual([])
      expect((yield* channels.stats).topics.size).toBe(0)
      expect(yield* presence.health).toMatchObject({ connections: 0, topics: 0 })
    })
  )

  check("what was told goes with the last follower, and the meta with the connection", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const meta = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* presence.subscribe("room")
          yield* presence.track("room", "alice", { some: "meta" })
          return new WeakRef(Object((yield* presence.list("room"))[0]?.metas[0]))
        })
      )
      yield* Effect.yieldNow()
      expect(yield* isCollected(meta)).toBe(true)
    })
  )

  check("an unusable topic is followed without holding anything", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      let n = 0
      const bytes = yield* growth(
        Effect.gen(function* () {
          for (let i = 0; i < 300; i++) {
            const topic = `${n++}${"x".repeat(300)}`
            const { stream } = yield* presence.subscribe(topic)
            expect(stream).toBeDefined()
          }
        }).pipe(Effect.scoped)
      )
      expect(bytes).toBeLessThan(60_000)
      const nothing = yield* Effect.fork(Stream.runHead(presence.events("")))
      const empty = yield* Effect.fork(Stream.runCollect(Stream.take(presence.changes("x".repeat(300)), 2)))
      yield* presence.track("room", "alice")
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
      expect([nothing.unsafePoll(), empty.unsafePoll()]).toEqual([null, null])
      const first = yield* Stream.runHead(presence.changes("x".repeat(300)))
      expect(Option.getOrThrow(first)).toMatchObject({ _tag: "Snapshot", topic: "x".repeat(300), connections: [] })
    })
  )
})

describe("13. a failing sweep logs a warning and runs again", () => {
  it.scoped("the layer's clock fails for a while", () =>
    Effect.gen(function* () {
      const logged: Array<readonly [LogLevel.LogLevel["_tag"], string]> = []
      const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
        logged.push([logLevel._tag, `${String(message)} ${Cause.pretty(cause)}`])
      })
      const clock = yield* Effect.clock
      let broken = false
      const read = <A>(value: A): A => {
        if (broken) throw new Error("the clock is broken")
        return value
      }
      // Only what presence reads is broken: the schedule and the logger count in milliseconds.
      const failing: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
        unsafeCurrentTimeNanos: () => read(clock.unsafeCurrentTimeNanos()),
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanos: Effect.map(clock.currentTimeNanos, read),
        sleep: (duration) => clock.sleep(duration)
      }
      const context = yield* Layer.build(Presence.layer({ ttl: "3 seconds" })).pipe(
        Effect.withClock(failing),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      const presence = Context.get(context, Presence)
      const { take } = yield* presence.subscribe("room")
      yield* presence.track("room", "alice")
      yield* take
      broken = true
      yield* TestClock.adjust("5 seconds")
      broken = false
      expect(logged.length).toBeGreaterThanOrEqual(4)
      expect(new Set(logged.map(([level]) => level))).toEqual(new Set(["Warning"]))
      expect(logged[0]?.[1]).toContain("the clock is broken")
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
      const before = logged.length
      yield* TestClock.adjust("2 seconds")
      expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      expect(yield* take).toEqual([leave("alice")])
      expect(logged.length).toBe(before)
    })
  )
})
