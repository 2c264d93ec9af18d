/** Expiry: `ttl`, `sweepExpired`, `refresh` and what an expired lease still can do. */
import { describe, expect } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { Presence } from "../../../src/index.js"
import { join, leave, listen, update } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const expiry = ({ check, layer, pass, test, ticks }: Subject) =>
  describe("expiry", () => {
    /** Only the tests sweep. */
    const quiet: Presence.Options = { ttl: ticks(3), sweepInterval: ticks(1_000_000) }

    check(
      "a connection expires when its ttl is over, not before",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          yield* pass(2)
          expect(yield* presence.sweepExpired).toBe(0)
          yield* pass(1)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* presence.sweepExpired).toBe(0)
        }),
      quiet
    )

    check(
      "past its ttl but not yet swept a connection is present, and refresh renews it",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          const heard = yield* listen("room")
          const ref = lease.ref
          yield* pass(5)
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
          expect(yield* lease.refresh).toBe("renewed")
          expect(lease.ref).toBe(ref)
          expect(yield* presence.sweepExpired).toBe(0)
          expect(yield* heard).toEqual([])
        }),
      quiet
    )

    check(
      "one leave for each key that became empty",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice", 1)
          yield* presence.track("room", "alice", 2)
          yield* presence.track("room", "bob", 3)
          yield* presence.track("room", "bob", 4, { ttl: ticks(100) })
          const heard = yield* listen("room")
          yield* pass(3)
          expect(yield* presence.sweepExpired).toBe(3)
          expect(yield* heard).toEqual([leave("alice")])
          expect(yield* presence.list("room")).toEqual([{ key: "bob", metas: [4] }])
        }),
      quiet
    )

    check(
      "two sweeps at once end each connection once",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          for (let i = 0; i < 10; i++) yield* presence.track("room", `user ${i}`)
          const heard = yield* listen("room")
          yield* pass(3)
          const counts = yield* Effect.all([presence.sweepExpired, presence.sweepExpired], { concurrency: 2 })
          expect((counts[0] ?? 0) + (counts[1] ?? 0)).toBe(10)
          expect((yield* heard).map((event) => event.key).sort()).toEqual(
            Array.from({ length: 10 }, (_, i) => `user ${i}`)
          )
        }),
      quiet
    )

    check(
      "a ttl of its own goes before the layer's, and an infinite one never ends",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "short", {}, { ttl: ticks(1) })
          yield* presence.track("room", "usual")
          yield* presence.track("room", "long", {}, { ttl: ticks(5) })
          yield* presence.track("room", "ever", {}, { ttl: Duration.infinity })
          yield* pass(1)
          expect(yield* presence.sweepExpired).toBe(1)
          yield* pass(2)
          expect(yield* presence.sweepExpired).toBe(1)
          yield* pass(4)
          expect(yield* presence.sweepExpired).toBe(1)
          expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["ever"])
        }),
      quiet
    )

    check(
      "a layer's ttl may be infinite as well",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice")
          yield* presence.track("room", "bob", {}, { ttl: ticks(1) })
          yield* pass(5)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* lease.refresh).toBe("renewed")
          expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["alice"])
        }),
      { ...quiet, ttl: Duration.infinity }
    )

    check(
      "an expired lease rejoins by refresh: a new join, a new ref, last among its key's metas, a whole ttl",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          yield* presence.track("room", "alice", 2, { ttl: Duration.infinity })
          const heard = yield* listen("room")
          const ref = lease.ref
          yield* pass(3)
          yield* presence.sweepExpired
          expect(yield* lease.refresh).toBe("rejoined")
          expect(lease.ref).not.toBe(ref)
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [2, 1] }])
          expect(yield* heard).toEqual([join("alice", 1)])
          yield* pass(2)
          expect(yield* presence.sweepExpired).toBe(0)
          expect(yield* lease.refresh).toBe("renewed")
          yield* pass(3)
          expect(yield* presence.sweepExpired).toBe(1)
        }),
      quiet
    )

    check(
      "an expired lease rejoins by update with the new meta: one join and no update",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          yield* pass(3)
          yield* presence.sweepExpired
          const heard = yield* listen("room")
          const ref = lease.ref
          expect(yield* lease.update((meta) => [meta])).toBe("rejoined")
          expect(lease.ref).not.toBe(ref)
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [[1]] }])
          yield* pass(2)
          expect(yield* presence.sweepExpired).toBe(0)
          yield* pass(1)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* heard).toEqual([join("alice", [1]), leave("alice")])
        }),
      quiet
    )

    check(
      "an expired lease rejoins by update with an equal meta too",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          yield* pass(3)
          yield* presence.sweepExpired
          expect(yield* lease.update(1)).toBe("rejoined")
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
        }),
      quiet
    )

    check(
      "an update does not renew the ttl",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          const heard = yield* listen("room")
          yield* pass(2)
          expect(yield* lease.update(2)).toBe("updated")
          expect(yield* lease.update(2)).toBe("updated")
          yield* pass(1)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* heard).toEqual([update("alice", 2), leave("alice")])
        }),
      quiet
    )

    check(
      "an expired lease has not ended while its scope is open, and then it is released, without a second leave",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const scope = yield* Scope.make()
          const lease = yield* Scope.extend(presence.track("room", "alice"), scope)
          yield* pass(3)
          yield* presence.sweepExpired
          const waiting = yield* Effect.fork(lease.ended)
          yield* Effect.yieldNow()
          yield* Effect.yieldNow()
          expect(waiting.unsafePoll()).toBeNull()
          yield* Scope.close(scope, Exit.void)
          expect(yield* Fiber.join(waiting)).toBe("released")
          expect(yield* lease.refresh).toBe("released")
          expect(yield* presence.list("room")).toEqual([])
          expect(yield* heard).toEqual([join("alice"), leave("alice")])
        }),
      quiet
    )

    check(
      "releasing an expired lease ends it without a second leave",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const lease = yield* presence.track("room", "alice")
          yield* pass(3)
          yield* presence.sweepExpired
          yield* lease.release
          expect(yield* lease.ended).toBe("released")
          expect(yield* lease.refresh).toBe("released")
          expect(yield* heard).toEqual([join("alice"), leave("alice")])
        }),
      quiet
    )

    check(
      "evict neither counts nor ends an expired lease: it may rejoin",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          yield* presence.track("room", "alice", 2, { ttl: Duration.infinity })
          yield* pass(3)
          yield* presence.sweepExpired
          expect(yield* presence.evict("room", "alice")).toBe(1)
          expect(yield* lease.refresh).toBe("rejoined")
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
        }),
      quiet
    )

    check(
      "evict ends what is past its ttl and not yet swept",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", 1)
          yield* pass(4)
          expect(yield* presence.evict("room", "alice")).toBe(1)
          expect(yield* lease.refresh).toBe("evicted")
          expect(yield* presence.sweepExpired).toBe(0)
        }),
      quiet
    )

    check(
      "a lease can expire and rejoin again and again",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const refs = new Set<string>()
          yield* Effect.scoped(
            Effect.gen(function* () {
              const lease = yield* presence.track("room", "alice")
              for (let i = 0; i < 3; i++) {
                refs.add(lease.ref)
                yield* pass(3)
                expect(yield* presence.sweepExpired).toBe(1)
                expect(yield* lease.refresh).toBe("rejoined")
              }
              refs.add(lease.ref)
            })
          )
          expect(refs.size).toBe(4)
          const once = [join("alice"), leave("alice")]
          expect(yield* heard).toEqual([...once, ...once, ...once, ...once])
        }),
      quiet
    )

    check(
      "the layer sweeps by itself",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          const { take } = yield* presence.subscribe("room")
          yield* pass(5)
          expect(yield* take).toEqual([leave("alice")])
          expect(yield* presence.list("room")).toEqual([])
        }),
      { ttl: ticks(3), sweepInterval: ticks(1) }
    )

    test("the first lease that expires in an open scope and was never refreshed is told once in the log", () =>
      Effect.gen(function* () {
        const logged: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => {
          if (String(message).includes("ttl: Infinity")) logged.push(String(message))
        })
        const context = yield* Layer.build(layer(quiet)).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        const presence = Context.get(context, Presence)
        const expire = (count: number) =>
          Effect.gen(function* () {
            yield* pass(3)
            expect(yield* presence.sweepExpired).toBe(count)
            for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
          })
        // Who refreshes knows of the ttl, and who closes the scope is not surprised.
        const known = yield* presence.track("room", "known")
        expect(yield* known.refresh).toBe("renewed")
        yield* Effect.scoped(presence.track("room", "closed"))
        yield* Effect.scoped(presence.track("room", "lingers", {}, { leaveDelay: ticks(2) }))
        yield* presence.track("room", "for ever", {}, { ttl: Duration.infinity })
        yield* expire(1)
        expect(logged).toEqual([])
        for (const key of ["alice", "bob"]) yield* presence.track("room", key)
        yield* expire(2)
        expect(logged).toHaveLength(1)
        expect(logged[0]).toContain('"alice" on "room" has expired after its ttl of')
        expect(logged[0]).toContain("pass { ttl: Infinity } to track")
        expect(logged[0]).toContain("call lease.refresh")
        yield* presence.track("room", "carol")
        yield* expire(1)
        expect(logged).toHaveLength(1)
      }))
  })
