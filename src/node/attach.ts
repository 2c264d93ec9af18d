/**
 * The routes on a server that exists, and as a `fetch`.
 *
 * They are the ones of `effect-presence/http` and `effect-presence/socket`, over a server of their own that never listens:
 * what comes for their paths is handed to it.
 *
 * @since 0.2.0
 */
import { type IncomingMessage, Server, type ServerResponse } from "node:http"
import type { Server as SecureServer } from "node:https"
import { Server as NetServer, type Socket } from "node:net"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { type Context, Effect, Layer, type Scope } from "effect"
import type { Channels } from "../Channels.js"
import * as PresenceHttp from "../http/PresenceHttp.js"
import { cut } from "../internal/input/names.js"
import { readDuration, TIMER_OR_NONE } from "../internal/input/options.js"
import type { Presence } from "../Presence.js"
import { InvalidOption } from "../PresenceError.js"
import * as PresenceSocket from "../socket/PresenceSocket.js"
import { refusal } from "../web/origins.js"
import { adapt } from "./authorize.js"
import { intercept } from "./intercept.js"
import type { AttachOptions, FetchOptions } from "./NodePresence.js"

type Services = Context.Context<Presence | Channels>
type Path = HttpLayerRouter.PathInput

/** What the sockets' clients add to their path. */
const TRANSPORTS = ["websocket", "longpoll"]

const DEFAULT_PATHS = { http: "/presence", phoenix: "/socket", supabase: "/realtime/v1" }

const taken = new WeakSet<Server | SecureServer>()

/** Attached until the scope closes. Fails with `InvalidOption`. */
export const attach = (
  services: Services,
  server: Server | SecureServer,
  { paths = DEFAULT_PATHS, drain, ...options }: AttachOptions
): Effect.Effect<void, InvalidOption, Scope.Scope> =>
  Effect.gen(function* () {
    const { http, phoenix, supabase } = yield* reading(() => readPaths(paths))
    const common = yield* reading(() => readCommon(options))
    const sockets = {
      ...common,
      drain: yield* reading(() => readDuration("drain", drain ?? "3 seconds", TIMER_OR_NONE))
    }
    if (!(server instanceof NetServer)) {
      return yield* new InvalidOption({
        option: "server",
        value: `a ${typeof server}`,
        allowed: "a server of node:http, as http.createServer(app) and app.listen(port) return it, and not the app"
      })
    }
    yield* Effect.acquireRelease(
      Effect.suspend(() => {
        if (!taken.has(server)) return Effect.sync(() => taken.add(server))
        return Effect.fail(
          new InvalidOption({
            option: "server",
            value: "attached to already",
            allowed: "one that nothing is attached to"
          })
        )
      }),
      () => Effect.sync(() => taken.delete(server))
    )
    const inbox = new Inbox()
    const owned = [
      ...(http === undefined ? [] : [http]),
      ...[phoenix, supabase].flatMap((path) => (path === undefined ? [] : TRANSPORTS.map((name) => `${path}/${name}`)))
    ]
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        intercept(server as Server, {
          owns: (path) => owned.some((base) => path === base || path.startsWith(`${base}/`)),
          request: inbox.request,
          upgrade: inbox.upgrade
        })
      ),
      (restore) => Effect.sync(restore)
    )
    const routes = Layer.mergeAll(
      http === undefined ? Layer.empty : PresenceHttp.layerRouter({ ...common, path: http as Path }),
      phoenix === undefined ? Layer.empty : PresenceSocket.layerRouter({ ...sockets, path: phoenix as Path }),
      supabase === undefined
        ? Layer.empty
        : PresenceSocket.layerRouter({ ...sockets, protocol: "supabase", path: supabase as Path })
    )
    yield* HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(Layer.succeedContext(services)),
      // It listens to nothing, so that cannot fail.
      Layer.provide(Layer.orDie(NodeHttpServer.layerServer(() => inbox, {}))),
      Layer.build
    )
  })

/** The routes over HTTP as a function, until `onClose` is called back. Throws `InvalidOption`. */
export const makeFetch = (
  services: Services,
  { path, ...options }: FetchOptions,
  onClose: (end: () => Promise<void>) => void
): ((request: Request) => Promise<Response>) => {
  const { handler, dispose } = HttpLayerRouter.toWebHandler(
    PresenceHttp.layerRouter({ ...readCommon(options), path: readPath("path", path ?? DEFAULT_PATHS.http) }).pipe(
      Layer.provide(Layer.succeedContext(services))
    ),
    { disableLogger: true }
  )
  let isOver = false
  onClose(() => {
    isOver = true
    return dispose()
  })
  return async (request) => (isOver ? Response.json(STOPPING, { status: 503 }) : handler(request))
}

const STOPPING = { error: "the server is stopping" }

/** A server that is told what came to another. It listens to nothing. */
class Inbox extends Server {
  override listen(...args: ReadonlyArray<unknown>): this {
    for (const arg of args) if (typeof arg === "function") arg()
    return this
  }

  /** Of no consequence: what is asked by which name is decided by the server that listens. */
  override address(): string {
    return "attached"
  }

  readonly request = (request: IncomingMessage, response: ServerResponse): void => {
    if (this.emit("request", request, response)) return
    response.writeHead(503, { "content-type": "application/json", connection: "close" })
    response.end(JSON.stringify(STOPPING))
  }

  readonly upgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    if (this.emit("upgrade", request, socket, head)) return
    socket.end("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    setTimeout(() => socket.destroy(), 1_000).unref()
  }
}

// Options

const readPaths = (paths: NonNullable<AttachOptions["paths"]>): NonNullable<AttachOptions["paths"]> => {
  const read = Object.entries(paths).flatMap(([route, path]) =>
    path === undefined ? [] : [[route, readPath(`paths.${cut(route)}`, path)] as const]
  )
  for (const [i, [route, path]] of read.entries()) {
    const refuse = (allowed: string) =>
      new InvalidOption({ option: `paths.${cut(route)}`, value: JSON.stringify(path), allowed })
    if (!Object.hasOwn(DEFAULT_PATHS, route)) throw refuse("no route at all: there are http, phoenix and supabase")
    if (read.findIndex(([, other]) => other === path) < i) throw refuse("another path than the other routes'")
  }
  if (read.length > 0) return Object.fromEntries(read)
  throw new InvalidOption({ option: "paths", value: "empty", allowed: "at least one of http, phoenix and supabase" })
}

const readPath = (option: string, path: unknown): Path => {
  const plain = typeof path === "string" ? path.replace(/\/+$/, "") : ""
  // The router reads some signs as patterns.
  if (/^(\/[\w.~-]+)+$/.test(plain)) return plain as Path
  const allowed = 'a path below the root, in plain letters, such as "/presence"'
  throw new InvalidOption({ option, value: JSON.stringify(cut(path)), allowed })
}

/** What all routes take. The layers die of options that make no sense; here whoever gave them is told. */
const readCommon = ({
  authorize,
  authorizeTimeout,
  allowedOrigins,
  diffInterval,
  leaveDelay
}: Omit<FetchOptions, "path">) => {
  for (const origin of allowedOrigins ?? []) {
    const wrong = refusal(origin)
    if (wrong === undefined) continue
    const value = `${JSON.stringify(cut(origin))}, which ${wrong}`
    throw new InvalidOption({ option: "allowedOrigins", value, allowed: "whole origins" })
  }
  return {
    authorize: adapt(authorize, authorizeTimeout),
    allowedOrigins,
    diffInterval: readDuration("diffInterval", diffInterval ?? "50 millis", TIMER_OR_NONE),
    leaveDelay: readDuration("leaveDelay", leaveDelay ?? 0, TIMER_OR_NONE)
  }
}

const reading = <A>(read: () => A): Effect.Effect<A, InvalidOption> =>
  Effect.try({
    try: read,
    catch: (error) => {
      if (error instanceof InvalidOption) return error
      throw error
    }
  })
