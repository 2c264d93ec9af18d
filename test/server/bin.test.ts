import * as Net from "node:net"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { connect, phoenixUrl, supabaseUrl } from "../socket/support/client.js"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, run, serve, start } from "../support/bin.js"
import { ask, follow, over } from "../support/http.js"
import { freePort } from "../support/redis.js"
import { SECRET, token } from "./support/server.js"

beforeAll(build)
afterAll(clean)

/** A connection that sends this and no more. */
const half = (port: number, text: string) =>
  Effect.acquireRelease(
    Effect.async<{ readonly socket: Net.Socket; readonly closed: Promise<void> }>((resume) => {
      const socket = Net.connect(port, "127.0.0.1", () => {
        socket.write(text, () => resume(Effect.succeed({ socket, closed })))
      })
      socket.on("error", () => {})
      socket.resume()
      const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

describe("the ready server", () => {
  it.scopedLive("says in one line where it is ready, and serves presence, health, metrics and the page", () =>
    Effect.gen(function* () {
      const { line, port } = yield* serve()
      expect(line).toBe(`effect-presence is ready on http://127.0.0.1:${port}`)
      yield* follow(port, "/presence/lobby/events?key=alice&meta=%7B%22a%22%3A1%7D")
      expect((yield* ask(port, "/presence/lobby")).json).toEqual([{ key: "alice", metas: [{ a: 1 }] }])
      expect((yield* ask(port, "/presence/lobby/count")).json).toEqual({ keys: 1, connections: 1 })
      for (const path of ["/health", "/metrics", "/nothing"]) {
        expect([path, (yield* ask(port, path)).headers["x-content-type-options"]]).toEqual([path, "nosniff"])
      }
      const health = yield* ask(port, "/health")
      expect([health.status, health.json]).toEqual([
        200,
        { status: "ok", since: expect.any(Number), connections: 1, topics: 1 }
      ])
      const metrics = yield* ask(port, "/metrics")
      expect(metrics.headers["content-type"]).toContain("text/plain; version=0.0.4")
      expect(metrics.text).toMatch(/^presence_connections 1$/m)
      expect(metrics.text).toMatch(/^presence_joins_total 1$/m)
      expect(metrics.text).toMatch(/^presence_leaves_total\{reason="released"\} 0$/m)
      expect(metrics.text).toMatch(/^# TYPE presence_sweep_duration_seconds histogram$/m)
      const page = yield* ask(port, "/?room=kitchen")
      expect(page.headers["content-type"]).toBe("text/html; charset=utf-8")
      expect(page.headers["content-security-policy"]).toContain("default-src 'none'")
      expect((yield* ask(port, "/nothing")).status).toBe(404)
      expect((yield* ask(port, "/health", { method: "POST" })).headers.allow).toBe("GET, HEAD")
      expect((yield* ask(port, "/health", { method: "HEAD" })).status).toBe(200)
    })
  )

  it.scopedLive("takes a meta of 16 KiB in a URL", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const meta = `"${"é".repeat(8_000)}"`
      const { next } = yield* follow(port, `/presence/lobby/events?key=alice&meta=${encodeURIComponent(meta)}`)
      yield* next
      expect(yield* next).toMatchObject({ data: { joins: [{ key: "alice", meta: JSON.parse(meta) }] } })
      const large = encodeURIComponent(`"${"é".repeat(8_200)}"`)
      expect((yield* ask(port, `/presence/lobby/events?key=alice&meta=${large}`)).status).toBe(400)
    })
  )

  it.scopedLive("serves the clients of Phoenix and Supabase, which meet those of HTTP", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const url = `ws://127.0.0.1:${port}`
      const joined = yield* join(yield* phoenixSocket(url), "lobby", { key: "alice", meta: { a: 1 } })
      const supabase = yield* connect(supabaseUrl(url))
      supabase.say("1", "1", "realtime:lobby", "phx_join", { config: { presence: { key: "bob" } } })
      supabase.say("1", "2", "realtime:lobby", "presence", { event: "track", payload: { b: 2 } })
      yield* joined.sees(`alice:{"a":1}`, `bob:{"b":2}`)
      expect((yield* ask(port, "/presence/lobby")).json).toEqual([
        { key: "alice", metas: [{ a: 1 }] },
        { key: "bob", metas: [{ b: 2 }] }
      ])
      for (const path of ["/socket/other", "/realtime/v1/api/broadcast"]) {
        expect((yield* ask(port, path)).status).toBe(404)
      }
    })
  )

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it.scopedLive(
      `${signal}: tells sockets to come back, ends event streams, cuts half-sent requests and idle connections, exits with 0`,
      () =>
        Effect.gen(function* () {
          const { process: child, port, stop } = yield* serve()
          const events = yield* follow(port, "/presence/lobby/events?key=alice")
          yield* events.next
          const urls = [phoenixUrl, supabaseUrl].flatMap((to) => Array(4).fill(to(`ws://127.0.0.1:${port}`)))
          const sockets = yield* Effect.forEach(urls, (url) => connect(url))
          for (const client of sockets) client.say("1", "1", "realtime:lobby", "phx_join", { key: "bob" })
          for (const client of sockets) yield* client.heard("presence_state")
          // One that hears nothing any more, and so does not answer the close.
          sockets[0]?.ws.pause()
          const connections = yield* Effect.forEach(
            [
              "GET /presence/lobby HTTP/1.1\r\nHost: localhost\r\n",
              "POST /presence/lobby HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
              "GET /presence/lobby HTTP/1.1\r\nHost: localhost\r\n\r\n",
              "GET /socket/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
              ""
            ],
            (text) => half(port, text)
          )
          const stopping = yield* Effect.fork(stop(signal))
          // The first is told at once, and told so; no other is let in from then on.
          const { code: told } = yield* Effect.raceAll(sockets.slice(1).map(({ end }) => end))
          expect(told).toBe(1012)
          // From a terminal it comes twice when npm passes it on.
          child.kill(signal)
          expect([0, 503]).toContain(yield* Effect.flip(connect(phoenixUrl(`ws://127.0.0.1:${port}`))))
          for (const client of sockets.slice(1)) expect((yield* client.end).code).toBe(1012)
          const { code, millis } = yield* Fiber.join(stopping)
          expect(code).toBe(0)
          expect(millis).toBeLessThan(60_000)
          expect(yield* over(events)).toBe("end")
          yield* Effect.promise(() => Promise.all(connections.map(({ closed }) => closed)))
        })
    )
  }

  it.scopedLive("goes on when nobody takes what it logs", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(() => freePort())
      const settings = { PORT: String(port), PRESENCE_JWKS_URL: "http://127.0.0.1:1/keys" }
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => start(settings)),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      for (const log of [child.stdout, child.stderr]) log?.destroy()
      const ended = new Promise((resolve) => child.once("exit", resolve))
      const health = () => fetch(`http://127.0.0.1:${port}/health`).then(({ status }) => status)
      expect(yield* Effect.promise(() => vi.waitFor(health, { timeout: 300_000, interval: 50 }))).toBe(200)
      // It has said that it is ready, and says that it cannot ask for the keys. Node takes the first of these for nothing.
      const authorization = `Bearer ${token({ sub: "alice", topics: ["lobby"] }, { alg: "RS256" })}`
      expect((yield* ask(port, "/presence/lobby", { headers: { authorization } })).status).toBe(503)
      expect(yield* Effect.promise(health)).toBe(200)
      child.kill("SIGTERM")
      expect(yield* Effect.promise(() => ended)).toBe(0)
    })
  )

  it.scopedLive("is ready again at once on the same port, also while event streams were open", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      yield* follow(first.port, "/presence/lobby/events")
      yield* first.stop("SIGTERM")
      const second = yield* serve({ PORT: String(first.port) })
      expect(second.port).toBe(first.port)
    })
  )
})

describe("what is wrong is one line on standard error and exit code 1", () => {
  const cases: ReadonlyArray<readonly [string, Record<string, string>, string]> = [
    ["a wrong value", { PORT: "http" }, `PORT must be a number from 0 to 65535, but is "http"`],
    [
      "a host that is none",
      { HOST: "no.such.host.invalid", PRESENCE_PUBLIC: "true" },
      "HOST no.such.host.invalid is no address"
    ],
    [
      "a host of another machine",
      { HOST: "192.0.2.1", PRESENCE_PUBLIC: "true" },
      "HOST 192.0.2.1 is no address of this machine"
    ]
  ]
  for (const [name, environment, message] of cases) {
    it.live(name, () =>
      Effect.gen(function* () {
        const { code, out, err } = yield* run(environment)
        expect([code, out]).toEqual([1, ""])
        expect(err).toMatch(/^effect-presence: [^\n]+\n$/)
        expect(err).toContain(message)
      })
    )
  }

  it.scopedLive("a port in use", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const { code, out, err } = yield* run({ PORT: String(port) })
      expect([code, out]).toEqual([1, ""])
      expect(err).toMatch(new RegExp(`^effect-presence: PORT ${port} is in use on 127\\.0\\.0\\.1[^\\n]*\\n$`))
    })
  )

  it.live("an argument that is none", () =>
    Effect.gen(function* () {
      const { code, err } = yield* run({}, "--port=1")
      expect([code, err]).toEqual([1, "effect-presence: --port=1 is not understood; --help lists the settings\n"])
    })
  )
})

describe("settings", () => {
  it.live("--help lists every setting and exits with 0", () =>
    Effect.gen(function* () {
      const { code, out, err } = yield* run({}, "--help")
      expect([code, err]).toEqual([0, ""])
      for (const name of [
        "HOST",
        "PORT",
        "PRESENCE_TTL",
        "PRESENCE_DIFF_INTERVAL",
        "PRESENCE_IDLE_TIMEOUT",
        "PRESENCE_LEAVE_DELAY",
        "PRESENCE_JWT_SECRET",
        "PRESENCE_CLOCK_TOLERANCE",
        "PRESENCE_ALLOWED_ORIGINS",
        "PRESENCE_PUBLIC",
        "REDIS_URL",
        "LOG_LEVEL"
      ]) {
        expect(out).toContain(` ${name} `)
      }
    })
  )

  it.effect("a secret that is too short is one line and exit code 1", () =>
    Effect.gen(function* () {
      const { code, out, err } = yield* run({ PRESENCE_JWT_SECRET: "short" })
      expect([code, out]).toEqual([1, ""])
      expect(err).toMatch(/^effect-presence: PRESENCE_JWT_SECRET must have at least 32 bytes.*\n$/)
    })
  )

  it.scopedLive("an empty value is none", () =>
    Effect.gen(function* () {
      const names = [
        "HOST",
        "PRESENCE_TTL",
        "PRESENCE_JWT_SECRET",
        "PRESENCE_ALLOWED_ORIGINS",
        "REDIS_URL",
        "LOG_LEVEL"
      ]
      const { url, port } = yield* serve(Object.fromEntries(names.map((name) => [name, ""])))
      expect(url).toBe(`http://127.0.0.1:${port}`)
    })
  )

  it.scopedLive("beyond loopback without a secret and PRESENCE_PUBLIC=true it listens on 127.0.0.1 and says so", () =>
    Effect.gen(function* () {
      const { line, url, port } = yield* serve({ HOST: "0.0.0.0" })
      expect(url).toBe(`http://127.0.0.1:${port}`)
      expect(line).toContain("not on 0.0.0.0")
      expect(line).toContain("PRESENCE_PUBLIC=true")
    })
  )

  it.scopedLive("with PRESENCE_PUBLIC=true it listens there, and its own host is an allowed origin", () =>
    Effect.gen(function* () {
      const { url, port } = yield* serve({ HOST: "0.0.0.0", PRESENCE_PUBLIC: "true" })
      expect(url).toBe(`http://0.0.0.0:${port}`)
      const from = (origin: string) => ({ headers: { origin, host: "presence.example" } })
      expect((yield* ask(port, "/presence/lobby", from("https://presence.example"))).status).toBe(200)
      expect((yield* ask(port, "/presence/lobby", from("https://evil.example"))).status).toBe(403)
    })
  )

  it.scopedLive("with PRESENCE_JWT_SECRET it listens there, and lets in who has a token", () =>
    Effect.gen(function* () {
      const { line, url, port } = yield* serve({ HOST: "0.0.0.0", PRESENCE_JWT_SECRET: SECRET })
      expect([line, url]).toEqual([`effect-presence is ready on ${url}`, `http://0.0.0.0:${port}`])
      expect((yield* ask(port, "/presence/lobby")).status).toBe(401)
      const authorization = `Bearer ${token({ sub: "alice", topics: ["lobby"] })}`
      expect((yield* ask(port, "/presence/lobby", { headers: { authorization } })).status).toBe(200)
      expect((yield* ask(port, "/presence/other", { headers: { authorization } })).status).toBe(403)
    })
  )

  it.scopedLive("no token, good or bad, is written anywhere, however much is logged", () =>
    Effect.gen(function* () {
      const { port, said, stop } = yield* serve({ PRESENCE_JWT_SECRET: SECRET, LOG_LEVEL: "All" })
      const url = `ws://127.0.0.1:${port}`
      const tokens = [
        token({ sub: "alice", topics: ["lobby"] }),
        token({ sub: "alice", topics: ["lobby"] }, { secret: "guessed" }),
        token({ sub: "alice", topics: ["lobby"], exp: 1 }),
        token({ sub: "x".repeat(300), topics: ["*"] }),
        "q9z.q9z.q9z"
      ]
      for (const jwt of tokens) {
        yield* ask(port, `/presence/lobby?access_token=${jwt}`)
        yield* ask(port, "/presence/lobby", { headers: { authorization: `Bearer ${jwt}` } })
        yield* ask(port, `/?token=${jwt}`)
        yield* Effect.either(connect(phoenixUrl(url, `vsn=2.0.0&token=${jwt}`)))
        const client = yield* connect(phoenixUrl(url))
        client.say("1", "1", "lobby", "phx_join", { key: "alice", access_token: jwt })
        yield* client.reply("1")
        client.say("1", "2", "lobby", "access_token", { access_token: jwt })
        client.say("1", "3", "lobby", "presence", { event: "track", key: "alice", token: jwt })
        yield* client.reply("3")
      }
      yield* stop("SIGTERM")
      const text = said()
      for (const jwt of tokens) for (const part of jwt.split(".")) expect(text).not.toContain(part)
      expect(text).not.toContain(SECRET)
    })
  )

  it.scopedLive("PRESENCE_IDLE_TIMEOUT is how long a socket may be silent", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ PRESENCE_IDLE_TIMEOUT: "300 millis" })
      const silent = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
      expect((yield* silent.end).code).toBe(1001)
    })
  )

  it.scopedLive("PRESENCE_DIFF_INTERVAL is the window of sockets and event streams", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ PRESENCE_DIFF_INTERVAL: "1 hour" })
      const events = yield* follow(port, "/presence/lobby/events")
      yield* events.next
      const heard = yield* Effect.forkScoped(events.next)
      const [one, two] = yield* Effect.all([
        connect(phoenixUrl(`ws://127.0.0.1:${port}`)),
        connect(supabaseUrl(`ws://127.0.0.1:${port}`))
      ])
      one.say("1", "1", "lobby", "phx_join", { key: "alice" })
      two.say("1", "1", "realtime:lobby", "phx_join", { config: { presence: { key: "bob" } } })
      two.say("1", "2", "realtime:lobby", "presence", { event: "track" })
      yield* two.reply("2")
      yield* one.heard("presence_state")
      for (const client of [one, two]) expect(client.frames.map(([, , , e]) => e)).not.toContain("presence_diff")
      expect(yield* Fiber.poll(heard)).toEqual(Option.none())
    })
  )

  it.scopedLive("PRESENCE_ALLOWED_ORIGINS lets exactly those in", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ PRESENCE_ALLOWED_ORIGINS: "https://a.example, http://b.example:81" })
      const status = (origin: string) =>
        Effect.map(ask(port, "/presence/lobby", { headers: { origin } }), (a) => a.status)
      expect(yield* status("https://a.example")).toBe(200)
      expect(yield* status("http://b.example:81")).toBe(200)
      expect(yield* status("http://localhost")).toBe(403)
      const socket = (origin: string) => connect(phoenixUrl(`ws://127.0.0.1:${port}`), { origin })
      yield* socket("https://a.example")
      expect(yield* Effect.flip(socket("http://localhost"))).toBe(403)
    })
  )
})
