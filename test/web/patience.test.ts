import { expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Logger, TestClock } from "effect"
import { Unauthorized } from "../../src/PresenceError.js"
import type { Attempt, Authorize } from "../../src/web/Authorize.js"
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
    expect(patient(() => grant)(attempt)).toEqual(Exit.succeed({ key: "alice" }))
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

/** What programs without types answer. */
const throwing = {
  get key() {
    throw new Error("a bug")
  }
}
const proxy = new Proxy({}, { getPrototypeOf: () => Date.prototype })
const NO_GRANTS: ReadonlyArray<readonly [what: string, answer: unknown, said: string]> = [
  ["nothing", undefined, "answered undefined"],
  ["null", null, "answered null"],
  ["a text", "alice", 'answered "alice"'],
  ["a list", ["alice"], "an object of Array"],
  ["a refusal", new Unauthorized({ reason: "no" }), "an object of Unauthorized"],
  ["an end by another name", { key: "alice", expiresAt: 0 }, 'granted "expiresAt"'],
  ["an end that is a date", { key: "alice", expires: new Date(0) }, "granted until an object"],
  ["an end that is no number", { key: "alice", expires: Number.NaN }, "granted until NaN"],
  ["a key that is null", { key: null }, "a key that is null"],
  ["a key that is a number", { key: 42 }, "a key that is a number"],
  ["a clientMeta that is a text", { clientMeta: "false" }, "a clientMeta"],
  ["what only seems plain", proxy, "an object of Object"]
]

const hear = (told: Array<string>) =>
  Effect.provide(
    Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ message, cause }) => void told.push(`${message} ${Cause.pretty(cause)}`))
    )
  )

const refusalOf = (authorize: unknown, told: Array<string>) =>
  Effect.flip(patient(authorize as Authorize)(attempt)).pipe(hear(told))

it.effect.each(NO_GRANTS)("%s is no grant, whenever it comes, and the log says what it is", ([, answer, said]) =>
  Effect.gen(function* () {
    for (const authorize of [() => Effect.succeed(answer), () => Effect.suspend(() => Effect.succeed(answer))]) {
      const told: Array<string> = []
      expect(yield* refusalOf(authorize, told)).toMatchObject({ status: 403, reason: "authorization failed" })
      expect(told).toEqual([expect.stringContaining("authorize gave no grant, so somebody was refused")])
      expect(told[0]).toContain(said)
    }
  })
)

it.effect("what is no Effect is no answer, and one that cannot be read is a bug", () =>
  Effect.gen(function* () {
    for (const [authorize, status, said] of [
      [async () => ({ key: "alice" }), 403, "authorize returned a promise, and must return an Effect"],
      [() => ({ key: "alice" }), 403, "authorize returned an object"],
      [() => undefined, 403, "authorize returned undefined"],
      [() => Effect.succeed(throwing), 503, "a bug"],
      [() => Effect.suspend(() => Effect.succeed(throwing)), 503, "a bug"]
    ] as const) {
      const told: Array<string> = []
      expect(yield* refusalOf(authorize, told)).toMatchObject({ status, reason: "authorization failed" })
      expect(told).toEqual([expect.stringContaining(said)])
    }
  })
)

it.effect("what it fails with is told to the log and not to the client, unless it is a refusal", () =>
  Effect.gen(function* () {
    const secret = new Error("the password is swordfish")
    for (const failure of [
      secret,
      "swordfish",
      undefined,
      { _tag: "Unauthorized", reason: "swordfish", status: 200 }
    ]) {
      for (const authorize of [() => Effect.fail(failure), () => Effect.suspend(() => Effect.fail(failure))]) {
        const told: Array<string> = []
        const { status, reason } = yield* refusalOf(authorize, told)
        expect([status, reason]).toEqual([503, "authorization failed"])
        expect(told).toEqual([expect.stringContaining("authorize failed with what is no Unauthorized")])
      }
    }
  })
)

it.effect("a grant is what it was as it was answered", () =>
  Effect.gen(function* () {
    let reads = 0
    const grant = {
      get key() {
        return `key ${++reads}`
      }
    }
    const { key } = yield* patient(() => Effect.succeed(grant))(attempt)
    expect([key, key, reads]).toEqual(["key 1", "key 1", 1])
  })
)

it("one that is no function is refused where it is given", () => {
  for (const authorize of [undefined, null, {}, Effect.succeed({})]) {
    expect(() => patient(authorize as never)).toThrow("the option authorize is ")
  }
})
