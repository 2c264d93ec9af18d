/** What an `authorize` without Effect makes the log say. */
import { runInNewContext } from "node:vm"
import { expect, it } from "@effect/vitest"
import { Cause, Effect, Logger, TestClock } from "effect"
import { Unauthorized } from "../../src/index.js"
import { adapt } from "../../src/node/adapt.js"
import type { Attempt } from "../../src/web/Authorize.js"
import { patient } from "../../src/web/patience.js"

it.effect("one that throws at whatever clients send is told once a minute, with how often it was since", () =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const logger = Logger.make(({ logLevel, message, cause }) => {
      told.push(`${logLevel.label} ${String(message)} ${Cause.pretty(cause).split("\n")[0]}`)
    })
    const authorize = adapt(({ topic }) => {
      throw new Error(`no ${topic}`)
    })
    const ask = (topic: string) =>
      Effect.gen(function* () {
        // Of the request nothing is asked here.
        const refused = yield* Effect.flip(authorize({ on: "read", route: "http", topic, payload: {} } as Attempt))
        expect(refused.reason).toBe("authorization failed")
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    const first = "ERROR authorize failed, so somebody was refused"
    for (let i = 0; i < 42; i++) yield* ask(`room:${i}`)
    expect(told).toEqual([`${first} Error: no room:0`])
    yield* TestClock.adjust("1 minute")
    yield* ask("again")
    yield* TestClock.adjust("1 minute")
    yield* ask("later")
    expect(told.slice(1)).toEqual([
      `${first}; 41 more since this was told last, which are at debug Error: no again`,
      `${first} Error: no later`
    ])
  })
)

/** Which the global one is depends on what else has been loaded. */
class ResponseOfSomeServer {
  readonly status = 401
}

it.effect.each([
  ["nothing", undefined, "undefined"],
  ["null", null, "null"],
  ["true", true, "true"],
  ["a list", ["alice"], "an object of Array"],
  ["an error that is returned", new Error("no"), "an object of Error"],
  [
    "a refusal that is returned",
    new Unauthorized({ status: 401, reason: "log in first" }),
    "an object of Unauthorized"
  ],
  ["a response that is returned", new ResponseOfSomeServer(), "an object of ResponseOfSomeServer"],
  [
    "an end by another name",
    { key: "alice", expiresAt: 0 },
    'granted "expiresAt", and a grant has key, meta, clientMeta, expires'
  ],
  ["a user", { id: 1, name: "alice" }, 'granted "id"']
] as const)("%s is no grant, also not of one who only watches, and the log says what it is", ([, answer, said]) =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const logger = Logger.make(({ cause }) => void told.push(Cause.pretty(cause)))
    const attempt = { on: "read", route: "http", topic: "room", payload: {} } as Attempt
    const refused = yield* Effect.flip(patient(adapt(() => answer as never))(attempt)).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    expect(refused).toMatchObject({ status: 403, reason: "authorization failed" })
    expect(told).toEqual([expect.stringContaining(said)])
  })
)

it.effect("a plain object is one, whichever realm or prototype it has, with fields that are undefined", () =>
  Effect.gen(function* () {
    const attempt = { on: "read", route: "http", topic: "room", payload: {} } as Attempt
    const grants = [{}, { key: undefined, expires: undefined }, Object.assign(Object.create(null), { key: "alice" })]
    for (const grant of [...grants, runInNewContext('({ key: "alice" })')]) {
      expect(yield* patient(adapt(() => grant))(attempt)).toEqual({ ...grant })
    }
  })
)
