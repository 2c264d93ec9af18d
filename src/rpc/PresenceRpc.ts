/**
 * Presence as procedures of `@effect/rpc`, over whichever of its transports.
 *
 * `make(Meta)` is the group for client and server; `layer(group)` answers it with a `Presence`; `layerAuthorize` says who
 * may. `Join` is a stream, and its scope the lease: who runs it is present for as long as they listen.
 *
 * ```ts
 * import { RpcClient, RpcServer } from "@effect/rpc"
 * import { Effect, Layer, Schema, Stream } from "effect"
 * import { PresenceLive } from "effect-presence"
 * import { Authorize } from "effect-presence/http"
 * import { PresenceRpc } from "effect-presence/rpc"
 *
 * // For both
 * const Cursor = Schema.Struct({ x: Schema.Number, y: Schema.Number })
 * class Cursors extends PresenceRpc.make(Cursor) {}
 *
 * // The server, over any transport
 * const Server = RpcServer.layer(Cursors).pipe(
 *   Layer.provide(PresenceRpc.layer(Cursors)),
 *   Layer.provide(PresenceRpc.layerAuthorize(Authorize.allowAll)),
 *   Layer.provide(PresenceLive)
 * )
 *
 * // A client
 * const program = Effect.gen(function*() {
 *   const client = yield* RpcClient.make(Cursors)
 *   const me = { topic: "board:1", key: "alice", id: "one of this tab's own" }
 *   yield* client.Join({ ...me, meta: { x: 0, y: 0 } }).pipe(
 *     Stream.runForEach((change) => Effect.log(change)),
 *     Effect.forkScoped
 *   )
 *   yield* client.Update({ ...me, meta: { x: 3, y: 4 } })
 * })
 * ```
 *
 * - **A client that goes**, by interruption, by a closed connection or by a crash, ends its streams and so its leases. One
 *   that only falls silent is gone within `idleTimeout`: see {@link Options}.
 * - **Lag**: who reads too slowly hears a new `Snapshot`, as with `changes`.
 * - **Shutdown**: when presence closes, its streams end.
 *
 * @since 0.2.0
 */
export { layerAuthorize } from "./authorization.js"
export { Authorization, Granted, make, NotJoined, type Procedures } from "./group.js"
export { layer, type Options } from "./handlers.js"
