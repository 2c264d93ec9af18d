/**
 * Requests that ask for an upgrade, to whatever route, from clients that go away in whatever way: nothing ends the
 * server, nothing happens to anybody else, and nothing is left of them.
 */
import { readdirSync } from "node:fs"
import * as Net from "node:net"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import WebSocket from "ws"
import { connect, phoenixUrl } from "../socket/support/client.js"
import { build, clean, type Started, serve } from "../support/bin.js"
import { browserIsOff, launch } from "../support/chromium.js"
import { ask } from "../support/http.js"
import { SECRET, token } from "./support/server.js"

beforeAll(build)
afterAll(clean)

const ROUTES = [
  "/",
  "/health",
  "/nothing/here",
  "/presence/room",
  "/presence/room/count",
  "/presence/%FF",
  "/presence/room/events",
  "/presence/room/events?key=mallory",
  "/socket/websocket?vsn=2.0.0",
  "/socket/websocket?vsn=2.0.0&token=no.such.token",
  "/socket/websocket?vsn=9",
  "/realtime/v1/websocket?apikey=any&vsn=1.0.0"
]

const head = (path: string, others = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${others}` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/** What a client does after its request, and whether it sent all of it. */
interface Way {
  readonly name: string
  readonly whole: boolean
  readonly leave: (socket: Net.Socket) => void
}

const reset = (socket: Net.Socket): void => void socket.resetAndDestroy()

const WAYS: ReadonlyArray<Way> = [
  { name: "resets before its headers end", whole: false, leave: reset },
  { name: "resets at once", whole: true, leave: reset },
  { name: "resets a turn later", whole: true, leave: (socket) => void setImmediate(() => reset(socket)) },
  {
    name: "resets at the first byte of the answer",
    whole: true,
    leave: (socket) => void socket.once("data", () => reset(socket))
  },
  {
    name: "terminates at the first byte of the answer",
    whole: true,
    leave: (socket) => void socket.once("data", () => socket.destroy())
  },
  { name: "half-closes, then resets", whole: true, leave: (socket) => void socket.end(() => reset(socket)) }
]

/** One connection from its start to its end. */
const attack = (port: number, path: string, { whole, leave }: Way, others = "") =>
  Effect.async<void>((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.write(head(path, others) + (whole ? "\r\n" : ""), () => leave(socket))
    })
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
    return Effect.sync(() => socket.destroy())
  })

const descriptors = ({ process }: Started): number => readdirSync(`/proc/${process.pid}/fd`).length

/** A member of the room who is there before and after, and to whom nothing happens. */
const innocent = (port: number, params = {}) =>
  Effect.gen(function* () {
    const client = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
    client.say("1", "1", "room", "phx_join", { key: "alice", ...params })
    yield* client.heard("presence_state")
    let beats = 1
    return Effect.gen(function* () {
      const ref = `beat ${beats++}`
      client.say(null, ref, "phoenix", "heartbeat", {})
      yield* Effect.promise(() =>
        vi.waitFor(() => expect(client.frames.some(([, own]) => own === ref)).toBe(true), 300_000)
      )
      expect(client.ws.readyState).toBe(WebSocket.OPEN)
    })
  })

describe.each([
  ["without a secret", {}, {}],
  ["with a secret", { PRESENCE_JWT_SECRET: SECRET }, { token: token({ sub: "alice", topics: ["*"] }) }]
] as ReadonlyArray<[string, Record<string, string>, object]>)("a server %s", (_, environment, params) => {
  it.scopedLive("lives on, whatever route is asked for an upgrade, however its clients go", () =>
    Effect.gen(function* () {
      const server = yield* serve(environment)
      const isWell = yield* innocent(server.port, params)
      const before = descriptors(server)
      for (const way of WAYS) {
        yield* Effect.forEach(
          ROUTES.flatMap((path) => Array.from({ length: 9 }, () => path)),
          (path) => attack(server.port, path, way),
          { concurrency: 20, discard: true }
        )
        yield* isWell
      }
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () => attack(server.port, "/socket/websocket?vsn=2.0.0", WAYS[1] as Way, "Origin: https://evil.example\r\n"),
        { concurrency: 20, discard: true }
      )
      yield* isWell
      expect(server.said()).not.toMatch(/error/i)
      // The sockets that were let in are ended by their clients' resets.
      yield* Effect.promise(() => vi.waitFor(() => expect(descriptors(server)).toBeLessThanOrEqual(before), 300_000))
      const { json } = yield* ask(server.port, "/health")
      expect(json).toMatchObject({ status: "ok", connections: 1 })
      // Nothing of them holds up the end.
      expect((yield* server.stop("SIGTERM")).code).toBe(0)
    })
  )
})

it.scopedLive("a client that stays half-open after its answer is hung up on", () =>
  Effect.gen(function* () {
    const server = yield* serve()
    yield* Effect.forEach(
      ["/", "/presence/room", "/presence/room/events", "/nothing", "/socket/websocket?vsn=9"],
      (path) =>
        Effect.async<void>((resume) => {
          const socket = Net.connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true }, () => {
            socket.write(`${head(path)}\r\n`)
          })
          socket.resume()
          // It never ends its own side: only the server can close the connection.
          const bites = setInterval(() => socket.write("?"), 50)
          socket.on("error", () => {})
          socket.on("close", () => {
            clearInterval(bites)
            resume(Effect.void)
          })
        }),
      { concurrency: "unbounded", discard: true }
    )
  })
)

it.scopedLive(
  "an event stream that is asked for with upgrade headers is refused, and closing it in order harms nobody",
  () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const isWell = yield* innocent(server.port)
      const text = yield* Effect.async<string>((resume) => {
        let got = ""
        const socket = Net.connect(server.port, "127.0.0.1", () => socket.write(`${head("/presence/room/events")}\r\n`))
        socket.on("data", (data) => {
          got += data
        })
        socket.on("close", () => resume(Effect.succeed(got)))
      })
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).toContain("without an Upgrade header")
      yield* isWell
    })
)

it.scopedLive("ws clients that terminate while an expired token is refused, or right after they came in", () =>
  Effect.gen(function* () {
    const server = yield* serve({ PRESENCE_JWT_SECRET: SECRET })
    const isWell = yield* innocent(server.port, { token: token({ sub: "alice", topics: ["*"] }) })
    const expired = token({ sub: "mallory", topics: ["*"], exp: 1 })
    const come = (url: string, moment: "open" | "socket") =>
      Effect.async<void>((resume) => {
        const ws = new WebSocket(url)
        ws.on("error", () => {})
        ws.on("close", () => resume(Effect.void))
        if (moment === "open") ws.on("open", () => ws.terminate())
        else setImmediate(() => ws.terminate())
      })
    const base = `ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0`
    for (const [url, moment] of [
      [`${base}&token=${expired}`, "socket"],
      [`${base}&token=${expired}`, "open"],
      [base, "open"],
      [base, "socket"]
    ] as const) {
      yield* Effect.forEach(Array.from({ length: 100 }), () => come(url, moment), { concurrency: 20, discard: true })
    }
    yield* isWell
  })
)

it.skipIf(browserIsOff())("a page of another site cannot end a server on loopback", async () => {
  await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* serve({ PRESENCE_JWT_SECRET: SECRET })
        const browser = yield* Effect.acquireRelease(
          Effect.promise(() => launch()),
          (browser) => Effect.promise(() => browser.close())
        )
        const page = yield* Effect.promise(() => browser.newPage())
        // A blank page has an opaque origin, which is foreign everywhere.
        yield* Effect.promise(() =>
          page.evaluate(
            async ([port]) => {
              // All at once, and closed soon: a browser makes pages wait whose sockets fail one after the other.
              const closed = Array.from({ length: 60 }, (_, i) => {
                const path = ["", "health", "presence/room", "socket/websocket?vsn=2.0.0"][i % 4]
                const socket = new globalThis.WebSocket(`ws://127.0.0.1:${port}/${path}`)
                setTimeout(() => socket.close(), i * 10)
                return new Promise((resolve) => {
                  socket.onclose = resolve
                })
              })
              await Promise.all(closed)
            },
            [server.port]
          )
        )
        expect((yield* ask(server.port, "/health")).status).toBe(200)
      })
    )
  )
})

it.skipIf(browserIsOff())("a page of another site joins nobody by an image or a frame", async () => {
  await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const server = yield* serve()
        const browser = yield* Effect.acquireRelease(
          Effect.promise(() => launch()),
          (browser) => Effect.promise(() => browser.close())
        )
        const page = yield* Effect.promise(() => browser.newPage())
        // A browser says no origin with either. Who is let in has no end, and who waits for it looks at the list meanwhile.
        const answered = yield* Effect.fork(
          Effect.promise(() =>
            page.evaluate(`Promise.all(["img", "iframe"].map((tag) => new Promise((answered) => {
              const element = document.createElement(tag)
              element.onload = element.onerror = () => answered()
              element.src = "${server.url}/presence/room/events?key=" + tag
              document.body.append(element)
            })))`)
          )
        )
        yield* Effect.repeat(
          Effect.tap(ask(server.port, "/presence/room"), ({ json }) => expect(json).toEqual([])),
          { until: () => answered.unsafePoll() !== null, schedule: Schedule.spaced("20 millis") }
        )
        expect((yield* ask(server.port, "/presence/room")).json).toEqual([])
      })
    )
  )
})
