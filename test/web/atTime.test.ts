import { expect, it } from "@effect/vitest"
import { Clock, Effect, Fiber, TestClock } from "effect"
import { atTime } from "../../src/web/atTime.js"

it.effect("a date comes when the clock on the wall says so, also when that is set while somebody waits", () =>
  Effect.gen(function* () {
    let step = 0
    const clock: Clock.Clock = yield* Effect.clock
    const stepping = Object.create(clock, {
      currentTimeMillis: {
        value: Effect.map(Clock.currentTimeMillis.pipe(Effect.withClock(clock)), (now) => now + step)
      }
    }) as Clock.Clock
    const waiting = yield* Effect.fork(Effect.withClock(atTime(3_600_000), stepping))
    yield* TestClock.adjust("1 minute")
    expect(waiting.unsafePoll()).toBeNull()
    step = 3_600_000
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(waiting)
  })
)
