/**
 * The routes on a server that exists, and as a `fetch`.
 *
 * They are the ones of `effect-presence/http` and `effect-presence/socket`, over a server of their own that never listens:
 * what comes for their paths is handed to it. Whoever serves none does not load this, nor the platform under it.
 */
import type { Server } from "node:http"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, type Scope } from "effect"
import type { Channels } from "../Channels.js"
import * as PresenceHttp from "../http/PresenceHttp.js"
import type { Presence } from "../Presence.js"
import { InvalidOption } from "../PresenceError.js"
import * as PresenceSocket from "../socket/PresenceSocket.js"
import { DoorServer, Doors } from "../web/doors.js"
import { intercept } from "./intercept.js"
import type { readAttach, readFetch } from "./routeOptions.js"

type Services = Context.Context<Presence | Channels>

/** What the sockets' clients add to their path. */
const TRANSPORTS = ["websocket", "longpoll"]

const taken = new WeakSet<Server>()

/** Attached until the scope closes. */
export const attach = (
  services: Services,
  server: Server,
  { paths, http, sockets }: ReturnType<typeof readAttach>
): Effect.Effect<void, InvalidOption, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.acquireRelease(take(server), () => Effect.sync(() => taken.delete(server)))
    // Whether a request is one was for the other to say.
    const inbox = new Inbox({ requireHostHeader: false })
    const owned = [
      ...(paths.http === undefined ? [] : [paths.http]),
      ...[paths.phoenix, paths.supabase].flatMap((path) =>
        path === undefined ? [] : TRANSPORTS.map((name) => `${path}/${name}`)
      )
    ]
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        intercept(server, {
          owns: (path) => owned.some((base) => path === base || path.startsWith(`${base}/`)),
          request: (request, response) => inbox.emit("request", request, response),
          upgrade: (request, socket, head) => inbox.emit("upgrade", request, socket, head)
        })
      ),
      (restore) => Effect.sync(restore)
    )
    const routes = Layer.mergeAll(
      paths.http === undefined ? Layer.empty : PresenceHttp.layerRouter({ ...http, path: paths.http }),
      paths.phoenix === undefined ? Layer.empty : PresenceSocket.layerRouter({ ...sockets, path: paths.phoenix }),
      paths.supabase === undefined
        ? Layer.empty
        : PresenceSocket.layerRouter({ ...sockets, protocol: "supabase", path: paths.supabase })
    )
    yield* HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(Layer.succeedContext(services)),
      Layer.provide(Layer.succeed(Doors, inbox.doors)),
      Layer.provide(inbox.layer(server)),
      Layer.build
    )
  })

const take = (server: Server) =>
  Effect.suspend(() => {
    if (!taken.has(server)) return Effect.sync(() => taken.add(server))
    const allowed = "one that nothing is attached to"
    return Effect.fail(new InvalidOption({ option: "server", value: "attached to already", allowed }))
  })

/** The routes over HTTP as a function, with what ends them. */
export const makeFetch = (services: Services, options: ReturnType<typeof readFetch>) =>
  HttpLayerRouter.toWebHandler(PresenceHttp.layerRouter(options).pipe(Layer.provide(Layer.succeedContext(services))), {
    disableLogger: true
  })

/** A server that is told what came to another. It listens to nothing. */
class Inbox extends DoorServer {
  /** As the platform knows it, with the address of the one that listens, once it does. */
  layer(other: Server): Layer.Layer<HttpServer.HttpServer> {
    return Layer.map(
      NodeHttpServer.layerServer(() => this, {}),
      (context) => {
        const own = Context.get(context, HttpServer.HttpServer)
        const address = { get: () => addressOf(other) }
        return Context.make(HttpServer.HttpServer, Object.create(own, { address }) as HttpServer.HttpServer)
      }
    ).pipe(Layer.orDie)
  }

  override listen(...args: ReadonlyArray<unknown>): this {
    for (const arg of args) if (typeof arg === "function") arg()
    return this
  }

  override address(): string {
    return ""
  }
}

const addressOf = (server: Server): HttpServer.Address => {
  const address = server.address()
  return typeof address === "object" && address !== null
    ? { _tag: "TcpAddress", hostname: address.address, port: address.port }
    : { _tag: "UnixAddress", path: address ?? "" }
}
