import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { decodeRedis } from "../../../src/redis/options.js"
import { makeMembership } from "../../../src/redis/write/membership.js"
import { FakePort, turn } from "../../support/port.js"

const beaten = ["OK", "e", "h", 0, [], []]

/** What is answered to one that joins: its claim, and whether it may use its channels. */
const joins = (port: FakePort) =>
  Effect.gen(function* () {
    port.take("beat").answer(beaten)
    for (const name of ["subscribe", "publish"]) {
      yield* Effect.promise(turn)
      port.take(name).answer()
    }
  })

describe("a replica among others", () => {
  it.scoped("is not unavailable because a partition of a cluster is used for the first time", () =>
    Effect.gen(function* () {
      const port = new FakePort(16)
      const settings = yield* decodeRedis({ url: "redis://127.0.0.1" })
      const events = { onEvicted: () => {}, onWritten: () => {}, onEpochChanged: () => {} }
      const joining = yield* Effect.fork(makeMembership({ port, listen: () => {} }, settings, "me", events))
      yield* Effect.promise(turn)
      yield* joins(port)
      const { partitions, health } = yield* Fiber.join(joining)
      expect(health().status).toBe("ok")
      for (const partition of partitions.slice(1, 4)) partition.use()
      port.take("beat").answer(beaten)
      yield* Effect.promise(turn)
      expect(health().status).toBe("ok")
      port.take("beat").fail()
      yield* Effect.promise(turn)
      expect(health().status).toBe("unavailable")
      port.take("beat").answer(beaten)
      yield* Effect.promise(turn)
      expect(health().status).toBe("unavailable")
      partitions[2]?.beat()
      port.take("beat").answer(beaten)
      yield* Effect.promise(turn)
      expect(health().status).toBe("ok")
    })
  )

  it.scoped("says in its log why Redis does not answer", () => {
    const lines: Array<string> = []
    const logger = Logger.map(Logger.stringLogger, (line) => void lines.push(line))
    return Effect.gen(function* () {
      const port = new FakePort()
      const settings = yield* decodeRedis({ url: "redis://127.0.0.1" })
      const events = { onEvicted: () => {}, onWritten: () => {}, onEpochChanged: () => {} }
      const joining = yield* Effect.fork(makeMembership({ port, listen: () => {} }, settings, "me", events))
      yield* Effect.promise(turn)
      yield* joins(port)
      const { partitions } = yield* Fiber.join(joining)
      partitions[0]?.beat()
      port.take("beat").fail()
      yield* Effect.promise(turn)
      expect(lines).toEqual([expect.stringContaining("Redis does not answer: there is no connection to Redis")])
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })
})
