/** The layer's close, and what outlives it. */
import { describe, expect } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { Presence } from "../../../src/index.js"
import { join, leave } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const closing = ({ layer, pass, test, ticks }: Subject) =>
  describe("the layer's close", () => {
    /** A presence that the test closes itself, before the scope it runs in. */
    const open = Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
      const presence = Context.get(yield* Layer.buildWithScope(layer(), scope), Presence)
      return { presence, close: Scope.close(scope, Exit.void) }
    })

    test("its leases leave and are told", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        const subscription = yield* presence.subscribe("room")
        const lease = yield* presence.track("room", "alice")
        const delayed = yield* Effect.scoped(presence.track("room", "bob", {}, { leaveDelay: ticks(1_000) }))
        const open_ = yield* presence.track("room", "carol", {}, { leaveDelay: ticks(1_000) })
        const waiting = yield* Effect.fork(lease.ended)
        yield* Effect.yieldNow()
        yield* close
        expect(yield* Fiber.join(waiting)).toBe("released")
        expect(yield* delayed.ended).toBe("released")
        expect(yield* open_.ended).toBe("released")
        const heard: Array<unknown> = []
        while (heard.length < 6) heard.push(...(yield* subscription.take))
        expect(heard.slice(0, 3)).toEqual([join("alice"), join("bob"), join("carol")])
        expect(new Set(heard.slice(3).map((event) => JSON.stringify(event)))).toEqual(
          new Set(["alice", "bob", "carol"].map((key) => JSON.stringify(leave(key))))
        )
      }))

    test("streams are given the leaves, then they end", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        yield* presence.track("room", "alice")
        const changes = yield* Effect.fork(Stream.runCollect(presence.changes("room")))
        const { stream } = yield* presence.subscribe("room")
        const events = yield* Effect.fork(Stream.runCollect(stream))
        const live = yield* Effect.fork(Stream.runLast(presence.live("room")))
        // The fibers are under way when the next change has come to both.
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
        yield* close
        expect([...(yield* Fiber.join(events))]).toEqual([leave("alice")])
        const read = [...(yield* Fiber.join(changes))]
        expect(read.map((change) => change._tag)).toEqual(["Snapshot", "Diff"])
        expect(read[1]).toMatchObject({ leaves: [{ key: "alice", reason: "released" }] })
        expect(yield* Fiber.join(live)).toEqual(Option.some([]))
      }))

    test("a parked take is interrupted", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        const { take } = yield* presence.subscribe("room")
        const fiber = yield* Effect.fork(take)
        yield* Effect.yieldNow()
        yield* close
        expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
        expect(Exit.isInterrupted(yield* Effect.exit(take))).toBe(true)
      }))

    test("afterwards reads are empty, new streams end at once, and nothing can be tracked", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        const before = yield* presence.track("room", "alice")
        yield* close
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* presence.get("room", "alice")).toEqual(Option.none())
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        expect(yield* presence.topics).toEqual([])
        expect((yield* presence.snapshot("room")).connections).toEqual([])
        expect(yield* presence.evict("room", "alice")).toBe(0)
        expect(yield* presence.sweepExpired).toBe(0)
        expect(yield* presence.health).toMatchObject({ connections: 0, topics: 0 })
        expect([...(yield* Stream.runCollect(presence.events("room")))]).toEqual([])
        yield* Stream.runDrain(presence.changes("room"))
        yield* Stream.runDrain(presence.changes("room", { since: { epoch: "x", version: 0 } }))
        expect([...(yield* Stream.runCollect(presence.live("room")))]).toEqual([])
        const subscription = yield* presence.subscribe("room")
        expect([...(yield* Stream.runCollect(subscription.stream))]).toEqual([])
        const after = yield* presence.track("room", "bob")
        expect([after.topic, after.key]).toEqual(["room", "bob"])
        for (const lease of [before, after]) {
          expect(yield* lease.refresh).toBe("released")
          expect(yield* lease.update({ a: 1 })).toBe("released")
          yield* lease.release
          expect(yield* lease.ended).toBe("released")
        }
        expect(yield* presence.list("room")).toEqual([])
      }))

    test("an expired lease is released as well", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        const lease = yield* presence.track("room", "alice", {}, { ttl: ticks(1) })
        yield* pass(1)
        yield* presence.sweepExpired
        expect(yield* presence.list("room")).toEqual([])
        yield* close
        expect(yield* lease.ended).toBe("released")
        expect(yield* lease.refresh).toBe("released")
      }))

    test("a scope that outlives the layer closes without harm", () =>
      Effect.gen(function* () {
        const { presence, close } = yield* open
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
        yield* Scope.extend(presence.track("room", "bob", {}, { leaveDelay: ticks(5) }), scope)
        yield* Scope.extend(presence.subscribe("room"), scope)
        yield* close
        yield* Scope.close(scope, Exit.void)
        expect(yield* lease.ended).toBe("released")
        expect(yield* presence.list("room")).toEqual([])
      }))
  })
