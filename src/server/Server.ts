/**
 * The ready server: the routes of the library, a page to see them at work, health and metrics. Where tokens are checked, who reads
 * or joins needs one; the page itself, health and metrics need none.
 *
 * At shutdown it listens no more, so that whoever comes finds another; the open sockets are told to come back, one after
 * the other within `drain`; open event streams end; with both their leases. Requests under way have a second, then every
 * connection is cut, also one whose request never came whole.
 */
import type { Server as NodeServer } from "node:http"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Console, Duration, Effect, Layer, Option, Redacted } from "effect"
import type { Channels } from "../Channels.js"
import * as PresenceHttp from "../http/PresenceHttp.js"
import { Presence } from "../Presence.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import * as PresenceRedis from "../redis/PresenceRedis.js"
import * as PresenceSocket from "../socket/PresenceSocket.js"
import { allowAll, jwt } from "../web/Authorize.js"
import { DoorServer, Doors } from "../web/doors.js"
import { pathOf } from "../web/paths.js"
import { guard } from "../web/upgrades.js"
import * as metrics from "./metrics.js"
import { makePage } from "./page.js"
import type { Settings } from "./Settings.js"

/** How long requests under way have at shutdown, in milliseconds. */
const GRACE = 1_000

/** A meta of the default limit in a URL is more than the 16 KiB of head that Node takes by default. */
const MAX_HEADER_BYTES = 65_536

/**
 * How long a connection may idle between two requests, in milliseconds. Longer than proxies in front keep it, which would
 * else send a request just as it is closed: what is written in Go 90 s, Caddy 120, Google's load balancers 600, whatever one sets.
 */
const KEPT_ALIVE = 620_000

/** Serves until its scope closes. What it gives is its own HTTP server, which knows the address. */
export const layer = (
  settings: Settings,
  drain: Duration.DurationInput = "3 seconds"
): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError | PresenceUnavailable> => {
  const { allowedOrigins, diffInterval, idleTimeout, leaveDelay } = settings
  const authorize = Option.match(settings.jwt, { onNone: () => allowAll, onSome: jwt })
  const common = { authorize, allowedOrigins, diffInterval, leaveDelay, limits: { idleTimeout } }
  const sockets = { ...common, drain }
  const routes = Layer.mergeAll(
    PresenceHttp.layerRouter(common),
    PresenceSocket.layerRouter({ ...sockets, protocol: "phoenix" }),
    PresenceSocket.layerRouter({ ...sockets, protocol: "supabase" }),
    Layer.scopedDiscard(own)
  )
  return Layer.suspend(() => {
    const server = new DoorServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEPT_ALIVE })
    // Before anything else can happen to it, and whatever it becomes.
    server.on("connection", guard)
    const atTheEnd = (effect: Effect.Effect<void>) => Layer.scopedDiscard(Effect.addFinalizer(() => effect))
    // What is built last ends first.
    return atTheEnd(Effect.sync(() => server.close())).pipe(
      Layer.provideMerge(
        HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
          // Nobody is told of them, and each socket would keep the one of its request.
          HttpMiddleware.withTracerDisabledWhen(() => true)
        )
      ),
      Layer.provide(presence(settings)),
      Layer.provide(Layer.succeed(Doors, server.doors)),
      Layer.provideMerge(atTheEnd(close(server))),
      Layer.provideMerge(NodeHttpServer.layerServer(() => server, { host: settings.host, port: settings.port }))
    )
  })
}

/**
 * Of this process alone, or of all replicas that share a Redis. Whoever may come back late stays beyond the end of this
 * replica, until they are back at another.
 */
const presence = ({ ttl, leaveDelay, redis }: Settings): Layer.Layer<Presence | Channels, PresenceUnavailable> =>
  Option.match(redis, {
    onNone: () => Presence.layer({ ttl }),
    onSome: (url) =>
      PresenceRedis.layer({ url: Redacted.value(url), ttl, handover: Duration.greaterThan(leaveDelay, 0) })
  })

/** What the server has beside the library's routes. */
const own = Effect.gen(function* () {
  const router = yield* HttpLayerRouter.HttpRouter
  const presence = yield* Presence

  const get = (path: HttpLayerRouter.PathInput, answer: Effect.Effect<HttpServerResponse.HttpServerResponse>) =>
    router.add("*", path, ({ method, url }) => {
      // The router takes /METRICS, /metrics/ and /metrics;x for it, too: a proxy that keeps /metrics from outside does not.
      if (pathOf(url) !== path) return Effect.succeed(NOTHING)
      return method === "GET" || method === "HEAD"
        ? answer
        : Effect.succeed(json({ error: `${method} is not allowed, only GET, HEAD` }, 405, { allow: "GET, HEAD" }))
    })

  const page = makePage()
  yield* get("/", Effect.succeed(page.document))
  yield* get(page.client.path, Effect.succeed(page.client.script))
  yield* get(
    "/health",
    Effect.map(presence.health, (health) => json(health, health.status === "unavailable" ? 503 : 200))
  )
  yield* get(
    "/metrics",
    Effect.map(metrics.text, (text) =>
      HttpServerResponse.text(text, { contentType: metrics.CONTENT_TYPE, headers: NOSNIFF })
    )
  )
  yield* router.add("*", "/*", Effect.succeed(NOTHING))
})

const NOSNIFF = { "x-content-type-options": "nosniff" }

const json = (body: unknown, status: number, headers: Record<string, string> = {}) =>
  HttpServerResponse.unsafeJson(body, {
    status,
    headers: { "cache-control": "no-store", ...NOSNIFF, ...headers }
  })

const NOTHING = json({ error: "there is nothing here" }, 404)

/** Lets go of all connections, in a bounded time. Real time, whatever the clock of the program. */
const close = (server: NodeServer): Effect.Effect<void> =>
  Effect.async((resume) => {
    const cut = setTimeout(() => {
      server.closeAllConnections()
      resume(Effect.void)
    }, GRACE)
    // Not for the first time. This closes those that idle, and waits for the others.
    server.close(() => {
      clearTimeout(cut)
      resume(Effect.void)
    })
  })

/** The one line that says it is ready, and where. */
export const announce = ({ refusedHost }: Settings): Effect.Effect<void, never, HttpServer.HttpServer> =>
  HttpServer.addressWith((address) => {
    if (address._tag !== "TcpAddress") return Effect.void
    const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname
    const why = Option.match(refusedHost, {
      onNone: () => "",
      onSome: (refused) =>
        ` (not on ${refused}, as that would let everybody in: set PRESENCE_JWT_SECRET or PRESENCE_JWKS_URL, or PRESENCE_PUBLIC=true to do so)`
    })
    return Console.log(`effect-presence is ready on http://${host}:${address.port}${why}`)
  })
