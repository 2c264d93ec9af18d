import * as Net from "node:net"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { build, clean, run, serve } from "../support/bin.js"
import { ask, follow, over } from "../support/http.js"

// Starting a process takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })
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

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it.scopedLive(`${signal}: ends event streams, cuts half-sent requests and idle connections, and exits with 0`, () =>
      Effect.gen(function* () {
        const { port, stop } = yield* serve()
        const events = yield* follow(port, "/presence/lobby/events?key=alice")
        yield* events.next
        const connections = yield* Effect.forEach(
          [
            "GET /presence/lobby HTTP/1.1\r\nHost: x\r\n",
            "POST /presence/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
            "GET /presence/lobby HTTP/1.1\r\nHost: x\r\n\r\n",
            ""
          ],
          (text) => half(port, text)
        )
        const { code, millis } = yield* stop(signal)
        expect(code).toBe(0)
        expect(millis).toBeLessThan(5_000)
        expect(yield* over(events)).toBe("end")
        yield* Effect.promise(() => Promise.all(connections.map(({ closed }) => closed)))
      })
    )
  }

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
        "PRESENCE_JWT_SECRET",
        "PRESENCE_ALLOWED_ORIGINS",
        "PRESENCE_PUBLIC",
        "REDIS_URL",
        "LOG_LEVEL"
      ]) {
        expect(out).toContain(` ${name} `)
      }
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

  it.scopedLive("beyond loopback without PRESENCE_PUBLIC=true it listens on 127.0.0.1 and says so", () =>
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

  it.scopedLive("PRESENCE_ALLOWED_ORIGINS lets exactly those in", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ PRESENCE_ALLOWED_ORIGINS: "https://a.example, http://b.example:81" })
      const status = (origin: string) =>
        Effect.map(ask(port, "/presence/lobby", { headers: { origin } }), (a) => a.status)
      expect(yield* status("https://a.example")).toBe(200)
      expect(yield* status("http://b.example:81")).toBe(200)
      expect(yield* status("http://localhost")).toBe(403)
    })
  )
})
