import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Presence } from "../../src/index.js"
import { check } from "../support/invariant.js"
import { expectGrowthBelow, isCollected } from "../support/memory.js"
import { finalizersOf } from "../support/scope.js"

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
      yield* expectGrowthBelow(
        150_000,
        Effect.gen(function* () {
          for (let i = 0; i < 5_000; i++) {
            const lease = yield* presence.track("room", "alice")
            if (i % 2 === 0) yield* lease.release
            else yield* presence.evict("room", "alice")
          }
        })
      )
    })
  )

  check("waiting for ended, and giving up, leaves nothing either", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      yield* expectGrowthBelow(
        60_000,
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
    })
  )
})
