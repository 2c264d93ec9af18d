/**
 * Presence over HTTP: routes that list a topic, count it, and follow it as server-sent events.
 *
 * | route | answer |
 * |---|---|
 * | `GET {path}/:topic` | `[{"key","metas"}]` |
 * | `GET {path}/:topic/count` | `{"keys","connections"}` |
 * | `GET {path}/:topic/events` | `text/event-stream`: a `snapshot`, then a `diff` for what changes |
 *
 * Who follows with `?key=alice` (and `&meta=<JSON>`) asks to join: when `authorize` grants a key, that key is tracked for
 * as long as the response is open. A `Last-Event-ID` resumes where the client stands while the diffs are at hand.
 *
 * The topic is one path segment, percent-decoded once; or a parameter, for topics with `/` behind a proxy that decodes
 * `%2F`: `GET {path}?topic=a%2Fb`, `{path}/count?topic=a%2Fb`, `{path}/events?topic=a%2Fb`. Both at once are refused with
 * 400. Without the parameter `{path}/count` is the list of the topic `count`.
 *
 * What is refused is answered `{"error"}` with 400 (encoding,
 * topic, key, meta), 401 or 403 (`authorize`, a foreign `Origin`, or by `Sec-Fetch-Site` a page of another site that sends none),
 * 404, 405, 429 (too many connections) or 503 (the backend is away, or `authorize` dies or gives no answer). Pages of other origins are told by CORS headers what they may read; those that may not get 403. Those
 * of a list may send credentials (`new EventSource(url, { withCredentials: true })`) and any request header.
 *
 * A client that goes away, or a connection that dies, ends its lease. Since a response shows no sign of life, one that
 * joined is ended after half to three quarters of `idleTimeout` (30 to 45 s), and the client comes back: an `EventSource`
 * by itself, told to by `retry`; whoever reads by `fetch` asks again, with the last `id` as `Last-Event-ID` and the same
 * key, within a quarter of it (15 s). That goes on with the same lease, so nobody hears of it; who does not come back is
 * gone within `idleTimeout`, and the leave delay. At another replica it is a second connection of the key meanwhile.
 *
 * One that does not read holds nothing up and costs no more than others: events are made once for all streams of a topic,
 * what waits for a stream is bounded (`limits.unsentBytes`), and a client that reads nothing of an event stream or a list
 * for `limits.unsentFor` is cut off. More than `limits.streams` open streams are answered 503.
 *
 * A request with an `Upgrade` header is answered and its connection closed; an event stream is refused with 400. Its socket
 * is guarded as `PresenceSocket` says, also on a program's own routes.
 *
 * At shutdown every open response ends before the server waits for it.
 *
 * @since 0.1.0
 */
import { IncomingMessage } from "node:http"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Clock, type Duration, Effect, ExecutionStrategy, Exit, FiberSet, Layer, Scope } from "effect"
import { checkNames, readDuration, TIMER_OR_NONE } from "../internal/input/options.js"
import { checkTopic } from "../internal/input/validate.js"
import { Presence } from "../Presence.js"
import { PresenceUnavailable, type TrackError, Unauthorized } from "../PresenceError.js"
import type { Authorize } from "../web/Authorize.js"
import { comesBack, comingBack, EVENT_STREAM } from "../web/comingBack.js"
import { whyEnded } from "../web/Grant.js"
import * as origins from "../web/origins.js"
import { readBase } from "../web/paths.js"
import { patient } from "../web/patience.js"
import { guardRouter, wantsUpgrade } from "../web/upgrades.js"
import { resumeFrom } from "./eventStream.js"
import { EventStreams, type TooManyStreams } from "./eventStreams.js"
import { decode, type Limits } from "./Limits.js"
import { Lists } from "./lists.js"
import { Members } from "./members.js"
import { type Query, query, type Target, target } from "./target.js"

/**
 * What a client may take up.
 *
 * @since 0.2.0
 */
export type { Limits } from "./Limits.js"

/**
 * What the routes are told; only `authorize` must be.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> {
  /** Where the routes stand. Default `/presence`. */
  readonly path?: HttpLayerRouter.PathInput | undefined
  /** Who may read and join. There is no default; `Authorize.allowAll` lets everybody. */
  readonly authorize: Authorize<R>
  /**
   * How long `authorize` may take before who asks is refused, with a sentence, and it is interrupted. Default 30 seconds.
   *
   * @since 0.2.0
   */
  readonly authorizeTimeout?: Duration.DurationInput | undefined
  /**
   * The origins whose pages may use the routes, each whole: `https://example.com`, `capacitor://localhost`, or all
   * subdomains, `https://*.example.com`; an entry that can match nothing is a defect. Without a list those of this
   * machine, on any port, and, when the server listens beyond loopback, those of the host that a request names.
   */
  readonly allowedOrigins?: ReadonlyArray<string> | undefined
  /** Changes within this time travel as one diff. Default 50 milliseconds; 0: each by itself. */
  readonly diffInterval?: Duration.DurationInput | undefined
  /** How long one who was tracked stays after the response has ended. Default 0. */
  readonly leaveDelay?: Duration.DurationInput | undefined
  /** What a client may take up. */
  readonly limits?: Limits | undefined
}

const known: Record<keyof Options, true> = {
  path: true,
  authorize: true,
  authorizeTimeout: true,
  allowedOrigins: true,
  diffInterval: true,
  leaveDelay: true,
  limits: true
}

/**
 * The routes, on the `HttpLayerRouter` of `@effect/platform`.
 *
 * ```ts
 * import { createServer } from "node:http"
 * import { HttpLayerRouter } from "@effect/platform"
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { PresenceLive } from "effect-presence"
 * import { Authorize, PresenceHttp } from "effect-presence/http"
 *
 * const Routes = PresenceHttp.layerRouter({ authorize: Authorize.allowAll })
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
export const layerRouter = <R = never>(
  options: Options<R>
): Layer.Layer<
  never,
  never,
  Presence | HttpLayerRouter.HttpRouter | HttpLayerRouter.Request.From<"Requires", Exclude<R, HttpLayerRouter.Provided>>
> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const presence = yield* Presence
      const router = yield* HttpLayerRouter.HttpRouter
      checkNames("options", options, Object.keys(known))
      const {
        path = "/presence",
        allowedOrigins,
        diffInterval: givenInterval = "50 millis",
        leaveDelay: givenDelay = 0
      } = options
      const isAllowed = yield* origins.make(allowedOrigins)
      const authorize = patient(options.authorize, options.authorizeTimeout)
      const base = readBase(path)
      // Cookies only for pages that somebody has named, not for whatever runs on this machine.
      const credentials: Record<string, string> =
        allowedOrigins === undefined ? {} : { "access-control-allow-credentials": "true" }
      const limits = decode(options.limits)
      const diffInterval = readDuration("diffInterval", givenInterval, TIMER_OR_NONE)
      const leaveDelay = readDuration("leaveDelay", givenDelay, TIMER_OR_NONE)
      const run = yield* FiberSet.makeRuntime<never, void, never>()
      const onTheirWay = { bytes: 0 }
      const lists = new Lists({ ...limits, onTheirWay, headers: HEADERS })
      const members = yield* Effect.acquireRelease(
        Effect.sync(() => new Members({ presence, leaveDelay, idleTimeout: limits.idleTimeout, run })),
        (members) => members.end
      )
      const streams = yield* Effect.acquireRelease(
        Effect.sync(() => new EventStreams({ presence, diffInterval, run, onTheirWay, ...limits })),
        (streams) => streams.end
      )
      yield* Effect.forkScoped(streams.keepingAlive)

      const answer = (request: Request, { topic, view }: Target, payload: Query) =>
        Effect.gen(function* () {
          const unusable = checkTopic(topic, presence.limits)
          if (unusable !== undefined) return refusal(unusable)
          const joins = view === "events" && "key" in payload
          const grant = yield* authorize({
            route: "http",
            on: joins ? "join" : "read",
            request,
            topic,
            payload
          })
          const ended = whyEnded(grant, yield* Clock.currentTimeMillis)
          if (ended !== undefined) return yield* new Unauthorized({ status: 401, reason: ended })
          if (view === "list") {
            const listed = yield* lists.answer(request, topic, presence.list(topic))
            return listed ?? (yield* new PresenceUnavailable({ reason: "more is on its way already than may be" }))
          }
          if (view === "count") return json(yield* presence.count(topic))
          if (request.method === "HEAD") return HttpServerResponse.empty({ status: 200, headers: EVENT_STREAM })
          if (request.source instanceof IncomingMessage && wantsUpgrade(request.source)) {
            return refuse(400, "events are streamed over HTTP: ask for them without an Upgrade header")
          }

          const key = joins ? grant.key : undefined
          const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
          const opened = Effect.gen(function* () {
            const stream = yield* streams.open({
              request,
              topic,
              since: resumeFrom(request.headers["last-event-id"]),
              expires: grant.expires,
              retry: key === undefined ? undefined : members.retry
            })
            // After the snapshot: who joins reads of it in a diff, as everybody else does.
            if (key !== undefined) yield* members.join(stream, topic, key, grant.meta)
            return stream
          })
          const stream = yield* Scope.extend(opened, scope)
          stream.onAbandoned = () => run(Scope.close(scope, Exit.void))
          return HttpServerResponse.stream(stream.body, { headers: EVENT_STREAM })
        }).pipe(
          Effect.catchAll((error) => {
            const refused = refusal(error)
            return Effect.succeed(
              view === "events" && TEMPORARY.has(refused.status) && comesBack(request.headers.accept)
                ? HttpServerResponse.text(comingBack(error.message), { headers: EVENT_STREAM })
                : refused
            )
          })
        )

      const route = (request: Request) => {
        if (request.method === "OPTIONS") return Effect.succeed(preflight(request))
        const payload = query(request.url)
        if (typeof payload === "string") return Effect.succeed(refuse(400, payload))
        const asked = target(base, request.url, payload.topic)
        if (asked === "unknown") return Effect.succeed(refuse(404, "there is nothing here"))
        if (asked === "malformed") return Effect.succeed(malformed)
        if (asked === "twice") return Effect.succeed(refuse(400, "the path and the parameter topic both name a topic"))
        if (request.method !== "GET" && request.method !== "HEAD") {
          return Effect.succeed(refuse(405, `${request.method} is not allowed, only ${METHODS}`, { allow: METHODS }))
        }
        return answer(request, asked, payload)
      }

      const forOrigins = <R>(request: Request, answered: Effect.Effect<Response, never, R>) => {
        const { origin } = request.headers
        const vary = varyOf(request)
        if (!isAllowed(request)) return Effect.succeed(refuse(403, origins.whyNot(request), vary))
        if (origin === undefined) return Effect.map(answered, HttpServerResponse.setHeaders(vary))
        const headers = { ...vary, ...credentials, "access-control-allow-origin": origin }
        return Effect.map(answered, HttpServerResponse.setHeaders(headers))
      }

      const served = (request: Request) => forOrigins(request, route(request))
      if (base !== "") yield* router.add("*", base as HttpLayerRouter.PathInput, served)
      yield* router.add("*", `${base}/*` as HttpLayerRouter.PathInput, served)
      yield* guardRouter(router)
      // The router finds no route for a bad encoding, so that one is answered before it looks.
      yield* router.addGlobalMiddleware((app) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          target(base, request.url) === "malformed" ? forOrigins(request, Effect.succeed(malformed)) : app
        )
      )
    })
  )

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const METHODS = "GET, HEAD, OPTIONS"

/** What the headers that are set for origins depend on. */
const varyOf = (request: Request) => ({
  vary: request.method === "OPTIONS" ? "origin, access-control-request-headers" : "origin"
})

const HEADERS = { "cache-control": "no-cache", "x-content-type-options": "nosniff" }

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  HttpServerResponse.unsafeJson(body, { status, headers: { ...HEADERS, ...headers } })

const refuse = (status: number, error: string, headers?: Record<string, string>): Response =>
  json({ error }, status, headers)

const malformed = refuse(400, "the topic is not percent-encoded UTF-8")

/** Grants the request headers that are asked for: who may not come at all has been told so. */
const preflight = ({ headers }: Request): Response =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      allow: METHODS,
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "authorization, last-event-id",
      "access-control-max-age": "7200"
    }
  })

const TEMPORARY: ReadonlySet<number> = new Set([429, 503])

const refusal = (error: TrackError | Unauthorized | TooManyStreams): Response => {
  switch (error._tag) {
    case "Unauthorized":
      return refuse(error.status, error.reason, error.status === 401 ? { "www-authenticate": "Bearer" } : {})
    case "PresenceUnavailable":
    case "TooManyStreams":
      return refuse(503, error.message)
    case "LimitExceeded": {
      if (error.limit === "metaTotal") return refuse(503, error.message)
      const crowded = error.limit === "connectionsPerKey" || error.limit === "keysPerTopic"
      return refuse(crowded ? 429 : 400, error.message)
    }
    default:
      return refuse(400, error.message)
  }
}
