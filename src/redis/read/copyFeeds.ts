/**
 * Following over several replicas: the models of the topics that somebody here wants to see, and who is told of them.
 */
import { Effect, Schedule, type Scope } from "effect"
import { eventOf, type Step } from "../../internal/feed/delta.js"
import { type Follow, Follows, type Position } from "../../internal/feed/feed.js"
import type { Snapshot } from "../../PresenceChange.js"
import type { PresenceUnavailable } from "../../PresenceError.js"
import type { Port } from "../client/port.js"
import { within } from "../client/within.js"
import * as metrics from "../metrics.js"
import type { RedisSettings } from "../options.js"
import type { Membership } from "../write/membership.js"
import { type Followed, Followers } from "./copies.js"
import type { Model } from "./topicCopy.js"

/** How long the message of our own write is waited for, in ms. It is read anew long before. */
const REACHED = 2_000

export interface FollowingOptions {
  readonly port: Port
  readonly membership: Membership
  readonly redis: RedisSettings
  readonly bufferSize: number
  readonly isUsable: (topic: string) => boolean
  readonly snapshotOf: (topic: string, model: Model | undefined) => Snapshot
  /** Mirrors an event to the topic's channel. */
  readonly mirror: (topic: string, text: () => string) => void
}

export interface Following {
  readonly followers: Followers
  /** Follows a topic until the scope closes, once it can be read. */
  readonly hold: (topic: string) => Effect.Effect<Followed, PresenceUnavailable, Scope.Scope>
  /** The same, but goes on without Redis: then it can be read when Redis is back. */
  readonly keep: (topic: string) => Effect.Effect<void, never, Scope.Scope>
  /** Waits until what was written from here is seen here, if the topic is followed; 2 s at the most, or less. */
  readonly reached: (topic: string, ms?: number) => Effect.Effect<void>
  readonly follow: Follow<PresenceUnavailable>
  /** Looks now what was missed. */
  readonly look: (reason: string, partition?: number) => void
  readonly isClosed: () => boolean
  readonly close: () => void
}

export const makeFollowing = ({
  port,
  membership,
  redis,
  bufferSize,
  isUsable,
  snapshotOf,
  mirror
}: FollowingOptions): Effect.Effect<Following, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const start = clock.unsafeCurrentTimeNanos()
    let closed = false

    const follows: Follows<void> = new Follows(bufferSize, {
      step: (f) => Effect.sync(f),
      open: () => {},
      close: () => {}
    })

    const onStep = (step: Step): void => {
      for (const change of step.changes) {
        if (change.type !== "leave" || change.last) mirror(step.topic, () => JSON.stringify(eventOf(change)))
      }
      follows.offer(step)
    }

    const followers = new Followers({
      port,
      partitions: membership.partitions.map(({ keys }) => keys),
      hold: redis.lease + redis.heartbeat,
      now: () => Number(clock.unsafeCurrentTimeNanos() - start) / 1e6,
      onStep,
      onEmpty: (partition) => membership.partitions[partition]?.beat(),
      onResync: (reason) => metrics.add(metrics.resyncsBy(reason), 1),
      onFailure: membership.onFailure
    })

    /** Waits until something holds of a followed topic. Whether it does. */
    const until = (followed: Followed, ms: number, condition: () => boolean): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        if (condition()) return Effect.succeed(true)
        return within<void>(ms, (done) => {
          let stop = (): void => {}
          const look = (): void => {
            if (condition() || closed) done()
            else stop = followers.changed(followed, look)
          }
          look()
          return () => stop()
        }).pipe(Effect.map(condition))
      })

    const begin = (topic: string): Effect.Effect<Followed> =>
      Effect.sync(() => {
        membership.of(topic).use()
        return followers.hold(topic)
      })

    const end = (followed: Followed): Effect.Effect<void> => Effect.sync(() => followers.release(followed))

    const live = (followed: Followed): Effect.Effect<boolean> =>
      until(followed, redis.timeout, () => followed.model.isLive)

    const hold: Following["hold"] = (topic) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.tap(begin(topic), (followed) =>
          restore(live(followed)).pipe(
            Effect.filterOrFail(
              (isLive) => isLive || closed,
              () => membership.unavailable(`following ${JSON.stringify(topic)}`)
            ),
            Effect.onError(() => end(followed)),
            Effect.zipRight(Effect.addFinalizer(() => end(followed)))
          )
        )
      )

    const keep: Following["keep"] = (topic) =>
      Effect.acquireRelease(begin(topic), (followed) => end(followed)).pipe(Effect.flatMap(live), Effect.asVoid)

    const reached = (topic: string, ms = REACHED): Effect.Effect<void> =>
      Effect.suspend(() => {
        const followed = followers.live(topic)
        return followed === undefined || followed.hasReached
          ? Effect.void
          : Effect.asVoid(until(followed, ms, () => followed.hasReached))
      })

    /** An unusable topic is never offered anything, so all of them are one, the empty name. */
    const follow: Follow<PresenceUnavailable> = (topic, pick) =>
      Effect.gen(function* () {
        const model = isUsable(topic) && !closed ? (yield* hold(topic)).model : undefined
        const subscription = yield* follows.hubs.subscribe(model === undefined ? "" : topic, pick)
        return {
          subscription,
          snapshot: Effect.sync(() => {
            subscription.skip()
            return snapshotOf(topic, model)
          }),
          since: ({ epoch, version }: Position) =>
            Effect.sync(() => {
              if (model === undefined || epoch !== model.epoch) return undefined
              const steps = version === model.standing.version ? [] : follows.since(topic, version)
              // The numbers of another epoch mean nothing in this one.
              if (steps === undefined || steps.some((step) => step.epoch !== epoch)) return undefined
              subscription.skip()
              return steps
            })
        }
      })

    yield* Effect.promise(() => followers.patrol()).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("looking for what was missed failed, and runs again", cause)),
      Effect.schedule(Schedule.spaced("1 second")),
      Effect.annotateLogs({ package: "effect-presence", fiber: "digest" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      followers,
      hold,
      keep,
      reached,
      follow,
      look: (reason, partition) => {
        followers.digest(reason, partition).catch((cause) => membership.onFailure("comparing versions", cause))
      },
      isClosed: () => closed,
      close: () => {
        closed = true
        follows.hubs.close()
        followers.close()
      }
    }
  })
