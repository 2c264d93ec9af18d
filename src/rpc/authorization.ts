/**
 * `Authorize` as the middleware of the procedures.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Rpc from "@effect/rpc/Rpc"
import { Cause, Clock, Context, Effect, Layer, Option, Schema } from "effect"
import type { Json } from "../Json.js"
import { Unauthorized } from "../PresenceError.js"
import type { Authorize } from "../web/Authorize.js"
import { whyEnded } from "../web/Grant.js"
import { patient } from "../web/patience.js"
import { sparingly } from "../web/sparingly.js"
import { Authorization, Procedure } from "./group.js"

/**
 * Asks an `Authorize`, the one of the other routes or another, for each call: `Join` and `Update` to `join`, the rest to
 * `read`. `payload` is that of the procedure, encoded: `key` and `meta` are what the client asks for. A grant without a key
 * may read, and neither join nor update.
 *
 * A browser cannot send headers with a WebSocket, but with each call: `client.Join(payload, { headers: { authorization } })`,
 * or `RpcClient.withHeaders`.
 *
 * Procedures of your own may have the middleware too, when their payload names a `topic`: they ask to `read` it, and find
 * the grant in `Granted`.
 *
 * One that dies, or takes longer than 30 seconds, refuses this call; the log says why.
 *
 * @since 0.2.0
 * @category authorization
 */
export const layerAuthorize = <R = never>(authorize: Authorize<R>): Layer.Layer<Authorization, never, R> =>
  Layer.effect(
    Authorization,
    Effect.map(Effect.context<R>(), (context) => {
      const ask = patient(authorize)
      const tell = sparingly("what a call asks does not encode, so it was refused")
      return Authorization.of(({ rpc, payload, headers }) =>
        Effect.gen(function* () {
          const asked = yield* encode(rpc, payload).pipe(
            Effect.catchAllDefect((defect) =>
              Effect.zipRight(
                tell(Cause.die(defect)),
                new Unauthorized({ status: 503, reason: "authorization failed" })
              )
            )
          )
          // A procedure without a payload says nothing.
          if (typeof asked?.topic !== "string") {
            return yield* new Unauthorized({ reason: `${rpc._tag} names no topic` })
          }
          const { topic } = asked
          const on = Option.match(Context.getOption(rpc.annotations, Procedure), {
            onNone: () => "read" as const,
            onSome: ({ on }) => on
          })
          const carrier = yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest)
          const request = Option.match(carrier, {
            onNone: () => HttpServerRequest.fromWeb(new Request("http://rpc/")).modify({ headers }),
            // A client sets the headers of its calls, and may not speak for a proxy.
            onSome: (request) => request.modify({ headers: Headers.merge(headers, request.headers) })
          })
          const grant = yield* ask({ route: "rpc", on, request, topic, payload: asked })
          const ended = whyEnded(grant, yield* Clock.currentTimeMillis)
          return ended === undefined ? grant : yield* new Unauthorized({ status: 401, reason: ended })
        }).pipe(Effect.provide(context))
      )
    })
  )

interface Payload {
  readonly [name: string]: Json
}

/** As it came. It was decoded by the same schema. */
const encode = (rpc: Rpc.AnyWithProps, payload: unknown): Effect.Effect<Payload | undefined> =>
  Effect.orDie(Schema.encodeUnknown(rpc.payloadSchema as Schema.Schema<unknown, Payload | undefined>)(payload))
