import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import { Presence } from "../../src/index.js"
import { check, quiet } from "../support/invariant.js"
import { listen } from "../support/listen.js"

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
