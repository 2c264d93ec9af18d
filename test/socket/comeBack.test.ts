/** Published clients, old and new, come back by themselves whenever it was not meant that they stay away. */
import { createServer } from "node:http"
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, type Scope } from "effect"
import { Socket as Socket18 } from "phoenix"
import { Socket as Socket16 } from "phoenix-1.6"
import { Socket as Socket17 } from "phoenix-1.7"
import { WebSocket, WebSocketServer } from "ws"
import { makeServer } from "./support/server.js"

const clients = [
  ["1.6", Socket16],
  ["1.7", Socket17],
  ["1.8", Socket18]
] as const

/** A client that never beats, and the codes with which it is closed. */
const sleeper = (
  Socket: typeof Socket18,
  url: string,
  onOpen: (opened: number) => void,
  onClose: (code: number) => void
): Effect.Effect<Socket18, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = new Socket(`${url}/socket`, { transport: WebSocket, heartbeatIntervalMs: 3_600_000 })
      let opened = 0
      socket.onOpen(() => onOpen(++opened))
      socket.onClose(({ code }) => onClose(code))
      socket.connect()
      return socket
    }),
    (socket) => Effect.sync(() => socket.disconnect())
  )

describe("one that was asleep longer than the idle timeout", () => {
  for (const [version, Socket] of clients) {
    it.scopedLive(`phoenix ${version} is closed with 1001 and comes back`, () =>
      Effect.gen(function* () {
        const server = yield* makeServer({ limits: { idleTimeout: "300 millis" } })
        const again = yield* Deferred.make<void>()
        const codes: Array<number> = []
        yield* sleeper(
          Socket,
          server.url,
          (opened) => opened === 2 && Deferred.unsafeDone(again, Effect.void),
          (code) => codes.push(code)
        )
        yield* Deferred.await(again)
        expect(codes[0]).toBe(1001)
      })
    )
  }
})

/** A server of no more than a close code, for what the clients make of it. */
const closingWith = (
  code: number
): Effect.Effect<{ readonly url: string; readonly opened: () => number }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: ReturnType<typeof createServer>; opened: number }>((resume) => {
        const state = { server: createServer(), opened: 0 }
        new WebSocketServer({ server: state.server }).on("connection", (ws) => {
          state.opened++
          ws.close(code)
        })
        state.server.listen(0, "127.0.0.1", () => resume(Effect.succeed(state)))
      }),
      ({ server }) =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    ),
    (state) => {
      const address = state.server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return { url: `ws://127.0.0.1:${port}`, opened: () => state.opened }
    }
  )

describe("why it is never 1000", () => {
  for (const [version, Socket] of clients.slice(0, 2)) {
    it.scopedLive(`phoenix ${version} takes 1000 as the end, and returns after 1001`, () =>
      Effect.gen(function* () {
        for (const [code, returns] of [
          [1000, false],
          [1001, true]
        ] as const) {
          const server = yield* closingWith(code)
          const closed = yield* Deferred.make<void>()
          yield* sleeper(
            Socket,
            server.url,
            () => {},
            () => Deferred.unsafeDone(closed, Effect.void)
          )
          yield* Deferred.await(closed)
          if (returns)
            yield* Effect.promise(() => vi.waitFor(() => expect(server.opened()).toBeGreaterThan(1), 300_000))
          else {
            // Its first try would come after 10 ms.
            yield* Effect.sleep(500)
            expect(server.opened()).toBe(1)
          }
        }
      })
    )
  }
})
