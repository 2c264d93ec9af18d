/**
 * How a route follows topics and hears channels: directly where the services are this package's own, and else, where
 * somebody has put a service of theirs in between, by its public members and a fiber.
 */
import { Cause, Effect, type Fiber, FiberId, Stream } from "effect"
import type { Channels } from "../../Channels.js"
import { type FollowDirectly, followOf, type HearDirectly, hearOf } from "../../internal/feed/direct.js"
import type { Presence } from "../../Presence.js"
import { PresenceUnavailable } from "../../PresenceError.js"

/** Texts that may come in one go: what a busy topic hears while the process does something else. */
const BURST = 4_096

/** Runs it until the route's end. */
export type Run = (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>

export const followerOf = (presence: Presence.Service, run: Run): FollowDirectly =>
  followOf(presence) ??
  ((topic, { onChange, onEnd }) =>
    until(
      run,
      Stream.runForEach(presence.changes(topic), (change) => Effect.sync(() => onChange(change))).pipe(
        Effect.zipRight(Effect.sync(() => onEnd(undefined))),
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.void
            : Effect.logDebug("a topic cannot be followed; its clients will join again", cause).pipe(
                Effect.zipRight(Effect.sync(() => onEnd(errorOf(cause))))
              )
        ),
        Effect.annotateLogs({ package: "effect-presence", fiber: "socket topic" })
      )
    ))

const errorOf = (cause: Cause.Cause<PresenceUnavailable>): PresenceUnavailable => {
  const error = Cause.squash(cause)
  return error instanceof PresenceUnavailable
    ? error
    : new PresenceUnavailable({ reason: "the topic cannot be followed", cause: error })
}

export const hearerOf = (channels: Channels.Service, run: Run): HearDirectly =>
  hearOf(channels) ??
  ((topic, onText) =>
    until(
      run,
      Effect.flatMap(Effect.orDie(channels.subscribe(topic, { capacity: BURST })), ({ take }) =>
        take.pipe(
          Effect.flatMap((texts) => Effect.sync(() => texts.forEach(onText))),
          // What was lost is counted by the channels.
          Effect.catchTag("Lagged", () => Effect.void),
          Effect.forever
        )
      ).pipe(Effect.scoped)
    ))

const until = (run: Run, effect: Effect.Effect<void>): (() => void) => {
  const fiber = run(effect)
  return () => fiber.unsafeInterruptAsFork(FiberId.none)
}
