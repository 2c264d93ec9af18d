/** Whoever comes to a server that listens and has nothing to serve yet. */
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { DoorServer } from "../../src/web/doors.js"
import { connect } from "../socket/support/client.js"
import { ask } from "../support/http.js"

it.scopedLive("waits until it is served, by a request as by an upgrade", () =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.async<DoorServer>((resume) => {
        const server = new DoorServer()
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close().closeAllConnections())
    )
    const address = server.address()
    const port = typeof address === "object" ? (address?.port ?? 0) : 0
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
