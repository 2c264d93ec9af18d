/**
 * Whether a topic can be used at all. Reads never say so, to them an unusable topic is an empty one; who answers a
 * client over a wire has to.
 */
import { Effect, Exit, Scope } from "effect"
import type { Presence } from "../Presence.js"
import type { InvalidTopic, LimitExceeded, PresenceUnavailable } from "../PresenceError.js"

const closed = Effect.runSync(Effect.tap(Scope.make(), (scope) => Scope.close(scope, Exit.void)))

/** Asks who knows the limits: `track` in a closed scope checks and does nothing else. */
export const checkTopic = (
  presence: Pick<Presence.Service, "track">,
  topic: string
): Effect.Effect<void, InvalidTopic | LimitExceeded | PresenceUnavailable> =>
  presence.track(topic, "anybody").pipe(
    Effect.provideService(Scope.Scope, closed),
    Effect.catchTag("LimitExceeded", (error) => (error.limit === "topicBytes" ? Effect.fail(error) : Effect.void)),
    Effect.catchTag("InvalidKey", "InvalidMeta", (error) => Effect.die(error)),
    Effect.asVoid
  )
