/**
 * A subscription as a list of what was heard so far.
 *
 * To know that nothing more was told, a marker is tracked and released: what comes before its leave is all there was.
 */
import { Effect, type Scope } from "effect"
import {
  type Lagged,
  Presence,
  type PresenceEvent,
  type PresenceUnavailable,
  type TrackError
} from "../../src/index.js"

/** Keys that begin so are never part of what was heard. */
const MARKER = "~marker~"
let markers = 0

/** Subscribes to a topic. The effect it gives answers the events since it was last asked. */
export const listen = (
  topic: string
): Effect.Effect<
  Effect.Effect<ReadonlyArray<PresenceEvent>, Lagged | TrackError>,
  PresenceUnavailable,
  Presence | Scope.Scope
> =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const subscription = yield* presence.subscribe(topic)
    const marker = `${MARKER}${markers++}`
    return Effect.gen(function* () {
      yield* Effect.scoped(presence.track(topic, marker))
      const heard: Array<PresenceEvent> = []
      for (;;) {
        for (const event of yield* subscription.take) {
          if (!event.key.startsWith(MARKER)) heard.push(event)
          else if (event.key === marker && event.type === "leave") return heard
        }
      }
    })
  })

export const join = (key: string, meta: unknown = {}) => ({ type: "join", key, meta })
export const leave = (key: string) => ({ type: "leave", key })
export const update = (key: string, meta: unknown) => ({ type: "update", key, meta })
