import { describe, expect, it } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Layer, Logger, type LogLevel, TestClock } from "effect"
import { Presence } from "../../src/index.js"
import { leave } from "../support/listen.js"

describe("13. a failing sweep logs a warning and runs again", () => {
  it.scoped("the layer's clock fails for a while", () =>
    Effect.gen(function* () {
      const logged: Array<readonly [LogLevel.LogLevel["_tag"], string]> = []
      const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
        logged.push([logLevel._tag, `${String(message)} ${Cause.pretty(cause)}`])
      })
      const clock = yield* Effect.clock
      let broken = false
      const read = <A>(value: A): A => {
        if (broken) throw new Error("the clock is broken")
        return value
      }
      // Only what presence reads is broken: the schedule and the logger count in milliseconds.
      const failing: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
        unsafeCurrentTimeNanos: () => read(clock.unsafeCurrentTimeNanos()),
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanos: Effect.map(clock.currentTimeNanos, read),
        sleep: (duration) => clock.sleep(duration)
      }
      const context = yield* Layer.build(Presence.layer({ ttl: "3 seconds" })).pipe(
        Effect.withClock(failing),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      const presence = Context.get(context, Presence)
      const { take } = yield* presence.subscribe("room")
      yield* presence.track("room", "alice")
      yield* take
      broken = true
      yield* TestClock.adjust("5 seconds")
      broken = false
      expect(logged.length).toBeGreaterThanOrEqual(4)
      expect(new Set(logged.map(([level]) => level))).toEqual(new Set(["Warning"]))
      expect(logged[0]?.[1]).toContain("the clock is broken")
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
      const before = logged.length
      yield* TestClock.adjust("2 seconds")
      expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      expect(yield* take).toEqual([leave("alice")])
      // Of the sweep nothing: only that a lease ran out whose scope is open.
      expect(logged.slice(before).map(([, text]) => text)).toEqual([expect.stringContaining("has expired")])
    })
  )
})
