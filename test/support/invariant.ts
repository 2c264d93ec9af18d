/**
 * What the tests of the invariants stand on.
 */
import { it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Scope } from "effect"
import { type Channels, Presence } from "../../src/index.js"

/** A test over a presence in one process, in a scope of its own. */
export const check = (
  name: string,
  body: () => Effect.Effect<void, unknown, Presence | Channels | Scope.Scope>,
  options?: Presence.Options
) => it.scoped(name, () => Effect.provide(Effect.scoped(Effect.suspend(body)), Presence.layer(options)))

/** Only the tests sweep. */
export const quiet: Presence.Options = { ttl: "3 seconds", sweepInterval: Duration.infinity }

/** A presence over channels of the test's own, closed by the test. */
export const openWith = (channels: Layer.Layer<Channels>, options?: Presence.Options) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      Layer.provideMerge(Presence.layerWithoutChannels(options), channels),
      scope
    )
    return { presence: Context.get(context, Presence), close: Scope.close(scope, Exit.void) }
  })
