/** A group, its server over one of RPC's transports on a free port of 127.0.0.1, and clients of it. */
import * as Http from "node:http"
import { FetchHttpClient, HttpLayerRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { RpcClient, RpcSerialization, RpcServer } from "@effect/rpc"
import { Context, Effect, Layer, Queue, Schema, Stream } from "effect"
import { Authorize, PresenceHttp } from "../../src/http/index.js"
import { Presence, type PresenceChange } from "../../src/index.js"
import { PresenceRpc } from "../../src/rpc/index.js"

export const Cursor = Schema.Struct({ x: Schema.Number, since: Schema.Date })
export type Cursor = typeof Cursor.Type
export class Cursors extends PresenceRpc.make(Cursor) {}

export const at = (x: number): Cursor => ({ x, since: new Date(x) })

export interface Options extends PresenceRpc.Options {
  readonly authorize?: Authorize.Authorize
}

/** What answers the procedures, over a presence. */
export const handlers = ({ authorize = Authorize.allowAll, ...options }: Options = {}) =>
  Layer.merge(PresenceRpc.layer(Cursors, options), PresenceRpc.layerAuthorize(authorize))

/** A server, until the scope closes: its presence, and where it is. */
export const serve = (protocol: "http" | "websocket", options?: Options) =>
  Effect.gen(function* () {
    const presence = yield* Layer.build(Presence.layer())
    const server = HttpLayerRouter.serve(
      Layer.merge(
        RpcServer.layerHttpRouter({ group: Cursors, path: "/rpc", protocol }).pipe(
          Layer.provide(handlers(options)),
          Layer.provide(RpcSerialization.layerNdjson)
        ),
        PresenceHttp.layerRouter({ authorize: Authorize.allowAll })
      ),
      { disableListenLog: true, disableLogger: true }
    ).pipe(
      Layer.provideMerge(NodeHttpServer.layer(Http.createServer, { port: 0, host: "127.0.0.1" })),
      Layer.provide(Layer.succeedContext(presence))
    )
    const { address } = Context.get(yield* Layer.build(server), HttpServer.HttpServer)
    if (address._tag !== "TcpAddress") return yield* Effect.dieMessage("no port")
    return { presence: Context.get(presence, Presence), host: `127.0.0.1:${address.port}` }
  })

/** A client over HTTP, until the scope closes. */
export const httpClient = (host: string) =>
  Effect.provide(
    RpcClient.make(Cursors),
    RpcClient.layerProtocolHttp({ url: `http://${host}/rpc` }).pipe(
      Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
    )
  )

/** What a stream tells, one change after the other, until the scope closes. */
export const hear = <E>(changes: Stream.Stream<PresenceChange<Cursor>, E>) =>
  Effect.gen(function* () {
    const heard = yield* Queue.unbounded<PresenceChange<Cursor>>()
    const fiber = yield* Effect.forkScoped(Stream.runForEach(changes, (change) => Queue.offer(heard, change)))
    return { next: Queue.take(heard), fiber }
  })

/** A change in a line. */
export const line = (change: PresenceChange<Cursor>): string =>
  change._tag === "Snapshot"
    ? `here: ${change.connections.map(({ key, meta }) => `${key} ${meta.x}`).join(", ")}`
    : [
        ...change.joins.map(({ key, meta }) => `${key} ${meta.x} joined`),
        ...change.updates.map(({ key, meta }) => `${key} is at ${meta.x}`),
        ...change.leaves.map(({ key, reason }) => `${key} left, ${reason}`)
      ].join(", ")
