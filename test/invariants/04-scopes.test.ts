import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream, TestClock } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { check, openWith } from "../support/invariant.js"
import { breakable } from "../support/mirrors.js"

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
      const { state, channels } = breakable()
      const { presence, close } = yield* openWith(channels)
      const scope = yield* Scope.make()
      const leases = yield* Effect.forEach(["a", "b", "c"], (key) => Scope.extend(presence.track("room", key), scope))
      const waiting = yield* Effect.fork(Effect.forEach(leases, (lease) => lease.ended))
      yield* Effect.yieldNow()
      state.broken = true
      yield* Effect.exit(Scope.close(scope, Exit.void))
      state.broken = false
      expect(yield* presence.list("room")).toEqual([])
      for (let i = 0; i < 20 && waiting.unsafePoll() === null; i++) yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toEqual(Exit.succeed(["released", "released", "released"]))
      yield* close
    })
  )

  it.scoped("even if the mirror throws when a leave delay is over: later ones end as well", () =>
    Effect.gen(function* () {
      const { state, channels } = breakable()
      const { presence, close } = yield* openWith(channels)
      yield* Effect.scoped(presence.track("room", "alice", {}, { leaveDelay: "2 seconds" }))
      state.broken = true
      yield* TestClock.adjust("3 seconds")
      state.broken = false
      yield* Effect.scoped(presence.track("room", "bob", {}, { leaveDelay: "2 seconds" }))
      yield* TestClock.adjust("3 seconds")
      expect(yield* presence.list("room")).toEqual([])
      yield* close
    })
  )
})
