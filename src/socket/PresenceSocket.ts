/**
 * Presence over WebSockets, as the clients of Phoenix and Supabase speak them: people use the client they have.
 *
 * | protocol | route | clients |
 * |---|---|---|
 * | `"phoenix"` | `/socket/websocket` | `phoenix` (npm) and its ports |
 * | `"supabase"` | `/realtime/v1/websocket` | `@supabase/realtime-js` |
 *
 * Who joins a channel is tracked, with the key that `authorize` grants, as long as they stay; everybody on the topic is
 * sent `presence_state` and `presence_diff`. Other events go to the application (`onMessage`) or else to the topic's
 * other members, on every replica and over every route.
 *
 * - **A client that goes away**, however it does, ends its leases: at once, or after `leaveDelay`.
 * - **A hostile one** costs others nothing: what it may send, keep unread, and how fast, is bounded (`limits`).
 * - **The backend is away**: joins are refused and channels fail; clients try again by themselves.
 * - **Shutdown**: no socket is let in, those that are open are told to come back (1012) one after the other within
 *   `drain`, and the layer waits for them. Their leases end with them.
 *
 * It stands on `ws`: the platform's own WebSockets can neither be read slowly nor say what is unsent.
 *
 * @since 0.1.0
 */
import { IncomingMessage } from "node:http"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Cause, Duration, Effect, Exit, Fiber, FiberSet, Layer, Option, Runtime, Scope } from "effect"
import { Channels } from "../Channels.js"
import type { Json } from "../Json.js"
import { Presence } from "../Presence.js"
import type { Authorize } from "../web/Authorize.js"
import * as origins from "../web/origins.js"
import { type Order, SocketConnection, type SocketHost } from "./connection/connection.js"
import { FlowControl } from "./connection/flowControl.js"
import { makeUpgrade, type Open, Sockets, wantsUpgrade } from "./connection/upgrade.js"
import { decode, type Limits } from "./Limits.js"
import { parseVersion, type Version } from "./protocol/codec.js"
import { Flushes } from "./topic/flushes.js"
import { followerOf, hearerOf } from "./topic/following.js"
import { Topics } from "./topic/topics.js"

/**
 * A message that a client pushed to a channel it has joined.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message {
  readonly topic: string
  readonly event: string
  /** Bytes when it came in a binary frame. */
  readonly payload: { readonly [name: string]: Json } | Uint8Array
  /** Who may be tracked on the channel: what `authorize` granted. */
  readonly key: string | undefined
  /** The HTTP request that opened the socket. */
  readonly request: HttpServerRequest.HttpServerRequest
}

/**
 * What the application answers to a message. `response` is an object, or bytes for clients of version 2.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reply {
  readonly status: "ok" | "error"
  readonly response: { readonly [name: string]: unknown } | Uint8Array
}

/**
 * @since 0.1.0
 */
export type { Limits } from "./Limits.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never, R2 = never> {
  /** Where the route stands; clients add `/websocket`. Default `/socket`, for Supabase `/realtime/v1`. */
  readonly path?: HttpLayerRouter.PathInput | undefined
  /** Who connects here. Default `"phoenix"`; mount the layer twice for both. */
  readonly protocol?: "phoenix" | "supabase" | undefined
  /**
   * Who may connect and join. There is no default; `Authorize.allowAll` lets everybody. The payload of a Supabase join
   * also has the `key` of its config, at the place where a Phoenix client puts it.
   */
  readonly authorize: Authorize<R>
  /** The application's own events. `Option.none()`: not one of them, so it goes to the topic's other members. */
  readonly onMessage?: ((message: Message) => Effect.Effect<Option.Option<Reply>, never, R2>) | undefined
  /**
   * The origins whose pages may connect, each whole: `https://example.com`. Without a list those of this machine, on
   * any port, and, when the server listens beyond loopback, those of the host that a request names.
   */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Changes within this time travel as one diff. Default 50 milliseconds; 0: each by itself. */
  readonly diffInterval?: Duration.DurationInput | undefined
  /** How long one who was tracked stays after the socket has ended, so that a reconnect is no leave. Default 0. */
  readonly leaveDelay?: Duration.DurationInput | undefined
  readonly limits?: Limits | undefined
  /** The time over which open sockets are told to come back when the layer closes. Default 3 seconds. */
  readonly drain?: Duration.DurationInput | undefined
}

/**
 * The route, on the `HttpLayerRouter` of `@effect/platform`, over `NodeHttpServer`.
 *
 * ```ts
 * import { createServer } from "node:http"
 * import { HttpLayerRouter } from "@effect/platform"
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { PresenceLive } from "effect-presence"
 * import { Authorize, PresenceSocket } from "effect-presence/socket"
 *
 * const Routes = Layer.mergeAll(
 *   PresenceSocket.layerRouter({ authorize: Authorize.allowAll }),
 *   PresenceSocket.layerRouter({ protocol: "supabase", authorize: Authorize.allowAll })
 * )
 *
 * HttpLayerRouter.serve(Routes).pipe(
 *   Layer.provide(PresenceLive),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 4000 })),
 *   Layer.launch,
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRouter = <R = never, R2 = never>(
  options: Options<R, R2>
): Layer.Layer<
  never,
  never,
  | Presence
  | Channels
  | HttpLayerRouter.HttpRouter
  | HttpLayerRouter.Request.From<"Requires", Exclude<R | R2, HttpLayerRouter.Provided>>
> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      const router = yield* HttpLayerRouter.HttpRouter
      const clock = yield* Effect.clock
      const isAllowed = yield* origins.make(options.allowedOrigins)
      const protocol = options.protocol ?? "phoenix"
      const base = (options.path ?? (protocol === "phoenix" ? "/socket" : "/realtime/v1")).replace(/\/+$/, "")
      const limits = decode(options.limits ?? {})
      const upgrade = makeUpgrade(limits.frameBytes)
      const leaveDelay = Duration.decode(options.leaveDelay ?? 0)
      const terms = { ttl: Duration.infinity, leaveDelay }
      const now = () => clock.unsafeCurrentTimeMillis()

      const run = yield* FiberSet.makeRuntime<never, void, never>()

      const shared = {
        rules: { ...limits, protocol, makeKey: () => crypto.randomUUID() },
        load: { busy: 0 },
        now,
        topics: new Topics({
          protocol,
          flushes: new Flushes(Duration.decode(options.diffInterval ?? "50 millis"), now, run),
          follow: followerOf(presence, run),
          hear: hearerOf(channels, run),
          publish: channels.publish,
          stopping: () => sockets.stopping
        }),
        track: (topic: string, key: string, meta: unknown) => presence.track(topic, key, meta, terms)
      }

      const sockets: Sockets = yield* Effect.acquireRelease(
        Effect.map(
          Effect.runtime<never>(),
          (runtime) => new Sockets(Duration.decode(options.drain ?? "3 seconds"), Runtime.runFork(runtime))
        ),
        (sockets) => sockets.end
      )
      yield* Effect.sync(() => sockets.tick()).pipe(
        Effect.delay(Math.max(10, Math.min(1_000, limits.idleTimeout / 4, limits.allowance.unsentFor / 4))),
        Effect.forever,
        Effect.interruptible,
        Effect.forkScoped
      )

      const hostOf = (request: Request): SocketHost<R | R2> => ({
        ...shared,
        authorize: (topic, payload) =>
          options.authorize({ on: "join", request, topic, payload: payload as JsonObject }).pipe(
            Effect.map((grant) => ({ _tag: "Granted" as const, ...grant })),
            Effect.catchAll(({ reason }) => Effect.succeed({ _tag: "Refused" as const, reason }))
          ),
        onMessage:
          options.onMessage &&
          (({ channel, event, payload }) =>
            Effect.map(
              options.onMessage?.({
                topic: channel.topic,
                event,
                payload: payload as JsonObject | Uint8Array,
                key: channel.key,
                request
              }) ?? Effect.succeedNone,
              Option.getOrUndefined
            ))
      })

      /** From here on the request is a socket. The route's effect lives as long as it does. */
      const serve = (request: Request, incoming: IncomingMessage, version: Version) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            // Asked again: authorize may have taken its time.
            if (sockets.stopping) return stopping
            const ws = upgrade(incoming)
            if (typeof ws === "string") return refuse(400, ws)
            const flow: FlowControl<Order> = new FlowControl(ws, incoming.socket, limits, now, () =>
              connection.catchUp()
            )
            const connection: SocketConnection<R | R2> = new SocketConnection(flow, version, scope, hostOf(request))
            const socket: Open = {
              close: (code, reason) => flow.close(code, reason),
              tick: () => {
                flow.tick()
                connection.expire()
              }
            }
            sockets.add(socket)
            const worker = yield* restore(connection.work).pipe(
              Effect.catchAllCause((cause) =>
                Cause.isInterruptedOnly(cause)
                  ? Effect.void
                  : Effect.logError("a defect ended a socket", cause).pipe(
                      Effect.zipRight(Effect.sync(() => flow.close(1011, "internal error")))
                    )
              ),
              Effect.annotateLogs({ package: "effect-presence", fiber: "socket" }),
              Effect.fork
            )
            yield* Effect.exit(restore(flow.ending.await))
            // Interrupted, though the client is still there: the server stops.
            if (!flow.isEnding && !incoming.socket.destroyed) sockets.stop()
            yield* flow.ending.await
            yield* Fiber.interrupt(worker)
            connection.leave()
            yield* Scope.close(scope, Exit.void)
            yield* flow.closed.await
            sockets.delete(socket)
            return HttpServerResponse.empty()
          })
        )

      const answer = (request: Request, incoming: IncomingMessage) =>
        Effect.suspend(() => {
          const payload = query(request.url)
          const version = parseVersion(payload.vsn)
          if (sockets.stopping) return Effect.succeed(stopping)
          if (!isAllowed(request)) {
            return Effect.succeed(refuse(403, `the origin ${request.headers.origin} is not allowed`))
          }
          if (version === undefined) return Effect.succeed(refuse(403, "vsn must be 1.0.0 or 2.x"))
          return options.authorize({ on: "connect", request, topic: undefined, payload }).pipe(
            Effect.flatMap(() => serve(request, incoming, version)),
            Effect.catchTag("Unauthorized", ({ status, reason }) => Effect.succeed(refuse(status, reason)))
          )
        })

      yield* router.add("GET", `${base}/websocket` as HttpLayerRouter.PathInput, (request) => {
        const incoming = request.source
        if (!(incoming instanceof IncomingMessage) || !wantsUpgrade(incoming)) {
          return Effect.succeed(refuse(426, "here is a WebSocket", { connection: "upgrade", upgrade: "websocket" }))
        }
        // A client that was refused and does not hang up would be waited for at shutdown.
        const hangUp = Effect.sync(() => setTimeout(() => incoming.socket.destroy(), LAST_READ).unref())
        return Effect.onExit(answer(request, incoming), (exit) =>
          Exit.isSuccess(exit) && exit.value.status < 400 ? Effect.void : hangUp
        )
      })
    })
  )

type Request = HttpServerRequest.HttpServerRequest
type JsonObject = { readonly [name: string]: Json }

/** Milliseconds that a client may take to read why it was refused. */
const LAST_READ = 1_000

const refuse = (status: number, error: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.unsafeJson({ error }, { status, headers })

const stopping = refuse(503, "the server is stopping")

/** The parameters of the URL. Of two with one name the last counts. */
const query = (url: string): { readonly [name: string]: string } => {
  const start = url.indexOf("?")
  return start === -1 ? {} : Object.fromEntries(new URLSearchParams(url.slice(start + 1)))
}
