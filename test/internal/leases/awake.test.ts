/** A process that stands still, suspended with its machine or blocked, and what was waited for meanwhile. */
import { describe, expect, it, vi } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Scope } from "effect"
import { Presence } from "../../../src/index.js"
import { sleepAwake } from "../../../src/internal/leases/awake.js"
import { nextTurn } from "../../../src/internal/leases/turns.js"
import { listen } from "../../support/listen.js"
import { hear, standStill } from "../../support/standStill.js"

const layer = Presence.layer({ ttl: "300 millis", sweepInterval: "50 millis" })

/** Presence whose sweep waits for its time. */
const swept = Effect.zipLeft(Presence, hear)

describe("while the process stood still", () => {
  it.scopedLive("nobody was silent: who is heard right after never left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      const heard = yield* listen("room")
      const lease = yield* presence.track("room", "alice")
      yield* standStill
      yield* hear
      expect(yield* lease.refresh).toBe("renewed")
      expect((yield* heard).map(({ type, key }) => `${type} ${key}`)).toEqual(["join alice"])
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("nobody was away: who comes back right after never left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      const first = yield* Scope.make()
      yield* Scope.extend(presence.track("room", "alice", {}, { leaveDelay: "300 millis" }), first)
      yield* Scope.close(first, Exit.void)
      yield* standStill
      yield* hear
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("who is not heard after it either has left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      yield* presence.track("room", "alice")
      yield* standStill
      while ((yield* presence.count("room")).keys > 0) yield* nextTurn
    }).pipe(Effect.provide(layer))
  )

  it("waits for what came meanwhile, but not for ever where it stands still all the time", async () => {
    vi.useFakeTimers({ toFake: ["performance"] })
    const slept: Array<number> = []
    const clock: Clock.Clock = {
      ...Clock.make(),
      unsafeCurrentTimeNanos: () => BigInt(performance.now() * 1e6),
      sleep: (duration) =>
        Effect.sync(() => {
          slept.push(Duration.toMillis(duration))
          vi.advanceTimersByTime(Duration.toMillis(duration) + late)
        })
    }
    let late = 1_001
    await Effect.runPromise(Effect.withClock(sleepAwake(Duration.seconds(1)), clock))
    expect(slept.splice(0)).toEqual([1_000, ...Array.from({ length: 6 }, () => 5_000)])
    late = 1_000
    await Effect.runPromise(Effect.withClock(sleepAwake(Duration.seconds(1)), clock))
    expect(slept).toEqual([1_000])
    vi.useRealTimers()
  })
})
