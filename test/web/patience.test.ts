import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger, TestClock } from "effect"
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

it.effect("one that dies or throws refuses without saying why, and is told once a minute", () =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const logger = Logger.make(({ message }) => void told.push(String(message)))
    const broken = [
      () => Effect.die("a bug"),
      () => Effect.promise(() => Promise.reject(new Error("the database is away"))),
      () => {
        throw new Error("a bug")
      }
    ]
    for (const authorize of broken) {
      const ask = patient(authorize)
      for (let i = 0; i < 3; i++) {
        const refused = yield* Effect.flip(ask(attempt)).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        expect(refused).toMatchObject({ status: 503, reason: "authorization failed" })
      }
    }
    expect(told).toEqual(broken.map(() => "authorize died, so somebody was refused"))
  })
)
