import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, TestClock } from "effect"
import type { Socket } from "phoenix"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

const closeCode = (socket: Socket) =>
  Effect.async<number>((resume) => socket.onClose(({ code }) => resume(Effect.succeed(code))))

describe("stopping", () => {
  it.scoped("open sockets are closed with 1012, spread over the drain, their leases end, no new one gets in", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ drain: "500 millis" })
      const clients = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) =>
          Effect.gen(function* () {
            const client = yield* connect(phoenixUrl(server.url))
            client.say("1", "1", "room:1", "phx_join", { key: `user ${i}` })
            yield* client.reply("1")
            return client
          })
      )
      const stopping = yield* Effect.fork(server.stop)
      const closed = () => clients.filter((client) => client.closed !== undefined)
      for (let times = 1; times <= clients.length; times++) {
        yield* Effect.raceAll(clients.map((client) => client.until(() => closed().length >= times)))
        expect(closed()).toHaveLength(times)
        if (times < clients.length) yield* TestClock.adjust("25 millis")
      }
      yield* stopping
      expect(new Set(clients.map(({ closed }) => closed?.code))).toEqual(new Set([1012]))
      expect(yield* server.presence.count("room:1")).toEqual({ keys: 0, connections: 0 })
      expect(yield* Effect.flip(connect(phoenixUrl(server.url)))).toBe(0)
    })
  )

  it.scopedLive("Phoenix's client comes back by itself after a 1012", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const socket = yield* phoenixSocket(server.url, { reconnectAfterMs: () => 10 })
      yield* join(socket, "room:1", { key: "alice" })
      const code = yield* Effect.fork(closeCode(socket))
      yield* Effect.yieldNow()
      yield* server.stop
      expect(yield* code).toBe(1012)
      const tried = yield* Deferred.make<void>()
      socket.onError(() => Deferred.unsafeDone(tried, Effect.void))
      yield* Deferred.await(tried)
    })
  )

  it.scopedLive("a client that does not answer the close holds nothing up for long", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room:1", "phx_join", { key: "alice" })
      yield* client.reply("1")
      client.ws.pause()
      // Long before a closing handshake is given up; this timer and the server's are late together.
      yield* Effect.timeout(server.stop, "20 seconds")
    })
  )
})
