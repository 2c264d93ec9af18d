/**
 * The ready server and its Redis: what is wrong with it at the start, and what it does while Redis is away.
 */
import { createServer } from "node:net"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, run, serve } from "../support/bin.js"
import { ask, follow } from "../support/http.js"
import { freePort, REDIS_6, redisIsOff, startParrot, startRedis } from "../support/redis.js"

beforeAll(build)
afterAll(clean)

const redisOf = (...options: Parameters<typeof startRedis>) =>
  Effect.acquireRelease(
    Effect.promise(() => startRedis(...options)),
    (redis) => Effect.promise(() => redis.stop())
  )

const parrotOf = (text: string) =>
  Effect.acquireRelease(
    Effect.promise(() => startParrot(text)),
    ({ stop }) => Effect.promise(stop)
  )

describe.skipIf(redisIsOff()).concurrent("a REDIS_URL that cannot be used is one line and exit code 1", () => {
  const cases = [
    ["that is no url", Effect.succeed("cache:6379"), "not of the form redis://user:password@host:port/database"],
    ["with a slash in its password", Effect.succeed("redis://ann:hunter2/x@cache"), "percent-encoded"],
    ["without the password", Effect.map(redisOf({ args: ["--requirepass", "secret"] }), ({ url }) => url), "NOAUTH"],
    [
      "with a wrong password",
      Effect.map(redisOf({ args: ["--requirepass", "secret"] }), ({ port }) => `redis://:hunter2@127.0.0.1:${port}`),
      "WRONGPASS"
    ],
    [
      "where nobody listens",
      Effect.map(Effect.promise(freePort), (port) => `redis://:hunter2@127.0.0.1:${port}`),
      "does not answer: connect ECONNREFUSED"
    ],
    [
      "where something else listens",
      Effect.map(parrotOf("HTTP/1.1 400 Bad Request\r\n\r\n"), ({ url }) => url),
      "answers, but not as a Redis"
    ],
    ["where nobody says a word", Effect.map(parrotOf(""), ({ url }) => url), "does not answer: "],
    [
      "of a Redis that is too old",
      Effect.map(parrotOf(REDIS_6), ({ url }) => url),
      "is Redis 6.2.14, and 7 or later is needed"
    ]
  ] as const
  for (const [name, makeUrl, message] of cases) {
    it.scopedLive(name, () =>
      Effect.gen(function* () {
        const REDIS_URL = yield* makeUrl
        const started = performance.now()
        const { code, out, err } = yield* run({ REDIS_URL })
        expect([code, out]).toEqual([1, ""])
        expect(err).toMatch(/^effect-presence: REDIS_URL cannot be used: [^\n]+\n$/)
        expect(err).toContain(message)
        expect(err).not.toMatch(/hunter2|secret/)
        // One that does not answer is waited for 5 s, the timeout of every call, as it may be starting too, and no longer.
        expect(performance.now() - started).toBeLessThan(60_000)
      })
    )
  }
})

describe.skipIf(redisIsOff()).concurrent("a Redis that is away", () => {
  it.scopedLive("at the start is waited for a moment", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      const knocked = new Promise<void>((resolve) => {
        const door = createServer((socket) => {
          socket.destroy()
          door.close(() => resolve())
        })
        door.listen(port, "127.0.0.1")
      })
      const [server] = yield* Effect.all(
        [
          serve({ REDIS_URL: `redis://127.0.0.1:${port}` }),
          Effect.zipRight(
            Effect.promise(() => knocked),
            redisOf({ port })
          )
        ],
        { concurrency: 2 }
      )
      expect((yield* ask(server.port, "/health")).status).toBe(200)
    })
  )

  const health = (port: number, status: number, name: string) =>
    Effect.promise(() =>
      vi.waitFor(
        async () => {
          const answer = await Effect.runPromise(ask(port, "/health"))
          expect([answer.status, answer.json]).toEqual([status, expect.objectContaining({ status: name })])
        },
        { timeout: 300_000, interval: 50 }
      )
    )

  it.scopedLive("is told by /health with 503, until it is back; lists that are followed go on", () =>
    Effect.gen(function* () {
      const redis = yield* redisOf()
      const { port, stop } = yield* serve({ REDIS_URL: redis.url })
      const alice = yield* join(yield* phoenixSocket(`ws://127.0.0.1:${port}`), "lobby", { key: "alice" })
      yield* alice.sees("alice:{}")
      yield* health(port, 200, "ok")
      redis.process.kill("SIGSTOP")
      yield* health(port, 503, "unavailable")
      expect((yield* ask(port, "/presence/lobby")).json).toEqual([{ key: "alice", metas: [{}] }])
      redis.process.kill("SIGCONT")
      yield* health(port, 200, "ok")
      yield* Effect.promise(() => redis.stop())
      yield* health(port, 503, "unavailable")
      const { code, millis } = yield* stop("SIGTERM")
      expect(code).toBe(0)
      expect(millis).toBeLessThan(60_000)
      expect(alice.told).toEqual(["join alice 1", "error"])
    })
  )

  for (const delay of ["0 seconds", "5 seconds"]) {
    it.scopedLive(`holds up no shutdown, also before it is known to be away (leave delay ${delay})`, () =>
      Effect.gen(function* () {
        const redis = yield* redisOf()
        const { port, stop } = yield* serve({ REDIS_URL: redis.url, PRESENCE_LEAVE_DELAY: delay })
        for (const key of ["alice", "bob", "carol"]) {
          const client = yield* join(yield* phoenixSocket(`ws://127.0.0.1:${port}`), "lobby", { key })
          yield* client.sees("alice:{}").pipe(Effect.when(() => key === "alice"))
        }
        yield* follow(port, "/presence/lobby/events?key=dave")
        redis.process.kill("SIGSTOP")
        const { code, millis } = yield* stop("SIGTERM")
        expect(code).toBe(0)
        // 2 s until the last socket is told, and 2 s for leaves that Redis does not take: of sockets, then of the stream.
        expect(millis).toBeLessThan(60_000)
      })
    )
  }
})
