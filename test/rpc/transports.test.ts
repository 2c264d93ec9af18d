/**
 * The procedures over RPC's transports, from a client as a page has it: who is interrupted, killed or goes without a word
 * has left, and everybody else hears it.
 */

import { connect } from "node:net"
import { Socket } from "@effect/platform"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schedule, Stream } from "effect"
import { WebSocket } from "ws"
import type { Authorize } from "../../src/http/index.js"
import { Unauthorized } from "../../src/index.js"
import { at, Cursors, hear, httpClient, line, serve } from "./support.js"

const me = { topic: "board", key: "alice", id: "tab" }

const soon = Schedule.spaced("20 millis")

/** A client over a WebSocket, and the sockets that it has opened. */
const socketClient = (host: string, path = "/rpc") =>
  Effect.gen(function* () {
    const sockets: Array<WebSocket> = []
    const open = Layer.succeed(Socket.WebSocketConstructor, (url) => {
      const socket = new WebSocket(url)
      sockets.push(socket)
      // It is one as a page has it, as far as the platform asks.
      return socket as unknown as globalThis.WebSocket
    })
    const protocol = RpcClient.layerProtocolSocket({ retrySchedule: soon }).pipe(
      Layer.provide(Layer.provide(Socket.layerWebSocket(`ws://${host}${path}`), open)),
      Layer.provide(RpcSerialization.layerNdjson)
    )
    const client = yield* Effect.provide(RpcClient.make(Cursors), yield* Layer.build(protocol))
    return { client, sockets }
  })

describe("over a WebSocket", () => {
  it.scopedLive("who interrupts the stream has left, and others on the same connection stay", () =>
    Effect.gen(function* () {
      const { host, presence } = yield* serve("websocket")
      const { client } = yield* socketClient(host)
      const watcher = yield* hear(client.Changes({ topic: "board" }))
      expect(line(yield* watcher.next)).toBe("here: ")
      const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
      expect(line(yield* alice.next)).toBe("here: alice 0")
      expect(line(yield* watcher.next)).toBe("alice 0 joined")
      yield* client.Update({ ...me, meta: at(1) })
      expect(line(yield* watcher.next)).toBe("alice is at 1")
      yield* Fiber.interrupt(alice.fiber)
      expect(line(yield* watcher.next)).toBe("alice left, released")
      expect(yield* presence.topics).toEqual([])
      expect(yield* client.Count({ topic: "board" })).toEqual({ keys: 0, connections: 0 })
    })
  )

  it.scopedLive("whose connection is killed has left, hears of it, and comes back by trying again", () =>
    Effect.gen(function* () {
      const { host } = yield* serve("websocket")
      const watcher = yield* Effect.flatMap(socketClient(host), ({ client }) =>
        hear(client.Changes({ topic: "board" }))
      )
      yield* watcher.next
      const { client, sockets } = yield* socketClient(host)
      const alice = yield* hear(Stream.retry(client.Join({ ...me, meta: at(0) }), soon))
      expect(line(yield* alice.next)).toBe("here: alice 0")
      expect(line(yield* watcher.next)).toBe("alice 0 joined")
      sockets[0]?.terminate()
      expect(line(yield* watcher.next)).toBe("alice left, released")
      expect(line(yield* alice.next)).toBe("here: alice 0")
      expect(line(yield* watcher.next)).toBe("alice 0 joined")
      yield* client.Update({ ...me, meta: at(2) })
      expect(line(yield* watcher.next)).toBe("alice is at 2")
    })
  )

  it.scopedLive("who comes right back within the leave delay never left for others", () =>
    Effect.gen(function* () {
      const { host } = yield* serve("websocket", { leaveDelay: "1 minute" })
      const { client, sockets } = yield* socketClient(host)
      const watched = yield* Effect.flatMap(socketClient(host), ({ client }) =>
        hear(client.Changes({ topic: "board" }))
      )
      yield* watched.next
      const alice = yield* hear(Stream.retry(client.Join({ ...me, meta: at(0) }), soon))
      yield* alice.next
      expect(line(yield* watched.next)).toBe("alice 0 joined")
      sockets[0]?.terminate()
      yield* alice.next
      expect(line(yield* watched.next)).toMatch(/^alice 0 joined/)
      expect((yield* client.Count({ topic: "board" })).keys).toBe(1)
    })
  )

  it.scopedLive("a frozen client is gone within idleTimeout", () =>
    Effect.gen(function* () {
      const { host, presence } = yield* serve("websocket", { idleTimeout: "300 millis" })
      const { client, sockets } = yield* socketClient(host)
      const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
      yield* alice.next
      yield* alice.next
      sockets[0]?.pause()
      // The sweep looks once a second.
      while ((yield* presence.count("board")).keys > 0) yield* Effect.sleep("50 millis")
      sockets[0]?.resume()
      while ((yield* presence.count("board")).keys === 0) yield* Effect.sleep("50 millis")
    })
  )

  it.scopedLive("who never says that they got anything did nothing that the log has to advise a program of", () => {
    const warned: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      if (String(message).includes("never refreshed")) warned.push(String(message))
    })
    return Effect.gen(function* () {
      const { host, presence } = yield* serve("websocket", { idleTimeout: "300 millis" })
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => new WebSocket(`ws://${host}/rpc`)),
        (socket) => Effect.sync(() => socket.terminate())
      )
      const ended = yield* Effect.fork(
        presence.events("board").pipe(
          Stream.find(({ type }) => type === "leave"),
          Stream.runHead
        )
      )
      yield* Effect.async<void>((resume) => {
        socket.once("message", () => resume(Effect.void))
        const payload = { ...me, meta: { x: 0, since: new Date(0) } }
        const join = JSON.stringify({ _tag: "Request", id: "1", tag: "Join", payload, headers: [] })
        socket.once("open", () => socket.send(`${join}\n`))
      })
      expect(yield* Fiber.join(ended)).toMatchObject({ value: { key: "alice" } })
      // One who never refreshes is told of, so by then the other would have been.
      yield* presence.track("board", "bob", {}, { ttl: "50 millis" })
      while (warned.length === 0) yield* Effect.sleep("50 millis")
      expect(warned).toEqual([expect.stringContaining('"bob" on "board" has expired')])
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scopedLive("authorize sees the request that carries the call, and the headers of the call", () =>
    Effect.gen(function* () {
      const authorize: Authorize.Authorize = ({ request }) => {
        const token = new URL(request.url, "http://it").searchParams.get("token") ?? request.headers.authorization
        if (token === "of alice") return Effect.succeed({ key: "alice" })
        return Effect.fail(new Unauthorized({ status: 401, reason: `no token, from ${request.headers.host}` }))
      }
      const { host } = yield* serve("websocket", { authorize })
      const { client } = yield* socketClient(host)
      const list = { topic: "board" }
      expect(yield* Effect.flip(client.List(list))).toMatchObject({
        _tag: "Unauthorized",
        reason: `no token, from ${host}`
      })
      expect(yield* client.List(list, { headers: { authorization: "of alice" } })).toEqual([])
      // A client does not speak for the connection.
      expect(yield* Effect.flip(client.List(list, { headers: { host: "elsewhere" } }))).toMatchObject({
        reason: `no token, from ${host}`
      })
      const named = yield* socketClient(host, "/rpc?token=of%20alice")
      expect(yield* named.client.List(list)).toEqual([])
    })
  )

  it.scopedLive("what does not decode is refused by itself, and the connection goes on", () =>
    Effect.gen(function* () {
      const { host, presence } = yield* serve("websocket")
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => new WebSocket(`ws://${host}/rpc`)),
        (socket) => Effect.sync(() => socket.terminate())
      )
      const answers = yield* Effect.async<ReadonlyArray<string>, Error>((resume) => {
        const got: Array<string> = []
        socket.once("error", (error) => resume(Effect.fail(error)))
        socket.on("message", (text) => {
          got.push(String(text))
          if (got.join("").split("\n").length > 3) resume(Effect.succeed(got.join("").split("\n")))
        })
        socket.once("open", () => {
          const ask = (id: string, tag: string, payload: unknown) =>
            socket.send(`${JSON.stringify({ _tag: "Request", id, tag, payload, headers: [] })}\n`)
          ask("1", "Join", { ...me, meta: { x: "nowhere" } })
          ask("2", "Update", { ...me, meta: null })
          ask("3", "Count", { topic: "board" })
        })
      })
      expect(answers[0]).toMatch(/"requestId":"1".*"_tag":"Die".*x/)
      expect(answers[1]).toMatch(/"requestId":"2".*"_tag":"Die".*meta/)
      expect(answers[2]).toContain('{"keys":0,"connections":0}')
      expect(yield* presence.topics).toEqual([])
    })
  )
})

/** Asks for an upgrade, and resets the connection. */
const reset = (host: string, path: string) =>
  Effect.async<void>((resume) => {
    const [name = "", port] = host.split(":")
    const socket = connect(Number(port), name, () => {
      const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
      socket.write(`${head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`)
      setImmediate(() => socket.resetAndDestroy())
    })
    socket.on("error", () => {})
    socket.once("close", () => resume(Effect.void))
  })

describe("beside the routes of PresenceHttp", () => {
  it.scopedLive("nobody ends the server, or anybody else's stream, by a connection that is reset", () =>
    Effect.gen(function* () {
      const { host } = yield* serve("websocket")
      const { client, sockets } = yield* socketClient(host)
      const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
      yield* alice.next
      const paths = ["/", "/rpc", "/presence/board", "/nothing"]
      yield* Effect.forEach(Array.from({ length: 20 }, () => paths).flat(), (path) => reset(host, path), {
        concurrency: 8
      })
      yield* client.Update({ ...me, meta: at(1) })
      expect(line(yield* alice.next)).toBe("alice is at 1")
      expect(sockets).toHaveLength(1)
    })
  )
})

describe("over HTTP", () => {
  it.scopedLive("a stream is a lease too, and any call updates its meta", () =>
    Effect.gen(function* () {
      const { host, presence } = yield* serve("http")
      const client = yield* httpClient(host)
      const watcher = yield* hear(client.Changes({ topic: "board" }))
      yield* watcher.next
      const alice = yield* hear(client.Join({ ...me, meta: at(0) }))
      expect(line(yield* alice.next)).toBe("here: alice 0")
      expect(line(yield* watcher.next)).toBe("alice 0 joined")
      const other = yield* httpClient(host)
      yield* other.Update({ ...me, meta: at(3) })
      expect(line(yield* watcher.next)).toBe("alice is at 3")
      yield* Fiber.interrupt(alice.fiber)
      expect(line(yield* watcher.next)).toBe("alice left, released")
      expect(yield* presence.topics).toEqual([])
    })
  )
})
