/** A server on a free port of this machine, with both routes. */
import { createServer } from "node:http"
import { HttpLayerRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Channels } from "../../../src/Channels.js"
import { Presence } from "../../../src/Presence.js"
import { Authorize, PresenceSocket } from "../../../src/socket/index.js"

export interface TestServer {
  /** `ws://127.0.0.1:4000` */
  readonly url: string
  readonly presence: Presence.Service
  readonly channels: Channels.Service
  /** Stops it before the test's end. */
  readonly stop: Effect.Effect<void>
}

export type Settings = Partial<PresenceSocket.Options> & {
  readonly presence?: Presence.Options
  /** What the routes see of presence, when it is not to be as it is. */
  readonly change?: (presence: Presence.Service) => Presence.Service
  /** What a program has on the same router. */
  readonly beside?: Layer.Layer<never, never, HttpLayerRouter.HttpRouter>
}

/** Everybody may do everything and changes travel at once, unless a test says otherwise. */
export const makeServer = ({
  presence,
  change,
  beside = Layer.empty,
  ...settings
}: Settings = {}): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const options = { authorize: Authorize.allowAll, diffInterval: 0, drain: 0, ...settings }
    const routes = Layer.mergeAll(
      PresenceSocket.layerRouter(options),
      PresenceSocket.layerRouter({ ...options, protocol: "supabase" }),
      beside
    ).pipe(Layer.provide(Layer.effect(Presence, Effect.map(Presence, change ?? ((presence) => presence)))))
    const context = yield* HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(Presence.layer(presence)),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
      Layer.buildWithScope(scope),
      Effect.orDie
    )
    const { address } = Context.get(context, HttpServer.HttpServer)
    if (address._tag !== "TcpAddress") return yield* Effect.dieMessage("not listening on a port")
    return {
      url: `ws://127.0.0.1:${address.port}`,
      presence: Context.get(context, Presence),
      channels: Context.get(context, Channels),
      stop: Scope.close(scope, Exit.void)
    }
  })
