/**
 * Two people on a board, each with a client of their own over a WebSocket. What alice hears while bob comes, moves and goes.
 */
import { HttpServer } from "@effect/platform"
import { NodeSocket } from "@effect/platform-node"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { Effect, Fiber, Layer, Queue, Stream } from "effect"
import type { PresenceChange } from "effect-presence"
import { type Cursor, Cursors } from "./cursors.js"
import { server } from "./server.js"

/** A client with a connection of its own. A page has `Socket.layerWebSocket` and its `WebSocket`. */
const client = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = address._tag === "TcpAddress" ? address.port : 0
  const protocol = RpcClient.layerProtocolSocket().pipe(
    Layer.provide(NodeSocket.layerWebSocket(`ws://127.0.0.1:${port}/rpc`)),
    Layer.provide(RpcSerialization.layerNdjson)
  )
  return yield* Effect.provide(RpcClient.make(Cursors), yield* Layer.build(protocol))
})

/** A change in words. */
const say = (change: PresenceChange<typeof Cursor.Type>): ReadonlyArray<string> =>
  change._tag === "Snapshot"
    ? change.connections.map(({ key, meta }) => `${key} is at ${meta.x},${meta.y}`)
    : [
        ...change.joins.map(({ key, meta }) => `${key} came to ${meta.x},${meta.y}`),
        ...change.updates.map(({ key, meta }) => `${key} moved to ${meta.x},${meta.y}`),
        ...change.leaves.map(({ key }) => `${key} went`)
      ]

export const program = Effect.gen(function* () {
  const heard = yield* Queue.unbounded<string>()
  const topic = "board:1"

  const alice = yield* client
  yield* alice.Join({ topic, key: "alice", meta: { x: 0, y: 0 } }, { headers: { "x-user": "alice" } }).pipe(
    Stream.mapConcat(say),
    Stream.runForEach((line) => Queue.offer(heard, line)),
    Effect.forkScoped
  )
  const lines = [yield* Queue.take(heard)]

  const bob = yield* client
  const headers = { "x-user": "bob" }
  const me = { topic, key: "bob", id: "bob's tab" }
  const present = yield* Effect.fork(Stream.runDrain(bob.Join({ ...me, meta: { x: 5, y: 5 } }, { headers })))
  lines.push(yield* Queue.take(heard))
  yield* bob.Update({ ...me, meta: { x: 6, y: 5 } }, { headers })
  lines.push(yield* Queue.take(heard))
  yield* Fiber.interrupt(present)
  lines.push(yield* Queue.take(heard))
  return lines // ["alice is at 0,0", "bob came to 5,5", "bob moved to 6,5", "bob went"]
}).pipe(Effect.scoped, Effect.provide(server(0)))
