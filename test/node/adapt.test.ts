/** What an `authorize` without Effect makes the log say. */
import { expect, it } from "@effect/vitest"
import { Cause, Effect, Logger, TestClock } from "effect"
import { adapt } from "../../src/node/adapt.js"
import type { Attempt } from "../../src/web/Authorize.js"

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
