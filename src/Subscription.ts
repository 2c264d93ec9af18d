/**
 * The receiving end of a channel or of a topic's events.
 *
 * @since 0.1.0
 */
import type { Effect, Stream } from "effect"
import type { Lagged } from "./PresenceError.js"

/**
 * A subscription that its `Scope` ends. It never slows a publisher or another subscriber: who falls more than the
 * capacity behind loses the oldest, fails once with `Lagged`, and goes on with the oldest kept.
 *
 * When the layer closes, what is left can still be taken; then `take` is interrupted and `stream` ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subscription<A> {
  /** All that waits, at least one: it suspends until there is one. */
  readonly take: Effect.Effect<ReadonlyArray<A>, Lagged>
  /**
   * The same as a stream. After a `Lagged` it can be run again and goes on where it stopped. What waits is one chunk, as of any
   * stream of Effect's, and is taken with its first element: after `Stream.take(1)` the others of the chunk are gone.
   */
  readonly stream: Stream.Stream<A, Lagged>
}
