import { describe, expect } from "@effect/vitest"
import { type Duration, Effect, Exit, Scope, TestClock } from "effect"
import { Presence } from "../../src/index.js"
import { check, quiet } from "../support/invariant.js"
import { join, leave, listen } from "../support/listen.js"

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
