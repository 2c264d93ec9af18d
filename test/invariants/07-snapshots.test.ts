import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import { Presence } from "../../src/index.js"
import { followTopic } from "../support/followTopic.js"
import { check, quiet } from "../support/invariant.js"

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
