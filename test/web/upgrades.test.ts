/** Upgraded requests to a program that mounts the routes on a server of its own, beside routes of its own. */
import { createServer } from "node:http"
import * as Net from "node:net"
import { HttpLayerRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeHttpServerRequest } from "@effect/platform-node"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { Authorize, PresenceHttp } from "../../src/http/index.js"
import { type Channels, Presence } from "../../src/index.js"
import { PresenceSocket } from "../../src/socket/index.js"
import { connect, phoenixUrl } from "../socket/support/client.js"

// In a program such an error ends the process.
const uncaught: Array<unknown> = []
const note = (error: unknown): void => void uncaught.push(error)
let others: Array<NodeJS.UncaughtExceptionListener> = []
beforeAll(() => {
  others = process.listeners("uncaughtException")
  process.removeAllListeners("uncaughtException")
  process.on("uncaughtException", note)
})
afterAll(() => {
  process.off("uncaughtException", note)
  for (const other of others) process.on("uncaughtException", other)
})

const program = (routes: Layer.Layer<never, never, Presence | Channels | HttpLayerRouter.HttpRouter>) =>
  Effect.gen(function* () {
    const server = createServer()
    const sockets = new Set<Net.Socket>()
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    const context = yield* HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(Presence.layer()),
      Layer.provideMerge(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })),
      Layer.build,
      Effect.orDie
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    return { port: address._tag === "TcpAddress" ? address.port : 0, sockets, presence: Context.get(context, Presence) }
  })

const own = Layer.mergeAll(
  HttpLayerRouter.add("GET", "/own", HttpServerResponse.text("own")),
  HttpLayerRouter.add("GET", "/slow", Effect.delay(HttpServerResponse.text("slow"), "20 millis")),
  HttpLayerRouter.add(
    "GET",
    "/stream",
    HttpServerResponse.stream(
      Stream.repeatEffect(Effect.delay(Effect.succeed(new TextEncoder().encode("more\n")), "5 millis"))
    )
  ),
  HttpLayerRouter.add("GET", "/broken", Effect.dieMessage("broken"))
)

const Http = PresenceHttp.layerRouter({ authorize: Authorize.allowAll })

/** The routes' clients wait for this in authorize. */
const slowly = (attempt: Authorize.Attempt) => Effect.delay(Authorize.allowAll(attempt), "20 millis")
const Socket = PresenceSocket.layerRouter({ authorize: slowly })

const upgrade = (port: number, path: string, leave: (socket: Net.Socket) => void) =>
  Effect.async<void>((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        () => leave(socket)
      )
    })
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
  })

const PATHS = ["/own", "/slow", "/stream", "/broken", "/nothing", "/presence/room", "/presence/room/events"]

const GOING: ReadonlyArray<readonly [string, (socket: Net.Socket) => void]> = [
  ["resets at once", (socket) => void socket.resetAndDestroy()],
  ["resets while its answer is awaited", (socket) => void setTimeout(() => socket.resetAndDestroy(), 10)],
  ["resets at the first byte", (socket) => void socket.once("data", () => socket.resetAndDestroy())],
  ["terminates at the first byte", (socket) => void socket.once("data", () => socket.destroy())],
  ["half-closes", (socket) => void socket.end().resume()]
]

describe.each([
  ["http", Layer.merge(own, Http), PATHS],
  ["sockets", Layer.merge(own, Socket), [...PATHS, "/socket/websocket?vsn=2.0.0", "/socket/websocket?vsn=9"]],
  ["both", Layer.mergeAll(own, Http, Socket), [...PATHS, "/socket/websocket?vsn=2.0.0"]]
] as const)("a program that mounts %s", (_, routes, paths) => {
  it.scopedLive.each(GOING)("whose client %s", ([, leave]) =>
    Effect.gen(function* () {
      const { port, sockets } = yield* program(routes)
      yield* Effect.forEach(
        paths.flatMap((path) => Array.from({ length: 15 }, () => path)),
        (path) => upgrade(port, path, leave),
        { concurrency: 20, discard: true }
      )
      yield* Effect.promise(() => vi.waitFor(() => expect(sockets.size).toBe(0), 300_000))
      expect(uncaught).toEqual([])
    })
  )
})

it.scopedLive("who resets while authorize waits leaves no lease, and an open socket does not notice", () =>
  Effect.gen(function* () {
    const { port, sockets, presence } = yield* program(Layer.merge(Http, Socket))
    const client = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
    client.say("1", "1", "room", "phx_join", { key: "alice" })
    yield* client.heard("presence_state")
    yield* Effect.forEach(
      Array.from({ length: 100 }),
      () => upgrade(port, "/socket/websocket?vsn=2.0.0", (socket) => void socket.resetAndDestroy()),
      { concurrency: 20, discard: true }
    )
    yield* Effect.promise(() => vi.waitFor(() => expect(sockets.size).toBe(1), 300_000))
    expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
    client.say(null, "2", "phoenix", "heartbeat", {})
    yield* client.reply("2")
    expect(uncaught).toEqual([])
  })
)

it.scopedLive("a socket has one listener of ours, however many layers guard its router", () =>
  Effect.gen(function* () {
    const { port, sockets } = yield* program(Layer.mergeAll(own, Http, Socket))
    yield* Effect.fork(upgrade(port, "/stream", () => {}))
    yield* Effect.promise(() =>
      vi.waitFor(() => expect([...sockets][0]?.listenerCount("close")).toBeGreaterThan(1), 300_000)
    )
    const [socket] = sockets
    expect(socket?.listeners("error").filter((listener) => listener.name === "ignore")).toHaveLength(1)
    socket?.destroy()
  })
)

it.scopedLive.each([
  ["that Node takes for an upgrade by another header", "Proxy-Connection: Upgrade\r\nUpgrade: websocket"],
  ["to something that is no WebSocket", "Connection: Upgrade\r\nUpgrade: x"],
  ["to HTTP/2", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"]
])("an upgrade %s is guarded and hung up on like any other", ([, headers]) =>
  Effect.gen(function* () {
    const { port, sockets } = yield* program(Layer.mergeAll(own, Http, Socket))
    const come = (path: string, leave: (socket: Net.Socket) => void) =>
      Effect.async<void>((resume) => {
        const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => {
          socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n\r\n`, () => leave(socket))
        })
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.void))
        leave(socket)
      })
    const paths = ["/own", "/slow", "/presence/room", "/presence/room/events", "/socket/websocket?vsn=2.0.0"]
    yield* Effect.forEach(
      paths.flatMap((path) => Array.from({ length: 20 }, () => path)),
      (path) => come(path, (socket) => void setTimeout(() => socket.resetAndDestroy(), 5)),
      { concurrency: 20, discard: true }
    )
    // Who stays is closed by the server.
    yield* Effect.forEach(paths, (path) => come(path, (socket) => void socket.resume().on("end", () => socket.end())), {
      concurrency: "unbounded",
      discard: true
    })
    yield* Effect.promise(() => vi.waitFor(() => expect(sockets.size).toBe(0), 300_000))
    expect(uncaught).toEqual([])
  })
)

it.scopedLive(
  "what an upgrade is answered says that its connection closes, so that no proxy sends it another request",
  () =>
    Effect.gen(function* () {
      const { port } = yield* program(Layer.mergeAll(own, Http, Socket))
      for (const path of [...PATHS, "/%zz", "/socket/websocket?vsn=2.0.0", "/socket/longpoll?vsn=2.0.0"]) {
        const heard = yield* Effect.async<string>((resume) => {
          let text = ""
          const socket = Net.connect(port, "127.0.0.1", () => {
            socket.write(`HEAD ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`)
          })
          socket.on("data", (data) => {
            text += data
            if (text.includes("\r\n\r\n")) resume(Effect.succeed(text))
          })
          socket.on("close", () => resume(Effect.succeed(text)))
        })
        expect(heard, path).toMatch(/^connection: .*close\r$/im)
        expect(heard, path).not.toMatch(/keep-alive/i)
      }
    })
)

it.scopedLive("a crowd that goes while it waits is interrupted in turns", () =>
  Effect.gen(function* () {
    let waiting = 0
    let turn = 0
    const turns: Array<number> = []
    const authorize: Authorize.Authorize = () =>
      Effect.sync(() => waiting++).pipe(
        Effect.zipRight(Effect.never),
        Effect.onInterrupt(() => Effect.sync(() => turns.push(turn)))
      )
    const { port } = yield* program(PresenceHttp.layerRouter({ authorize }))
    const clients = Array.from({ length: 60 }, () => {
      const client = Net.connect(port, "127.0.0.1").on("error", () => {})
      client.write("GET /presence/room HTTP/1.1\r\nHost: localhost\r\n\r\n")
      return client
    })
    while (waiting < clients.length) yield* Effect.sleep(5)
    const count = (): void => {
      turn++
      if (turns.length < clients.length) setImmediate(count)
    }
    count()
    for (const client of clients) client.destroy()
    while (turns.length < clients.length) yield* Effect.sleep(5)
    const inEach = new Map<number, number>()
    for (const turn of turns) inEach.set(turn, (inEach.get(turn) ?? 0) + 1)
    expect(Math.max(...inEach.values())).toBeLessThanOrEqual(8)
  })
)

it.scopedLive("one that is answered after its client went, and before its turn, leaves nothing", () =>
  Effect.gen(function* () {
    const held: Array<WeakRef<object>> = []
    let waiting = 0
    const authorize: Authorize.Authorize = ({ request }) =>
      Effect.async((resume) => {
        waiting++
        NodeHttpServerRequest.toServerResponse(request).once("close", () => resume(Effect.succeed({})))
      })
    const note = Effect.withFiberRuntime<void>((fiber) => Effect.sync(() => void held.push(new WeakRef(fiber))))
    const noted = HttpLayerRouter.use((router) => router.addGlobalMiddleware((app) => Effect.zipRight(note, app)))
    const { port } = yield* program(Layer.merge(noted, PresenceHttp.layerRouter({ authorize })))
    const clients = Array.from({ length: 20 }, () => {
      const client = Net.connect(port, "127.0.0.1").on("error", () => {})
      client.write("GET /presence/room HTTP/1.1\r\nHost: localhost\r\n\r\n")
      return client
    })
    while (waiting < clients.length) yield* Effect.sleep(5)
    for (const client of clients) client.destroy()
    expect(held).toHaveLength(clients.length)
    // Once for each that is waited for, as a collection may come too early.
    for (const fiber of held) {
      while (fiber.deref() !== undefined) {
        yield* Effect.sleep(10)
        globalThis.gc?.()
      }
    }
  })
)
