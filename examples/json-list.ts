/**
 * Who looks at a post, as JSON from a route of your own. (`effect-presence/http` has such routes ready, with a stream.)
 */
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Presence, PresenceLive } from "effect-presence"

const viewers = HttpLayerRouter.add(
  "GET",
  "/posts/:post/viewers",
  Effect.gen(function* () {
    const presence = yield* Presence
    const { post } = yield* HttpLayerRouter.params
    return yield* HttpServerResponse.json(yield* presence.list(`post:${post}`))
  }).pipe(
    Effect.catchTag("PresenceUnavailable", ({ message }) =>
      HttpServerResponse.json({ error: message }, { status: 503 })
    )
  )
)

/** Asks the route, as a browser would, while alice looks at post 42. */
export const program = Effect.gen(function* () {
  const presence = yield* Presence
  yield* presence.track("post:42", "alice", { role: "viewer" })
  const { handler } = yield* Effect.acquireRelease(
    Effect.sync(() =>
      HttpLayerRouter.toWebHandler(Layer.provideMerge(viewers, Layer.succeed(Presence, presence)), {
        disableLogger: true
      })
    ),
    ({ dispose }) => Effect.promise(dispose)
  )
  const response = yield* Effect.promise(() => handler(new Request("http://localhost/posts/42/viewers")))
  return yield* Effect.promise(() => response.json() as Promise<unknown>) // [{ key: "alice", metas: [{ role: "viewer" }] }]
}).pipe(Effect.scoped, Effect.provide(PresenceLive))
