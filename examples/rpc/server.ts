/** The procedures over a WebSocket at `/rpc`, and the list beside them: `GET /presence/board:1`. */
import { createServer } from "node:http"
import { HttpLayerRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { RpcSerialization, RpcServer } from "@effect/rpc"
import { Effect, Layer } from "effect"
import { PresenceLive, Unauthorized } from "effect-presence"
import { type Authorize, PresenceHttp } from "effect-presence/http"
import { PresenceRpc } from "effect-presence/rpc"
import { Cursors } from "./cursors.js"

/** Who sends a name may read, and join under it. A real program looks at a token: `Authorize.jwt`. */
const authorize: Authorize.Authorize = ({ request }) => {
  const key = request.headers["x-user"]
  return key === undefined
    ? Effect.fail(new Unauthorized({ status: 401, reason: "who are you?" }))
    : Effect.succeed({ key })
}

const procedures = RpcServer.layerHttpRouter({ group: Cursors, path: "/rpc" }).pipe(
  Layer.provide(PresenceRpc.layer(Cursors)),
  Layer.provide(PresenceRpc.layerAuthorize(authorize)),
  Layer.provide(RpcSerialization.layerNdjson)
)

/** On a port of this machine; 0 is a free one. */
export const server = (port: number) =>
  HttpLayerRouter.serve(Layer.merge(procedures, PresenceHttp.layerRouter({ authorize })), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provide(PresenceLive),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" }))
  )
