/**
 * Spans, printed as they end: of a request, by the platform, and of what presence does in it. With a tracer of
 * `@effect/opentelemetry` instead of this one they go to a collector. Without any none are made.
 */
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { Effect, Exit, Layer, Option, Tracer } from "effect"
import { Presence, PresenceLive } from "effect-presence"

/** A tracer that tells of each span in a line. */
const printing = (print: (line: string) => void) =>
  Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      return {
        _tag: "Span",
        ...{ name, spanId: name, traceId: "trace", parent, context, links, kind, attributes },
        status: { _tag: "Started", startTime },
        sampled: true,
        attribute: (key, value) => attributes.set(key, value),
        event: () => {},
        addLinks: () => {},
        end: (_, exit) => {
          const of = Option.match(parent, { onNone: () => "", onSome: ({ spanId }) => ` in ${spanId}` })
          print(`${name}${of}${Exit.isSuccess(exit) ? "" : " failed"}`)
        }
      }
    },
    context: (f) => f()
  })

/** Puts somebody out of a room. */
const evict = HttpLayerRouter.add(
  "DELETE",
  "/rooms/:room/:key",
  Effect.gen(function* () {
    const presence = yield* Presence
    const { room = "", key = "" } = yield* HttpLayerRouter.params
    return yield* HttpServerResponse.json({ ended: yield* presence.evict(`room:${room}`, key) })
  }).pipe(Effect.catchTag("PresenceUnavailable", ({ message }) => HttpServerResponse.text(message, { status: 503 })))
)

export const program = Effect.gen(function* () {
  const lines: Array<string> = []
  const presence = yield* Presence
  yield* presence.track("room:1", "alice")
  const routes = Layer.provideMerge(evict, Layer.succeed(Presence, presence)).pipe(
    Layer.provideMerge(Layer.setTracer(printing((line) => lines.push(line))))
  )
  const { handler } = yield* Effect.acquireRelease(
    Effect.sync(() => HttpLayerRouter.toWebHandler(routes, { disableLogger: true })),
    ({ dispose }) => Effect.promise(dispose)
  )
  yield* Effect.promise(() => handler(new Request("http://localhost/rooms/1/alice", { method: "DELETE" })))
  return lines // ["presence.evict in http.server DELETE", "http.server DELETE"]
}).pipe(Effect.scoped, Effect.provide(PresenceLive))
