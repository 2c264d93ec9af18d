import { describe, expect, it } from "@effect/vitest"
import { type Clock, Context, Duration, Effect, Layer } from "effect"
import { Presence } from "../../../src/index.js"

describe("ends by time", () => {
  it.scopedLive("a leave delay is over also when timers wake early", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      // Node's timers do, by a part of a millisecond.
      const early: Clock.Clock = Object.assign(Object.create(clock), {
        sleep: (duration: Duration.Duration) => clock.sleep(Duration.subtract(duration, Duration.millis(30)))
      })
      const context = yield* Effect.withClock(Layer.build(Presence.layer({ sweepInterval: "1 hour" })), early)
      const presence = Context.get(context, Presence)
      yield* Effect.scoped(presence.track("room", "alice", {}, { leaveDelay: "50 millis" }))
      yield* Effect.repeat(Effect.delay(presence.count("room"), "5 millis"), {
        until: ({ connections }) => connections === 0
      })
      expect(yield* presence.topics).toEqual([])
    })
  )

  it.scopedLive("a sleeper for leave delays keeps nothing of those before it", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const kept: Array<number> = []
      const watched: Clock.Clock = Object.assign(Object.create(clock), {
        // Early, so that one follows the other.
        sleep: (duration: Duration.Duration) =>
          Effect.flatMap(Effect.getFiberRefs, ({ locals }) => {
            if (Duration.greaterThan(duration, "1 minute")) return Effect.never
            kept.push(Math.max(...Array.from(locals.values(), ({ length }) => length)))
            return Effect.yieldNow()
          })
      })
      const context = yield* Effect.withClock(Layer.build(Presence.layer({ sweepInterval: "1 hour" })), watched)
      const presence = Context.get(context, Presence)
      yield* Effect.scoped(presence.track("room", "alice", {}, { leaveDelay: "30 seconds" }))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => kept.length > 100 })
      expect(kept.at(-1)).toBe(kept[1])
    })
  )
})
