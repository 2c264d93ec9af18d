/** Whoever comes to a server that listens and has nothing to serve yet. */
import type { ServerResponse } from "node:http"
import { createConnection } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { LongPoll, Socket } from "phoenix"
import { DoorServer } from "../../src/web/doors.js"
import { connect } from "../socket/support/client.js"
import { ask } from "../support/http.js"

/** A server that nobody serves yet, and its port. */
const listening = Effect.map(
  Effect.acquireRelease(
    Effect.async<DoorServer>((resume) => {
      const server = new DoorServer()
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  ),
  (server) => {
    const address = server.address()
    return { server, port: typeof address === "object" ? (address?.port ?? 0) : 0 }
  }
)

it.scopedLive("waits until it is served, by a request as by an upgrade", () =>
  Effect.gen(function* () {
    const { server, port } = yield* listening
    const asked = yield* Effect.fork(ask(port, "/early"))
    const upgraded = yield* Effect.fork(Effect.flip(connect(`ws://127.0.0.1:${port}/early`)))
    const connections = Effect.async<number>((resume) => {
      server.getConnections((_, count) => resume(Effect.succeed(count)))
    })
    yield* Effect.repeat(connections, { until: (count) => count === 2, schedule: Schedule.spaced("5 millis") })
    // What they sent is read by now.
    yield* Effect.sleep("100 millis")
    server.on("request", (request, response) => response.end(request.url))
    server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n"))
    expect((yield* asked).text).toBe("/early")
    expect(yield* upgraded).toBe(418)
  })
)

it.scopedLive("is cut off if it sends hundreds of requests meanwhile, and not if it sends a few", () =>
  Effect.gen(function* () {
    const { server, port } = yield* listening
    const send = (times: number) =>
      Effect.async<string>((resume) => {
        const socket = createConnection(port, "127.0.0.1", () => {
          socket.write("GET /early HTTP/1.1\r\nhost: x\r\n\r\n".repeat(times))
        })
        let heard = ""
        socket.on("data", (data) => {
          heard += data
          if (heard.split("HTTP/1.1 200").length > times) socket.destroy()
        })
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.succeed(heard)))
        return Effect.sync(() => socket.destroy())
      })
    const few = yield* Effect.fork(send(16))
    expect(yield* send(1_000)).toBe("")
    // It goes on once it is served.
    yield* Effect.sleep("100 millis")
    server.on("request", (request, response) => response.end(request.url))
    expect((yield* few).split("HTTP/1.1 200")).toHaveLength(17)
  })
)

it.scopedLive("hears so when the server ends before it serves", () =>
  Effect.gen(function* () {
    const { server, port } = yield* listening
    const asked = yield* Effect.fork(ask(port, "/early"))
    const upgraded = yield* Effect.fork(Effect.flip(connect(`ws://127.0.0.1:${port}/early`)))
    let came = 0
    server.emit = function (...event) {
      if (event[0] === "request" || event[0] === "upgrade") came++
      return Reflect.apply(DoorServer.prototype.emit, this, event)
    }
    yield* Effect.repeat(
      Effect.sync(() => came),
      { until: (times) => times === 2, schedule: Schedule.spaced("5 millis") }
    )
    server.close()
    expect((yield* asked).status).toBe(503)
    expect(yield* upgraded).toBe(503)
  })
)

it.scopedLive("hears so when nobody serves any more, and an event stream when to come back", () =>
  Effect.gen(function* () {
    const { server, port } = yield* listening
    const serve = (_: unknown, response: ServerResponse) => response.end("served")
    server.on("request", serve)
    expect((yield* ask(port, "/late")).text).toBe("served")
    server.off("request", serve)
    const late = yield* ask(port, "/late")
    expect([late.status, late.json]).toEqual([503, { status: 500, error: "the server is stopping" }])
    const stream = yield* ask(port, "/late", { headers: { accept: "text/event-stream" } })
    expect([stream.status, stream.text]).toEqual([
      200,
      'retry: 5000\nevent: refused\ndata: {"error":"the server is stopping"}\n\n'
    ])
    expect(yield* Effect.flip(connect(`ws://127.0.0.1:${port}/late`))).toBe(503)
  })
)

it.scopedLive("a poll of Phoenix's client as nobody serves any more is for it to begin anew", () =>
  Effect.gen(function* () {
    const { server, port } = yield* listening
    const serve = () => {}
    server.on("request", serve).off("request", serve)
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new Socket(`ws://127.0.0.1:${port}/socket`, { transport: LongPoll })),
      (socket) => Effect.sync(() => socket.disconnect())
    )
    const closed = Effect.async<number>((resume) => {
      socket.onClose(({ code }) => resume(Effect.succeed(code)))
      socket.connect()
    })
    expect(yield* closed).toBe(1011)
  })
)
