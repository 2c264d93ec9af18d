/** `activity`: what happens on all topics, each connection's join, updates and leave once. */
import { describe, expect } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { type Lagged, Presence, PresenceActivity } from "../../../src/index.js"
import type { Subject } from "../Subject.js"

/** Listens from now on; gives what was told since, once there are so many. */
const listen = <A>(stream: Stream.Stream<A, Lagged>) =>
  Effect.gen(function* () {
    const told: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(stream, (one) => Effect.sync(() => told.push(one))))
    // It listens once it has run for the first time.
    for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
    return (count: number) =>
      Effect.gen(function* () {
        while (told.length < count) yield* Effect.yieldNow()
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
        return told
      })
  })

export const activity = ({ check, layer, pass, test, ticks }: Subject) =>
  describe("activity", () => {
    check("tells the joins, updates and leaves of all topics, each once and in order", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room:1", "before")
        const told = yield* listen(presence.activity)
        const alice = yield* presence.track("room:1", "alice", 1)
        const joined = alice.ref
        const tab = yield* presence.track("room:1", "alice", 2)
        const bob = yield* presence.track("__proto__", "bob", 3)
        yield* alice.update(4)
        yield* alice.update(4)
        yield* alice.refresh
        const updated = alice.ref
        yield* alice.release
        yield* alice.release
        yield* presence.evict("room:1", "alice")
        yield* Effect.scoped(presence.track("room:2", "carol"))
        expect(yield* told(8)).toEqual([
          { type: "join", topic: "room:1", key: "alice", ref: joined, meta: 1 },
          { type: "join", topic: "room:1", key: "alice", ref: tab.ref, meta: 2 },
          { type: "join", topic: "__proto__", key: "bob", ref: bob.ref, meta: 3 },
          { type: "update", topic: "room:1", key: "alice", ref: updated, previousRef: joined, meta: 4 },
          { type: "leave", topic: "room:1", key: "alice", ref: updated, meta: 4, reason: "released" },
          { type: "leave", topic: "room:1", key: "alice", ref: tab.ref, meta: 2, reason: "evicted" },
          expect.objectContaining({ type: "join", topic: "room:2", key: "carol" }),
          expect.objectContaining({ type: "leave", topic: "room:2", key: "carol", reason: "released" })
        ])
      })
    )

    check(
      "tells who expired, and who is back",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const told = yield* listen(presence.activity)
          const lease = yield* presence.track("room", "alice", 1, { ttl: ticks(1) })
          const first = lease.ref
          yield* pass(1)
          yield* presence.sweepExpired
          expect(yield* lease.refresh).toBe("rejoined")
          expect(yield* told(3)).toEqual([
            { type: "join", topic: "room", key: "alice", ref: first, meta: 1 },
            { type: "leave", topic: "room", key: "alice", ref: first, meta: 1, reason: "expired" },
            { type: "join", topic: "room", key: "alice", ref: lease.ref, meta: 1 }
          ])
        }),
      { sweepInterval: ticks(1_000_000) }
    )

    check("is encoded and decoded by its schema", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const told = yield* listen(presence.activity)
        const lease = yield* presence.track("room", "alice", { a: [1] })
        yield* lease.update(null)
        yield* lease.release
        const all = yield* told(3)
        const schema = Schema.Array(PresenceActivity)
        expect(yield* Schema.decodeUnknown(schema)(JSON.parse(JSON.stringify(all)))).toEqual(all)
        expect(yield* Schema.encode(schema)(all)).toEqual(all)
      })
    )

    check("is typed: a change into a meta that decodes is a join, out of one a leave", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const told = yield* listen(presence.forSchema(Schema.Struct({ n: Schema.NumberFromString })).activity)
        const lease = yield* presence.track("room", "alice", "junk")
        yield* lease.update({ n: "1" })
        const first = lease.ref
        yield* lease.update({ n: "2" })
        const second = lease.ref
        yield* lease.update("junk")
        yield* lease.release
        yield* presence.track("room", "bob", { n: "3" })
        expect(yield* told(4)).toMatchObject([
          { type: "join", topic: "room", key: "alice", ref: first, meta: { n: 1 } },
          { type: "update", key: "alice", ref: second, previousRef: first, meta: { n: 2 } },
          { type: "leave", key: "alice", ref: second, meta: { n: 2 } },
          { type: "join", key: "bob", meta: { n: 3 } }
        ])
      })
    )

    check(
      "fails with Lagged for who is too slow, and holds up nobody",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const pull = yield* Stream.toPull(presence.activity)
          const lease = yield* presence.track("room", "alice", 0)
          const first = yield* Effect.fork(pull)
          while (first.unsafePoll() === null) {
            yield* lease.update(Math.random())
            yield* Effect.yieldNow()
          }
          for (let i = 0; i < 20; i++) yield* lease.update(i)
          const error = yield* Effect.flip(pull)
          expect(error).toMatchObject({ value: { _tag: "Lagged", topic: "" } })
          expect(String(error.pipe((some) => (some._tag === "Some" ? some.value.message : "")))).toMatch(
            /^a subscriber of all topics was too slow and missed \d+$/
          )
        }),
      { bufferSize: 4 }
    )

    test("is told the leaves of the layer's close, then ends; afterwards it ends at once", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
        const presence = Context.get(yield* Layer.buildWithScope(layer(), scope), Presence)
        yield* presence.track("room", "alice")
        const reading = yield* Effect.fork(Stream.runCollect(presence.activity))
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
        yield* presence.track("room", "bob")
        yield* Scope.close(scope, Exit.void)
        const told = [...(yield* Fiber.join(reading))]
        expect(told.map(({ type, key }) => `${type} ${key}`)).toEqual(["join bob", "leave alice", "leave bob"])
        expect([...(yield* Stream.runCollect(presence.activity))]).toEqual([])
      }))
  })
