/**
 * Publish and subscribe by topic, in process.
 *
 * Texts go to whoever subscribes at that moment; nothing is kept for a topic without subscribers. A publisher never
 * waits: a subscriber who is more than `capacity` texts behind loses the oldest and is told how many. When the layer
 * closes, subscribers can take what is left, then their `take` is interrupted and their streams end; publishing
 * afterwards reaches nobody.
 *
 * @since 0.1.0
 */
import { Context, type Effect, Layer, type Scope } from "effect"
import { make } from "./internal/feed/channels.js"
import type { InvalidTopic } from "./PresenceError.js"
import type { Subscription } from "./Subscription.js"

/**
 * The service. `yield* Channels` gives a {@link Channels.Service}.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Channels } from "effect-presence"
 *
 * const program = Effect.gen(function*() {
 *   const channels = yield* Channels
 *   const { take } = yield* channels.subscribe("news")
 *   yield* channels.publish("news", "hello")
 *   return yield* take // ["hello"]
 * }).pipe(Effect.scoped, Effect.provide(Channels.layer()))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class Channels extends Context.Tag("effect-presence/Channels")<Channels, Channels.Service>() {
  /**
   * Channels in this process.
   *
   * @since 0.1.0
   * @category layers
   */
  static layer(options?: Channels.Options): Layer.Layer<Channels> {
    return Layer.scoped(Channels, make(options))
  }
}

/**
 * The types of the service.
 *
 * @since 0.1.0
 */
export declare namespace Channels {
  /**
   * What the channels of a layer may hold.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Options {
    /** Texts that a subscriber may be behind. Default 32, clamped to 1..16384. */
    readonly capacity?: number | undefined
  }

  /**
   * What one subscription asks for.
   *
   * @since 0.1.0
   * @category models
   */
  export interface SubscribeOptions<E = never, R = never> {
    /** Asked before anything is allocated; its error comes back unchanged. */
    readonly authorize?: ((topic: string) => Effect.Effect<unknown, E, R>) | undefined
    /** Texts that this subscriber may be behind. Default that of the layer, clamped to 1..16384. */
    readonly capacity?: number | undefined
  }

  /**
   * Counts of a topic, or of the process.
   *
   * @since 0.1.0
   * @category models
   */
  export interface ChannelStats {
    readonly subscribers: number
    /** Texts published that at least one subscriber got. */
    readonly published: number
    /** Texts published that nobody was there for. */
    readonly dropped: number
    /** Texts that slow subscribers lost. */
    readonly lagged: number
  }

  /**
   * What `stats` gives.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Stats {
    /** The topics that somebody subscribes to. */
    readonly topics: ReadonlyMap<string, ChannelStats>
    /** Everything since the layer was built. */
    readonly total: ChannelStats
  }

  /**
   * The members of the service.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** The number of local subscribers it went to; 0 is fine. Only an empty topic is refused. */
    readonly publish: (topic: string, text: string) => Effect.Effect<number, InvalidTopic>
    /**
     * The same, at once and without an effect. A text that costs something to make may be a function: in one process it
     * is called only when there is somebody to read it; over several replicas always, as others may. An empty topic
     * reaches nobody.
     */
    readonly unsafePublish: (topic: string, text: string | (() => string)) => number
    /** Subscribed once the effect returns: no text after that is missed. */
    readonly subscribe: <E = never, R = never>(
      topic: string,
      options?: SubscribeOptions<E, R>
    ) => Effect.Effect<Subscription<string>, E | InvalidTopic, R | Scope.Scope>
    /** The counts. In process it never suspends: `Effect.runSync` works. */
    readonly stats: Effect.Effect<Stats>
  }
}
