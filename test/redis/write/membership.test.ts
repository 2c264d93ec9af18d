import { describe, expect, it } from "@effect/vitest"
import { type Clock, Deferred, Effect, Fiber, Logger, Metric, TestClock } from "effect"
import type { PortListener } from "../../../src/redis/client/scoped.js"
import { leaseAge } from "../../../src/redis/metrics.js"
import { decodeRedis } from "../../../src/redis/options.js"
import { makeMembership } from "../../../src/redis/write/membership.js"
import { FakePort, turn } from "../../support/port.js"

const beaten = ["OK", "e", "h", 0, [], [], 5_000, 15_000]

/** What is answered to one that joins: its claim, and whether it may use its channels. */
const joins = (port: FakePort, claimed = beaten) =>
  Effect.gen(function* () {
    port.take("beat").answer(claimed)
    for (const name of ["subscribe", "publish"]) {
      yield* Effect.promise(turn)
      port.take(name).answer()
    }
  })

/** One that has joined, and what its connections tell it. */
const joined = Effect.gen(function* () {
  const port = new FakePort()
  const settings = yield* decodeRedis({ url: "redis://127.0.0.1" })
  const listening = yield* Deferred.make<PortListener>()
  const listen = (to: PortListener): void => Deferred.unsafeDone(listening, Effect.succeed(to))
  const joining = yield* Effect.fork(makeMembership({ port, listen }, settings, "me"))
  const listener = yield* Deferred.await(listening)
  yield* Effect.promise(turn)
  yield* joins(port)
  return { port, listener, membership: yield* Fiber.join(joining) }
})

describe("a replica among others", () => {
  it.scoped("is not unavailable because a partition of a cluster is used for the first time", () =>
    Effect.gen(function* () {
      const port = new FakePort(16)
      const settings = yield* decodeRedis({ url: "redis://127.0.0.1" })
      const joining = yield* Effect.fork(makeMembership({ port, listen: () => {} }, settings, "me"))
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
      const joining = yield* Effect.fork(makeMembership({ port, listen: () => {} }, settings, "me"))
      yield* Effect.promise(turn)
      yield* joins(port)
      const { partitions } = yield* Fiber.join(joining)
      partitions[0]?.beat()
      port.take("beat").fail()
      yield* Effect.promise(turn)
      expect(lines).toEqual([expect.stringContaining("Redis does not answer: there is no connection to Redis")])
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("says each reason of it once, as what ended a connection is seldom why there is no other", () => {
    const said: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void said.push(String(message)))
    return Effect.gen(function* () {
      const { port, listener } = yield* joined
      const lose = (reason: string) =>
        Effect.promise(() => {
          port.ready = false
          listener.onDown(reason)
          return turn()
        })
      const back = Effect.promise(async () => {
        port.ready = true
        listener.onReady()
        port.take("beat").answer(beaten)
        await turn()
      })
      for (let outage = 0; outage < 2; outage++) {
        yield* lose("the server closed the connection")
        for (let times = 0; times < 3; times++) yield* lose("NOAUTH Authentication required.")
        yield* back
        expect(said.splice(0)).toEqual([
          "Redis does not answer: the server closed the connection",
          "Redis does not answer: NOAUTH Authentication required.",
          "Redis answers again"
        ])
        yield* TestClock.adjust("30 seconds")
      }
      yield* lose("the server closed the connection")
      port.ready = true
      listener.onReady()
      port.take("beat").fail(new Error("NOPERM this user has no permissions"))
      yield* Effect.promise(turn)
      for (let i = 0; i < 100; i++) yield* lose(`reason ${i}`)
      expect(said.slice(0, 3)).toEqual([
        "Redis does not answer: the server closed the connection",
        "Redis does not answer: the user of Redis may not do that: NOPERM this user has no permissions",
        "Redis does not answer: reason 0"
      ])
      expect(said).toHaveLength(10)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("counts how often Redis is away again where it comes and goes, and tells it now and then", () => {
    const said: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void said.push(String(message)))
    return Effect.gen(function* () {
      const { port, listener } = yield* joined
      const answered = Effect.promise(async () => {
        await turn()
        for (const { answer, fail } of port.asked.splice(0)) {
          if (port.ready) answer(beaten)
          else fail()
        }
        await turn()
      })
      const pass = (millis: number) => Effect.zipRight(TestClock.adjust(millis), answered)
      const lose = Effect.promise(() => {
        port.ready = false
        listener.onDown("ECONNRESET")
        return turn()
      })
      const back = Effect.suspend(() => {
        port.ready = true
        listener.onReady()
        return answered
      })
      for (let second = 0; second < 40; second++) {
        yield* lose
        yield* pass(500)
        yield* back
        yield* pass(500)
      }
      expect(said.splice(0)).toEqual([
        "Redis does not answer: ECONNRESET",
        "Redis answers again",
        "Redis was away 29 times more since this was told last, and is there"
      ])
      yield* Effect.repeatN(pass(5_000), 5)
      expect(said.splice(0)).toEqual(["Redis was away 10 times more since this was told last, and is there"])
      yield* Effect.repeatN(pass(5_000), 20)
      expect(said).toEqual([])
      // What lasts is told, though not where it begins.
      for (let times = 0; times < 2; times++) yield* Effect.zipRight(lose, back)
      yield* lose
      expect(said.splice(0)).toEqual(["Redis does not answer: ECONNRESET", "Redis answers again"])
      yield* Effect.repeatN(pass(5_000), 7)
      expect(said.splice(0)).toEqual(["Redis does not answer: ECONNRESET; 1 time more since this was told last"])
      yield* back
      expect(said).toEqual(["Redis answers again"])
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped(
    "is degraded once nothing can be subscribed to for a second, not for losing the subscriber twice in one",
    () =>
      Effect.gen(function* () {
        const { port, listener, membership } = yield* joined
        const pass = (millis: number) => Effect.zipRight(TestClock.adjust(millis), Effect.promise(turn))
        const back = Effect.promise(() => {
          listener.onSubscriberReady()
          port.take("subscribe").answer()
          return turn()
        })
        yield* back
        listener.onSubscriberDown()
        yield* pass(300)
        yield* back
        yield* pass(600)
        listener.onSubscriberDown()
        yield* pass(500)
        // Attempts that fail are no return.
        listener.onSubscriberDown()
        yield* pass(499)
        expect(membership.health().status).toBe("ok")
        yield* pass(1)
        expect(membership.health().status).toBe("degraded")
        yield* back
        expect(membership.health().status).toBe("ok")
      })
  )

  it.scoped("beats as often as the replica with the shortest heartbeat, from when it hears of one", () =>
    Effect.gen(function* () {
      const port = new FakePort()
      const settings = yield* decodeRedis({ url: "redis://127.0.0.1", lease: "3 minutes", heartbeat: "1 minute" })
      const joining = yield* Effect.fork(makeMembership({ port, listen: () => {} }, settings, "me"))
      const answer = (shortest: number) =>
        Effect.promise(() => {
          port.take("beat").answer(["OK", "e", "h", 0, [], [], shortest, 180_000])
          return turn()
        })
      const pass = (seconds: number) => Effect.zipRight(TestClock.adjust(`${seconds} seconds`), Effect.promise(turn))
      yield* Effect.promise(turn)
      yield* joins(port, ["OK", "e", "h", 0, [], [], 60_000, 180_000])
      yield* Fiber.join(joining)
      yield* pass(59)
      expect(port.names).toEqual([])
      yield* pass(1)
      // Somebody has come: at once again, and then as often.
      yield* answer(5_000)
      yield* answer(5_000)
      yield* pass(4)
      expect(port.names).toEqual([])
      yield* pass(1)
      yield* answer(60_000)
      // And has gone: once more as often.
      yield* pass(5)
      yield* answer(60_000)
      yield* pass(59)
      expect(port.names).toEqual([])
      yield* pass(1)
      expect(port.names).toEqual(["beat"])
    })
  )

  it.scoped("tells the age of its lease by a clock that does not step", () =>
    Effect.gen(function* () {
      const port = new FakePort()
      const settings = yield* decodeRedis({ url: "redis://127.0.0.1" })
      let step = 0
      const clock: Clock.Clock = yield* Effect.clock
      const stepping: Clock.Clock = {
        ...clock,
        unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + step,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos()
      }
      Object.setPrototypeOf(stepping, Object.getPrototypeOf(clock))
      const joining = yield* Effect.fork(
        Effect.withClock(makeMembership({ port, listen: () => {} }, settings, "me"), stepping)
      )
      yield* Effect.promise(turn)
      yield* joins(port)
      yield* Fiber.join(joining)
      step = 3_600_000
      yield* TestClock.adjust("5 seconds")
      yield* Effect.promise(turn)
      expect((yield* Metric.value(leaseAge)).value).toBe(5)
    })
  )
})
