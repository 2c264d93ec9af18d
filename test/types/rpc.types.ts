/**
 * What users of the procedures infer, over each of RPC's transports. Compiled by `npm run types` and never run.
 */
import { type HttpClient, Socket, type Worker, type WorkerRunner } from "@effect/platform"
import type { WorkerError } from "@effect/platform/WorkerError"
import { RpcClient, type RpcClientError, RpcSerialization, RpcServer } from "@effect/rpc"
import { type Effect, Layer, Schema, type Stream } from "effect"
import { expectTypeOf } from "vitest"
import { Authorize } from "../../src/http/index.js"
import type {
  InvalidTopic,
  LimitExceeded,
  Presence,
  PresenceChange,
  PresenceEntry,
  PresenceUnavailable,
  TrackError,
  Unauthorized
} from "../../src/index.js"
import { PresenceRpc } from "../../src/rpc/index.js"

const Cursor = Schema.Struct({ x: Schema.Number, since: Schema.Date })
type Cursor = typeof Cursor.Type
class Cursors extends PresenceRpc.make(Cursor) {}

declare const client: Effect.Effect.Success<
  ReturnType<typeof RpcClient.make<import("@effect/rpc").RpcGroup.Rpcs<typeof Cursors>>>
>
type Lost = RpcClientError.RpcClientError
type ReadError = InvalidTopic | LimitExceeded | PresenceUnavailable | Unauthorized

export const joined = client.Join({ topic: "board", key: "alice", meta: { x: 0, since: new Date() } })
expectTypeOf(joined).toEqualTypeOf<Stream.Stream<PresenceChange<Cursor>, TrackError | Unauthorized | Lost>>()
// @ts-expect-error The meta is typed.
client.Join({ topic: "board", key: "alice", meta: { x: "0", since: new Date() } })
// @ts-expect-error As it is decoded, not as it travels.
client.Join({ topic: "board", key: "alice", meta: { x: 0, since: "2020-01-01" } })
// @ts-expect-error An update names the join.
client.Update({ topic: "board", key: "alice", meta: { x: 0, since: new Date() } })
expectTypeOf(
  client.Update({ topic: "board", key: "alice", id: "tab", meta: { x: 0, since: new Date() } })
).toEqualTypeOf<Effect.Effect<void, TrackError | Unauthorized | PresenceRpc.NotJoined | Lost>>()
expectTypeOf(client.List({ topic: "board" })).toEqualTypeOf<
  Effect.Effect<ReadonlyArray<PresenceEntry<Cursor>>, ReadError | Lost>
>()
expectTypeOf(client.Count({ topic: "board" })).toEqualTypeOf<
  Effect.Effect<{ readonly keys: number; readonly connections: number }, ReadError | Lost>
>()
expectTypeOf(client.Changes({ topic: "board", since: { epoch: "e", version: 1 } })).toEqualTypeOf<
  Stream.Stream<PresenceChange<Cursor>, ReadError | Lost>
>()

// The server, over any transport

const answered = RpcServer.layer(Cursors).pipe(Layer.provide(PresenceRpc.layer(Cursors, { leaveDelay: "5 seconds" })))
expectTypeOf(answered).toEqualTypeOf<
  Layer.Layer<never, never, Presence | PresenceRpc.Authorization | RpcServer.Protocol>
>()
export const server = answered.pipe(Layer.provide(PresenceRpc.layerAuthorize(Authorize.allowAll)))
expectTypeOf(server).toEqualTypeOf<Layer.Layer<never, never, Presence | RpcServer.Protocol>>()
declare const needy: Authorize.Authorize<"a database">
expectTypeOf(PresenceRpc.layerAuthorize(needy)).toEqualTypeOf<
  Layer.Layer<PresenceRpc.Authorization, never, "a database">
>()

expectTypeOf(server.pipe(Layer.provide(RpcServer.layerProtocolWorkerRunner))).toEqualTypeOf<
  Layer.Layer<never, WorkerError, Presence | WorkerRunner.PlatformRunner>
>()
export const overHttp = server.pipe(
  Layer.provide(RpcServer.layerProtocolHttp({ path: "/rpc" })),
  Layer.provide(RpcSerialization.layerNdjson)
)
expectTypeOf(overHttp).toEqualTypeOf<Layer.Layer<never, never, Presence>>()

// A client, over any transport

const fromWorker = RpcClient.make(Cursors)
expectTypeOf(RpcClient.layerProtocolWorker({ size: 1 })).toEqualTypeOf<
  Layer.Layer<RpcClient.Protocol, WorkerError, Worker.PlatformWorker | Worker.Spawner>
>()
expectTypeOf<Effect.Effect.Context<typeof fromWorker>>().toEqualTypeOf<
  RpcClient.Protocol | import("effect").Scope.Scope
>()
expectTypeOf(RpcClient.layerProtocolHttp({ url: "/rpc" })).toEqualTypeOf<
  Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | HttpClient.HttpClient>
>()
export const overSocket = RpcClient.layerProtocolSocket().pipe(Layer.provide(Socket.layerWebSocket("ws://host/rpc")))
expectTypeOf(overSocket).toEqualTypeOf<
  Layer.Layer<RpcClient.Protocol, never, RpcSerialization.RpcSerialization | Socket.WebSocketConstructor>
>()

// @ts-expect-error What is stored is JSON, and what a schema needs it cannot be given.
PresenceRpc.make(Schema.Struct({}) as Schema.Schema<object, object, "a service">)
