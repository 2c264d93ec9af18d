import { expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Unauthorized } from "../../src/PresenceError.js"
import type { Attempt } from "../../src/web/Authorize.js"
import { patient } from "../../src/web/patience.js"

// Nothing is asked of it here.
const attempt = { on: "read", route: "http", topic: "room", payload: {} } as unknown as Attempt

it.effect("an authorize that never answers is interrupted and refuses, with the time it had as the reason", () =>
  Effect.gen(function* () {
    let interrupted = 0
    const never = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
    for (const [timeout, words] of [
      [undefined, "30s"],
      ["250 millis", "250ms"]
    ] as const) {
      const asked = yield* Effect.fork(Effect.flip(patient(() => never, timeout)(attempt)))
      yield* TestClock.adjust("200 millis")
      expect(asked.unsafePoll()).toBe(null)
      yield* TestClock.adjust("30 seconds")
      expect(yield* Fiber.join(asked)).toMatchObject({
        status: 503,
        reason: `authorize gave no answer within ${words}`
      })
    }
    expect(interrupted).toBe(2)
  })
)

it.effect("one that answers in time answers what it answers, and one that knows at once starts no timer", () =>
  Effect.gen(function* () {
    const grant = Effect.succeed({ key: "alice" })
    expect(patient(() => grant)(attempt)).toBe(grant)
    expect(yield* patient(() => Effect.suspend(() => grant))(attempt)).toEqual({ key: "alice" })
    const no = new Unauthorized({ reason: "no" })
    expect(yield* Effect.flip(patient(() => Effect.suspend(() => Effect.fail(no)))(attempt))).toBe(no)
  })
)
