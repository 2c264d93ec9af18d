/**
 * Presence for tests: the real thing in process, with everything it tells recorded, and assertions on that.
 *
 * All topics are recorded from the beginning, without subscribing to them and without changing what they would do
 * otherwise. It needs no test runner and works with `TestClock` and without it.
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Layer, type Schema } from "effect"
import { Channels } from "../Channels.js"
import { checkObject, readDuration, TIMER_OR_NONE } from "../internal/input/options.js"
import type { Json } from "../Json.js"
import { Presence } from "../Presence.js"
import type { PresenceEvent } from "../PresenceEvent.js"
import { Recorder } from "./recorder.js"
import type { UnmetExpectation } from "./UnmetExpectation.js"

/**
 * Recorded presence. Provide its layer where the application takes `Presence` (and `Channels`), then say what should
 * have been told.
 *
 * An assertion takes the oldest event that matches and that none has taken before; `none` says that nothing is left.
 *
 * ```ts
 * import { Effect, TestClock, TestContext } from "effect"
 * import { Presence } from "effect-presence"
 * import { PresenceTest } from "effect-presence/testing"
 *
 * const test = Effect.gen(function*() {
 *   const presence = yield* Presence
 *   const expected = yield* PresenceTest
 *
 *   yield* presence.track("room:1", "alice", { role: "viewer" })
 *   yield* expected.joined("room:1", "alice", { role: "viewer" })
 *
 *   yield* TestClock.adjust("30 seconds") // nobody refreshed
 *   yield* expected.left("room:1", "alice")
 *   yield* expected.none()
 * }).pipe(Effect.scoped, Effect.provide(PresenceTest.layer()), Effect.provide(TestContext.TestContext))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class PresenceTest extends Context.Tag("effect-presence/testing/PresenceTest")<
  PresenceTest,
  PresenceTest.Service
>() {
  /**
   * Presence and its channels in this process, and the recorder.
   *
   * @since 0.1.0
   * @category layers
   */
  static layer(options: PresenceTest.Options = {}): Layer.Layer<PresenceTest | Presence | Channels> {
    return Layer.suspend(() => {
      checkObject("options", options)
      const { patience = "1 second", ...others } = options
      const recorder = new Recorder(Duration.toMillis(readDuration("patience", patience, TIMER_OR_NONE)))
      const recorded = Presence.layerWithoutChannels(others).pipe(
        Layer.provide(
          Layer.effect(
            Channels,
            Effect.map(Channels, (channels) => recorder.listenTo(channels))
          )
        )
      )
      return Layer.merge(recorded, Layer.succeed(PresenceTest, recorder.service)).pipe(
        Layer.provideMerge(Channels.layer({ capacity: others.capacity }))
      )
    })
  }
}

/**
 * The types of the recorder.
 *
 * @since 0.1.0
 */
export declare namespace PresenceTest {
  /**
   * The options of presence, and how patient assertions are.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Options extends Presence.Options {
    /**
     * Real time that an assertion waits for its event, whatever the `TestClock` says, so that what other fibers or
     * sockets do need not be waited for. Default 1 second; it only passes when the assertion fails.
     */
    readonly patience?: Duration.DurationInput | undefined
  }

  /**
   * An event with its topic.
   *
   * @since 0.1.0
   * @category models
   */
  export type Recorded<A = Json> = PresenceEvent<A> & { readonly topic: string }

  /**
   * The assertions.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** A connection of the key joined. With a meta: with an equal one, as JSON. Without: with any. */
    readonly joined: (topic: string, key: string, meta?: unknown) => Effect.Effect<Recorded, UnmetExpectation>
    /** The key's last connection left. */
    readonly left: (topic: string, key: string) => Effect.Effect<Recorded, UnmetExpectation>
    /** A meta of the key was replaced, by an equal one if it is given. */
    readonly updated: (topic: string, key: string, meta?: unknown) => Effect.Effect<Recorded, UnmetExpectation>
    /** Nothing was told that no assertion took: on the topic, or at all. It lets others run first, but does not wait. */
    readonly none: (topic?: string) => Effect.Effect<void, UnmetExpectation>
    /** Takes everything there is, unseen: what the test only prepares. */
    readonly forget: Effect.Effect<void>
    /** Everything told so far, in order: on the topic, or at all. It takes nothing. */
    readonly recorded: (topic?: string) => Effect.Effect<ReadonlyArray<Recorded>>
    /** These assertions with metas of the schema's type, as {@link Presence.Service.forSchema} has them. */
    readonly forSchema: <A, I>(schema: Schema.Schema<A, I>) => ServiceFor<A>
  }

  /**
   * The assertions with metas of type `A`. What was tracked with a meta that does not decode is no event of theirs: no
   * assertion takes it, and `none` finds it left.
   *
   * @since 0.2.0
   * @category models
   */
  export interface ServiceFor<A> extends Pick<Service, "none" | "forget"> {
    /** A connection of the key joined. With a meta: with one that encodes to the same. Without: with any of the type. */
    readonly joined: (topic: string, key: string, meta?: A) => Effect.Effect<Recorded<A>, UnmetExpectation>
    /** The key's last connection left. */
    readonly left: (topic: string, key: string) => Effect.Effect<Recorded<A>, UnmetExpectation>
    /** A meta of the key was replaced, by one that encodes to the same if it is given, else by any of the type. */
    readonly updated: (topic: string, key: string, meta?: A) => Effect.Effect<Recorded<A>, UnmetExpectation>
    /** Everything told so far whose meta decodes, in order: on the topic, or at all. It takes nothing. */
    readonly recorded: (topic?: string) => Effect.Effect<ReadonlyArray<Recorded<A>>>
  }
}
