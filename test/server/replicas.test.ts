/**
 * Ready servers that share a Redis, as their users see them: real processes of the built server, the clients people have.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { type Joined, join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, serve } from "../support/bin.js"
import { browserIsOff, launch } from "../support/chromium.js"
import { apply, type Copy } from "../support/follow.js"
import { ask, type Following, follow, over } from "../support/http.js"
import { startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"
import { hereNow, join as joinPage, openPage } from "./support/page.js"

const proxyTo = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(() => startProxy(port)),
    (proxy) => Effect.promise(() => proxy.close())
  )

/** A Phoenix client in the room under this key. */
const enter = (port: number, room: string, key: string) =>
  Effect.flatMap(phoenixSocket(`ws://127.0.0.1:${port}`), (socket) => join(socket, room, { key }))

/** What a client was told that begins so, in no order. */
const lines = ({ told }: Joined, ...verbs: ReadonlyArray<string>): ReadonlyArray<string> =>
  told.filter((line) => verbs.includes(line.replace(/ .*/, ""))).sort()

/** Waits for what HTTP answers there. */
const answers = (port: number, path: string, expected: unknown) =>
  Effect.promise(() =>
    vi.waitFor(async () => expect((await Effect.runPromise(ask(port, path))).json).toEqual(expected), {
      timeout: 300_000,
      interval: 50
    })
  )

const entries = (...keys: ReadonlyArray<string>) => keys.map((key) => ({ key, metas: [{}] }))

/** Folds an event stream until these keys are there, one for each connection. */
const foldUntil = (following: Following, copy: Copy | undefined, keys: ReadonlyArray<string>): Effect.Effect<Copy> =>
  Effect.flatMap(following.next, (heard) => {
    if (typeof heard === "string") return Effect.dieMessage(`the stream is over: ${heard}`)
    const next = apply(copy, heard.data as Parameters<typeof apply>[1])
    const here = next.connections.map(({ key }) => key)
    return JSON.stringify(here) === JSON.stringify(keys) ? Effect.succeed(next) : foldUntil(following, next, keys)
  })

describe.skipIf(redisIsOff()).concurrent("ready servers that share a Redis", () => {
  let redis: RedisServer
  beforeAll(async () => {
    build()
    redis = await startRedis()
  })
  afterAll(async () => {
    await redis.stop()
    clean()
  })

  const serveTwo = (settings: Record<string, string> = {}) =>
    Effect.all([serve({ REDIS_URL: redis.url, ...settings }), serve({ REDIS_URL: redis.url, ...settings })], {
      concurrency: 2
    })

  it.scopedLive("show one room, over every route, and a key on both leaves once, when the last connection goes", () =>
    Effect.gen(function* () {
      const [a, b] = yield* serveTwo()
      const [streamA, streamB] = [
        yield* follow(a.port, "/presence/one/events"),
        yield* follow(b.port, "/presence/one/events")
      ]
      const watcher = yield* enter(b.port, "one", "watcher")
      const alice = yield* enter(a.port, "one", "alice")
      yield* watcher.sees("alice:{}", "watcher:{}")
      const socket = yield* phoenixSocket(`ws://127.0.0.1:${b.port}`)
      const again = yield* join(socket, "one", { key: "alice", meta: { again: true } })
      yield* watcher.sees("alice:{}", `alice:{"again":true}`, "watcher:{}")
      const bob = yield* enter(a.port, "one", "bob")
      for (const client of [watcher, alice, again, bob]) {
        yield* client.sees("alice:{}", `alice:{"again":true}`, "bob:{}", "watcher:{}")
      }
      for (const { port } of [a, b]) {
        yield* answers(port, "/presence/one", [
          { key: "alice", metas: [{}, { again: true }] },
          ...entries("bob", "watcher")
        ])
        yield* answers(port, "/presence/one/count", { keys: 3, connections: 4 })
        // Each replica counts its own.
        yield* answers(port, "/health", expect.objectContaining({ status: "ok", connections: 2 }))
      }
      const keys = ["alice", "alice", "bob", "watcher"]
      const copy = yield* foldUntil(streamA, undefined, keys)
      expect(yield* foldUntil(streamB, undefined, keys)).toEqual(copy)

      yield* alice.leave
      yield* watcher.sees(`alice:{"again":true}`, "bob:{}", "watcher:{}")
      yield* again.leave
      yield* watcher.sees("bob:{}", "watcher:{}")
      yield* bob.leave
      yield* watcher.sees("watcher:{}")
      expect(watcher.told).toEqual([
        "join watcher 1",
        "join alice 1",
        "more alice 1",
        "join bob 1",
        "less alice 1",
        "leave alice 1",
        "leave bob 1"
      ])
      expect(yield* foldUntil(streamA, copy, ["watcher"])).toEqual(yield* foldUntil(streamB, copy, ["watcher"]))
    })
  )

  it.scopedLive("a client that comes back at the other sees no false leave or join of others", () =>
    Effect.gen(function* () {
      const [a, b] = yield* serveTwo()
      const proxy = yield* proxyTo(a.port)
      const bob = yield* enter(a.port, "two", "bob")
      const carol = yield* enter(b.port, "two", "carol")
      const alice = yield* enter(proxy.port, "two", "alice")
      yield* alice.sees("alice:{}", "bob:{}", "carol:{}")
      proxy.moveTo(b.port)
      proxy.cut()
      // Others go on meanwhile, and she learns that when she is back.
      const dave = yield* enter(a.port, "two", "dave")
      yield* bob.leave
      yield* carol.sees("carol:{}", "dave:{}")
      proxy.mend()
      yield* alice.sees("alice:{}", "carol:{}", "dave:{}")
      yield* dave.sees("alice:{}", "carol:{}", "dave:{}")
      yield* carol.leave
      yield* alice.sees("alice:{}", "dave:{}")
      expect(alice.told).toContain("error")
      expect(alice.told.filter((line) => !/alice|error/.test(line)).sort()).toEqual([
        "join bob 1",
        "join carol 1",
        "join dave 1",
        "leave bob 1",
        "leave carol 1"
      ])
    })
  )

  it.scopedLive("with PRESENCE_LEAVE_DELAY who comes back at the other in time has never left, also for others", () =>
    Effect.gen(function* () {
      const [a, b] = yield* serveTwo({ PRESENCE_LEAVE_DELAY: "5 seconds" })
      const proxy = yield* proxyTo(a.port)
      const bob = yield* enter(a.port, "three", "bob")
      const carol = yield* enter(b.port, "three", "carol")
      const alice = yield* enter(proxy.port, "three", "alice")
      const stream = yield* follow(proxy.port, "/presence/three/events?key=erin")
      for (const client of [alice, bob, carol]) yield* client.sees("alice:{}", "bob:{}", "carol:{}", "erin:{}")
      proxy.moveTo(b.port)
      proxy.cut()
      expect(yield* over(stream)).toBe("cut")
      // When they hear of one who comes after the cut, they would have heard of leaves.
      yield* enter(a.port, "three", "dave")
      for (const client of [bob, carol]) {
        yield* client.isTold("join dave 1")
        expect(lines(client, "leave")).toEqual([])
      }
      proxy.mend()
      yield* follow(proxy.port, "/presence/three/events?key=erin")
      for (const client of [alice, bob, carol]) {
        // When the delay is over the old connections go.
        for (const line of ["more alice 1", "more erin 1", "less alice 1", "less erin 1"]) yield* client.isTold(line)
        expect(lines(client, "join", "leave")).toEqual(
          ["alice", "bob", "carol", "dave", "erin"].map((key) => `join ${key} 1`)
        )
      }
      yield* answers(b.port, "/presence/three", entries("alice", "bob", "carol", "dave", "erin"))
    })
  )

  it.scopedLive("nobody sees a leave while one stops in order and its clients come back at the other", () =>
    Effect.gen(function* () {
      // Longer than this test takes, however busy the machine is.
      const [a, b] = yield* serveTwo({ PRESENCE_LEAVE_DELAY: "10 minutes" })
      const proxy = yield* proxyTo(a.port)
      const names = ["alice", "bob", "carol", "dave"]
      const watcher = yield* enter(b.port, "four", "watcher")
      const clients = yield* Effect.forEach(names, (name) => enter(proxy.port, "four", name))
      const stream = yield* follow(proxy.port, "/presence/four/events?key=erin")
      // One whose connection ended just before: she is in her delay when the server stops.
      const early = yield* proxyTo(a.port)
      const frank = yield* enter(early.port, "four", "frank")
      const everybody = [...names, "erin", "frank", "watcher"]
      for (const client of [watcher, ...clients]) yield* client.sees(...everybody.map((key) => `${key}:{}`))

      proxy.moveTo(b.port)
      early.cut()
      yield* frank.isTold("error")
      const stopping = yield* Effect.fork(a.stop("SIGTERM"))
      expect(yield* over(stream)).toBe("end")
      yield* follow(proxy.port, "/presence/four/events?key=erin")
      expect((yield* Fiber.join(stopping)).code).toBe(0)
      early.moveTo(b.port)
      early.mend()
      // The last lease of the one that stopped runs out.
      yield* answers(b.port, "/presence/four", entries(...everybody.toSorted()))
      for (const client of [watcher, ...clients, frank]) {
        yield* client.sees(...everybody.map((key) => `${key}:{}`))
        expect(lines(client, "leave")).toEqual([])
      }
      expect(lines(watcher, "join")).toHaveLength(everybody.length)
      expect(lines(watcher, "less")).toEqual([...names, "erin", "frank"].map((key) => `less ${key} 1`))
    })
  )

  it.scopedLive("who was at one that is killed leaves at the other, and not who came back there meanwhile", () =>
    Effect.gen(function* () {
      const [a, b] = yield* serveTwo()
      const proxy = yield* proxyTo(a.port)
      const watcher = yield* enter(b.port, "five", "watcher")
      const alice = yield* enter(proxy.port, "five", "alice")
      yield* follow(a.port, "/presence/five/events?key=bob")
      yield* watcher.sees("alice:{}", "bob:{}", "watcher:{}")
      proxy.moveTo(b.port)
      yield* a.stop("SIGKILL")
      yield* watcher.isTold("more alice 1")
      yield* watcher.isTold("leave bob 1")
      yield* watcher.sees("alice:{}", "watcher:{}")
      yield* alice.sees("alice:{}", "watcher:{}")
      expect(lines(watcher, "leave")).toEqual(["leave bob 1"])
    })
  )

  it.scopedLive.skipIf(browserIsOff())("their pages show one room", () =>
    Effect.gen(function* () {
      const [a, b] = yield* serveTwo()
      const browser = yield* Effect.acquireRelease(Effect.promise(launch), (browser) =>
        Effect.promise(() => browser.close())
      )
      const [alice, bob, eve] = [
        yield* openPage(browser, a.port),
        yield* openPage(browser, b.port),
        yield* openPage(browser, a.port)
      ]
      yield* joinPage(alice.page, "Alice")
      yield* joinPage(bob.page, "Bob")
      yield* joinPage(eve.page, "Eve")
      yield* hereNow(alice.page, ["Alice", "Bob", "Eve"])
      yield* hereNow(bob.page, ["Bob", "Alice", "Eve"])
      yield* Effect.promise(() => alice.page.close())
      yield* hereNow(bob.page, ["Bob", "Eve"])
      expect([alice, bob, eve].flatMap(({ complaints }) => complaints)).toEqual([])
      // A page can only come back where it is from.
      yield* a.stop("SIGTERM")
      yield* hereNow(bob.page, ["Bob"])
      yield* Effect.promise(() => eve.page.getByRole("status").getByText("Reconnecting…").waitFor())
      yield* serve({ REDIS_URL: redis.url, PORT: String(a.port) })
      yield* hereNow(bob.page, ["Bob", "Eve"])
    })
  )

  it.scopedLive.skipIf(browserIsOff())("a page keeps its name while Redis does not answer, and is back under it", () =>
    Effect.gen(function* () {
      const own = yield* Effect.acquireRelease(
        Effect.promise(() => startRedis()),
        (redis) =>
          Effect.promise(async () => {
            redis.process.kill("SIGCONT")
            await redis.stop()
          })
      )
      const server = yield* serve({ REDIS_URL: own.url })
      const line = yield* proxyTo(server.port)
      const browser = yield* Effect.acquireRelease(Effect.promise(launch), (browser) =>
        Effect.promise(() => browser.close())
      )
      const eve = yield* openPage(browser, line.port)
      yield* joinPage(eve.page, "Eve")
      yield* hereNow(eve.page, ["Eve"])
      line.cut()
      const status = eve.page.getByRole("status")
      yield* Effect.promise(() => status.getByText("Reconnecting…").waitFor())
      yield* answers(server.port, "/presence/lobby", [])
      own.process.kill("SIGSTOP")
      line.mend()
      yield* Effect.promise(() => eve.page.getByRole("alert").getByText("unavailable").waitFor())
      own.process.kill("SIGCONT")
      yield* answers(server.port, "/presence/lobby", entries("Eve"))
      yield* hereNow(eve.page, ["Eve"])
      yield* Effect.promise(() => status.getByText("Live").waitFor())
      expect(yield* Effect.promise(() => eve.page.getByRole("alert").innerText())).toBe("")
    })
  )
})
