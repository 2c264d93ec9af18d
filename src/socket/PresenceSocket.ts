/**
 * Presence over WebSockets, as the clients of Phoenix and Supabase speak them: people use the client they have.
 *
 * | protocol | route | clients |
 * |---|---|---|
 * | `"phoenix"` | `/socket/websocket`, `/socket/longpoll` | `phoenix` (npm) and its ports |
 * | `"supabase"` | `/realtime/v1/websocket`, `/realtime/v1/longpoll` | `@supabase/realtime-js` |
 *
 * Who joins a channel is tracked, with the key that `authorize` grants, as long as they stay; everybody on the topic is
 * sent `presence_state` and `presence_diff`. Other events go to the application (`onMessage`) or else to the topic's
 * other members, on every replica and over every route.
 *
 * - **A client that goes away**, however it does, ends its leases: at once, or after `leaveDelay`.
 * - **A hostile one** costs others nothing: what it may send, keep unread, and how fast, is bounded (`limits`).
 * - **No WebSocket comes through**: `longpoll` beside it serves the fallback of `phoenix` (`longPollFallbackMs`) with the same
 *   rules and limits; only frames of bytes are not sent to such a client, which cannot read them. Polls are answered after
 *   10 seconds, or half of `idleTimeout`. Who ends a poll is gone at once, who stops polling after `idleTimeout`. A session
 *   lives in one process: behind several, polls want stickiness (a cookie, or the client's address), and one that
 *   reaches another process makes its client begin anew.
 * - **The backend is away**: joins are refused and channels fail; clients try again by themselves.
 * - **Refused at connect**: a browser does not tell its page why an upgrade failed. So when `authorize` refuses one, with
 *   a bad or expired token say, the socket opens all the same: each join is answered with the error `{ reason }`, and
 *   after 2 seconds it is closed with 4401 or 4403 (4000 and the status of `Unauthorized`) and the reason, cut to 123
 *   bytes. Clients then connect anew, with fresh parameters. It joins nothing, sends 100 messages a second of 64 KiB at
 *   the most, and a route holds 1,000 of them; who is refused beyond gets the bare status. A foreign origin is 403 and
 *   no socket, and so is a `vsn` that is not spoken here.
 * - **An upgrade that is none**: every upgraded request that the router serves, to whatever route, also a program's own,
 *   has an error listener on its socket, and is destroyed a second after an answer that is no WebSocket: no client's reset
 *   ends the process, none that stays half-open holds a descriptor. A middleware of your own that waits comes after these
 *   routes, or the server has the listener: `server.on("connection", (socket) => socket.on("error", () => {}))`.
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
import { Duration, Effect, FiberSet, Layer, Option, Runtime } from "effect"
import { Channels } from "../Channels.js"
import { readDuration, TIMER_OR_NONE } from "../internal/input/options.js"
import { holdOf } from "../internal/leases/holding.js"
import { heard } from "../internal/tracing.js"
import type { Json } from "../Json.js"
import { Presence } from "../Presence.js"
import type { Authorize } from "../web/Authorize.js"
import * as AtOnce from "../web/atOnce.js"
import { openDoor } from "../web/doors.js"
import { hasEnded } from "../web/Grant.js"
import * as origins from "../web/origins.js"
import { patient } from "../web/patience.js"
import { sparingly } from "../web/sparingly.js"
import { guardRouter, keep, wantsUpgrade } from "../web/upgrades.js"
import { Admission, type Caller, query } from "./admission.js"
import { type Peer, SocketConnection, type SocketHost } from "./connection/connection.js"
import { FairTurns } from "./connection/fairTurns.js"
import type { Draining, Transport } from "./connection/flowControl.js"
import { OpenSockets } from "./connection/openSockets.js"
import { makeUpgrade } from "./connection/upgrade.js"
import { decode, type Limits } from "./Limits.js"
import * as LongPoll from "./longpoll/longPoll.js"
import { makeOutlasting } from "./outlasting.js"
import type { Channel } from "./protocol/sessionStep.js"
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
 * What a client may do.
 *
 * @since 0.1.0
 */
export type { Limits } from "./Limits.js"

/**
 * What the route is told; only `authorize` must be.
 *
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
  /**
   * How long `authorize` may take before who asks is refused, with a sentence, and it is interrupted. Default 30 seconds.
   *
   * @since 0.2.0
   */
  readonly authorizeTimeout?: Duration.DurationInput | undefined
  /** The application's own events. `Option.none()`: not one of them, so it goes to the topic's other members. */
  readonly onMessage?: ((message: Message) => Effect.Effect<Option.Option<Reply>, never, R2>) | undefined
  /**
   * The origins whose pages may connect, each whole: `https://example.com`, `capacitor://localhost`, or all
   * subdomains, `https://*.example.com`; an entry that can match nothing is a defect. Without a list those of this machine, on
   * any port, and, when the server listens beyond loopback, those of the host that a request names.
   */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Changes within this time travel as one diff. Default 50 milliseconds; 0: each by itself. */
  readonly diffInterval?: Duration.DurationInput | undefined
  /**
   * How long one who was tracked stays after the socket has ended, so that a reconnect is no leave. Default 0, which it
   * always is under a key that the server made up for a Supabase client that named none: nobody can come back under it.
   * Whoever's grant has expired is listed that much longer too.
   */
  readonly leaveDelay?: Duration.DurationInput | undefined
  /** What a client may do. */
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
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 4000, host: "127.0.0.1" })),
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
      const isTraced = Option.isSome(yield* heard)
      const isAllowed = yield* origins.make(options.allowedOrigins)
      const authorize = patient(options.authorize, options.authorizeTimeout)
      const protocol = options.protocol ?? "phoenix"
      const base = (options.path ?? (protocol === "phoenix" ? "/socket" : "/realtime/v1")).replace(/\/+$/, "")
      const limits = decode(options.limits ?? {})
      const upgrade = makeUpgrade(limits.frameBytes)
      const upgradeRefused = makeUpgrade(Math.min(limits.frameBytes, REFUSED_BYTES))
      const longPoll = new LongPoll.LongPoll(limits)
      const leaveDelay = readDuration("leaveDelay", options.leaveDelay ?? 0, TIMER_OR_NONE)
      const drain = readDuration("drain", options.drain ?? "3 seconds", TIMER_OR_NONE)
      const terms = { ttl: Duration.infinity, leaveDelay }
      // Nobody can come back under a key that was made here.
      const passing = { ttl: Duration.infinity }
      /** Milliseconds since the epoch, for the end of a grant. */
      const date = () => clock.unsafeCurrentTimeMillis()
      const start = clock.unsafeCurrentTimeNanos()
      /** Milliseconds since the start. They never go back, and no clock that is set makes them jump. */
      const now = () => Number(clock.unsafeCurrentTimeNanos() - start) / 1e6

      const runHere = yield* FiberSet.makeRuntime<never, void, never>()

      const shared = {
        rules: { ...limits, protocol, makeKey: () => crypto.randomUUID() },
        turns: new FairTurns(),
        tellDefect: sparingly("a defect ended a socket"),
        firstBytes: Math.min(limits.frameBytes, Math.max(FIRST_BYTES, 4 * presence.limits.metaBytes)),
        date,
        now,
        topics: new Topics({
          protocol,
          flushes: new Flushes(
            readDuration("diffInterval", options.diffInterval ?? "50 millis", TIMER_OR_NONE),
            now,
            runHere,
            sparingly("a defect failed the channels of a topic")
          ),
          follow: followerOf(presence, runHere),
          hear: hearerOf(channels, runHere),
          publish: channels.unsafePublish,
          stopping: () => sockets.stopping
        }),
        hold: holdOf(presence),
        termsOf: ({ madeUp }: Channel) => (madeUp ? passing : terms)
      }

      const sockets: OpenSockets = yield* Effect.acquireRelease(
        Effect.map(
          Effect.runtime<never>(),
          (runtime) =>
            new OpenSockets(
              drain,
              { unsent: limits.unsentTotal, unfinished: limits.unfinishedTotal },
              Runtime.runFork(runtime)
            )
        ),
        (sockets) => sockets.end
      )
      const pulse = Math.max(10, Math.min(1_000, limits.idleTimeout / 4, limits.allowance.unsentFor / 4))
      yield* Effect.sync(() => sockets.tick(pulse, now(), performance.now())).pipe(
        Effect.delay(pulse),
        Effect.forever,
        Effect.interruptible,
        Effect.forkScoped
      )

      /** Why somebody may not be the first on a topic. */
      const fullFor = (address: string): string | undefined => {
        if (shared.topics.size >= limits.topics) return `${limits.topics} topics are followed here, no more are`
        if (shared.topics.from(address) < limits.topicsPerAddress) return undefined
        return `${limits.topicsPerAddress} topics were begun from one address, no more are`
      }

      const host: SocketHost<R | R2> = {
        ...shared,
        sockets,
        authorize: ({ request, address, refusal }, topic, payload) => {
          if (refusal !== undefined) return refusedFor(refusal)
          const permission = AtOnce.match(
            authorize({ route: "socket", on: "join", request, topic, payload: payload as JsonObject }),
            (grant) => {
              // Whoever was let in with it would be put out at once, and join again at once, for ever.
              if (hasEnded(grant, date())) return refusedFor("unauthorized")
              const full = shared.topics.has(topic) ? undefined : fullFor(address)
              return full === undefined ? { _tag: "Granted" as const, ...grant } : refusedFor(full)
            },
            ({ reason }) => refusedFor(reason)
          )
          return isTraced ? joinSpan(topic)(AtOnce.toEffect(permission)) : permission
        },
        onMessage:
          options.onMessage &&
          (({ request }, { channel, event, payload }) =>
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
      }

      const outlasting = yield* makeOutlasting
      const admission = new Admission({ isAllowed, authorize, sockets, limits })

      type Run = Peer<R | R2>["run"]

      /** A socket from its first byte on, over whatever carries it. With a refusal it is there to say why. */
      const converse = (run: Run, transport: Transport, raw: Draining, caller: Caller): void => {
        const { request, address, version, refusal } = caller
        const own = refusal === undefined ? limits : { ...limits, rate: REFUSED_RATE }
        const peer = { request, address, refusal: refusal?.reason, run }
        const socket = new SocketConnection(transport, raw, own, version, host, peer)
        if (refusal === undefined) return
        admission.refused++
        runHere(
          Effect.sleep(REFUSED_FOR).pipe(
            Effect.zipRight(
              Effect.sync(() => {
                admission.refused--
                socket.close(4_000 + refusal.status, refusal.reason)
              })
            )
          )
        )
      }

      /** What runs a socket's effects beyond the end of the request that it began with. */
      const runBeyond: Effect.Effect<Run, never, R | R2> = Effect.map(Effect.runtime<R | R2>(), (runtime) =>
        Runtime.runFork(outlasting(runtime))
      )

      /** From here on the request is a socket. A text says why not. */
      const upgraded = (run: Run, incoming: IncomingMessage, head: Buffer, caller: Caller): string | undefined => {
        const ws = (caller.refusal === undefined ? upgrade : upgradeRefused)(incoming, head)
        if (typeof ws === "string") return ws
        converse(run, ws, incoming.socket, caller)
        return undefined
      }

      /** The first of many requests: what carries the socket lives on behind it. */
      const polled = (caller: Caller) =>
        Effect.map(runBeyond, (run) => {
          const begun = longPoll.begin()
          if (begun === undefined) {
            return LongPoll.refuse(503, `${limits.longPolls} clients are here by long polling, no more are let in`)
          }
          converse(run, begun.polls, begun.polls, caller)
          return begun.response
        })

      yield* router.add("*", `${base}/websocket` as HttpLayerRouter.PathInput, (request) => {
        const incoming = request.source
        if (request.method !== "GET" && request.method !== "HEAD") {
          return Effect.succeed(refuse(405, `the method ${request.method} is not allowed, only GET`, { allow: "GET" }))
        }
        if (request.method === "HEAD" || !(incoming instanceof IncomingMessage) || !wantsUpgrade(incoming)) {
          return Effect.succeed(
            refuse(426, "here is a WebSocket", { connection: "upgrade, close", upgrade: "websocket" })
          )
        }
        return AtOnce.suspend(() =>
          admission.answer(request, refuse, (caller) =>
            Effect.map(runBeyond, (run) => {
              // What came right behind the request does not reach a route. No client sends anything before it is answered.
              const why = upgraded(run, incoming, Buffer.alloc(0), caller)
              if (why !== undefined) return refuse(400, why)
              keep(request, incoming.socket)
              return HttpServerResponse.empty()
            })
          )
        )
      })
      yield* router.add("*", `${base}/longpoll` as HttpLayerRouter.PathInput, (request) => {
        const incoming = request.source
        const { origin } = request.headers
        if (!isAllowed(request)) return Effect.succeed(LongPoll.refuse(403, origins.whyNot(request)))
        if (!(incoming instanceof IncomingMessage)) {
          return Effect.succeed(LongPoll.refuse(500, "long polling needs the server of Node"))
        }
        const served =
          request.method === "OPTIONS"
            ? Effect.succeed(LongPoll.preflight(request))
            : longPoll.serve(
                request,
                incoming,
                query(request.url).token,
                AtOnce.suspend(() => admission.answer(request, LongPoll.refuse, polled))
              )
        return Effect.map(
          served,
          HttpServerResponse.setHeaders(
            origin === undefined ? { vary: "origin" } : { vary: "origin", "access-control-allow-origin": origin }
          )
        )
      })
      yield* guardRouter(router)

      // Where there are doors, what is asked needs nothing that a request would bring.
      const free = (answer: AtOnce.AtOnce<void, R | R2>) => answer as AtOnce.AtOnce<void>
      const fork = Runtime.runFork(outlasting(yield* Effect.runtime<never>()))
      const run: Run = <A>(effect: Effect.Effect<A, never, R | R2>) => fork(effect as Effect.Effect<A>)
      yield* openDoor(`${base}/websocket`, runHere, (request, head, deny) =>
        free(
          admission.answer(request, deny, (caller) => {
            const why = upgraded(run, request.source, head, caller)
            if (why !== undefined) deny(400, why)
          })
        )
      )
    })
  )

/** Of a message of who has joined nothing, where metas may not be longer: reading more of them than of others is for nobody. */
const FIRST_BYTES = 131_072

/** How long a socket stays that was refused: joins that come meanwhile are told why. */
const REFUSED_FOR = Duration.seconds(2)

/** What it may send meanwhile. */
const REFUSED_BYTES = 65_536
const REFUSED_RATE = { perSecond: 100, burst: 100 }

/** What a join waits for, and whether it was let in. */
const joinSpan =
  (topic: string) =>
  <A extends { readonly _tag: string }, R>(asked: Effect.Effect<A, never, R>): Effect.Effect<A, never, R> =>
    asked.pipe(
      Effect.tap(({ _tag }) => Effect.annotateCurrentSpan("presence.granted", _tag === "Granted")),
      Effect.withSpan("presence.join", { kind: "server", attributes: { "presence.topic": topic }, root: true })
    )

type JsonObject = { readonly [name: string]: Json }

const refusedFor = (reason: string) => ({ _tag: "Refused" as const, reason })

const refuse = (status: number, error: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.unsafeJson({ error }, { status, headers: { "x-content-type-options": "nosniff", ...headers } })
