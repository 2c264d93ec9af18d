/**
 * Following over several replicas: the copies of the topics that somebody here wants to see, and who is told of them.
 */
import { Effect, Runtime, Schedule, type Scope } from "effect"
import { type Delta, eventOf } from "../../internal/feed/delta.js"
import type { FollowDirectly } from "../../internal/feed/direct.js"
import { Feeds, type OpenFeed, type Position } from "../../internal/feed/feed.js"
import type { OpenList } from "../../internal/feed/live.js"
import type { Snapshot } from "../../PresenceChange.js"
import type { PresenceUnavailable } from "../../PresenceError.js"
import type { Port } from "../client/port.js"
import { within } from "../client/waiting.js"
import * as metrics from "../metrics.js"
import type { RedisSettings } from "../options.js"
import type { Membership } from "../write/membership.js"
import { Copies, type FollowedTopic } from "./copies.js"
import type { TopicCopy } from "./topicCopy.js"

/** How long the message of our own write is waited for, in ms. It is read anew long before. */
const REACHED = 2_000

export interface CopyFeedsOptions {
  readonly port: Port
  readonly membership: Membership
  readonly redis: RedisSettings
  readonly bufferSize: number
  readonly isUsable: (topic: string) => boolean
  readonly snapshotOf: (topic: string, copy: TopicCopy | undefined) => Snapshot
}

export interface CopyFeeds {
  /** From now on the events of topics are mirrored: a text for each. */
  readonly mirrorTo: (mirror: (topic: string, text: () => string) => void) => void
  readonly copies: Copies
  /** Follows a topic until the scope closes, once it can be read. */
  readonly acquire: (topic: string) => Effect.Effect<FollowedTopic, PresenceUnavailable, Scope.Scope>
  /** The same, but goes on without Redis: then it can be read when Redis is back. */
  readonly acquireLater: (topic: string) => Effect.Effect<void, never, Scope.Scope>
  /** Waits until what was written from here is seen here, if the topic is followed; 2 s at the most, or less. */
  readonly reached: (topic: string, ms?: number) => Effect.Effect<void>
  readonly openFeed: OpenFeed<PresenceUnavailable>
  readonly openList: OpenList<PresenceUnavailable>
  readonly followDirectly: FollowDirectly
  /** Looks now what was missed. */
  readonly look: (reason: string, partition?: number) => void
  /** Forgets what was told over a minute ago. `now` in nanoseconds. */
  readonly age: (now: number) => void
  readonly isClosed: () => boolean
  readonly close: () => void
}

export const makeCopyFeeds = ({
  port,
  membership,
  redis,
  bufferSize,
  isUsable,
  snapshotOf
}: CopyFeedsOptions): Effect.Effect<CopyFeeds, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const run = Runtime.runFork(yield* Effect.runtime())
    const start = clock.unsafeCurrentTimeNanos()
    let closed = false
    let mirror: (topic: string, text: () => string) => void = () => {}

    const feeds: Feeds<void> = new Feeds(bufferSize, {
      step: (f) => Effect.sync(f),
      open: () => {},
      close: () => {}
    })

    const onDelta = (delta: Delta): void => {
      for (const change of delta.changes) {
        if (change.type !== "leave" || change.last) mirror(delta.topic, () => JSON.stringify(eventOf(change)))
      }
      feeds.offer(delta)
    }

    const copies = new Copies({
      port,
      partitions: membership.partitions.map(({ keys }) => keys),
      retention: () => membership.longestLease() + redis.heartbeat,
      leaseTime: (partition) => membership.partitions[partition]?.now ?? 0,
      now: () => Number(clock.unsafeCurrentTimeNanos() - start) / 1e6,
      onDelta,
      onEmpty: (partition) => membership.partitions[partition]?.beat(),
      onResync: (reason) => metrics.add(metrics.resyncsBy(reason), 1),
      onForeign: membership.onForeign,
      onFailure: membership.onFailure
    })

    /** Waits until something holds of a followed topic. Whether it does. */
    const until = (followed: FollowedTopic, ms: number, condition: () => boolean): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        if (condition()) return Effect.succeed(true)
        return within<void>(ms, (done) => {
          let stop = (): void => {}
          const look = (): void => {
            if (condition() || closed) done()
            else stop = copies.changed(followed, look)
          }
          look()
          return () => stop()
        }).pipe(Effect.map(condition))
      })

    const begin = (topic: string): Effect.Effect<FollowedTopic> =>
      Effect.sync(() => {
        membership.of(topic).use()
        return copies.acquire(topic)
      })

    const end = (followed: FollowedTopic): Effect.Effect<void> => Effect.sync(() => copies.release(followed))

    const live = (followed: FollowedTopic): Effect.Effect<boolean> =>
      until(followed, redis.timeout, () => followed.isFollowable)

    const acquire: CopyFeeds["acquire"] = (topic) =>
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

    const acquireLater: CopyFeeds["acquireLater"] = (topic) =>
      Effect.acquireRelease(begin(topic), (followed) => end(followed)).pipe(Effect.flatMap(live), Effect.asVoid)

    const reached = (topic: string, ms = REACHED): Effect.Effect<void> =>
      Effect.suspend(() => {
        const followed = copies.live(topic)
        return followed === undefined || followed.hasReached
          ? Effect.void
          : Effect.asVoid(until(followed, ms, () => followed.hasReached))
      })

    /** An unusable topic is never offered anything, so all of them are one, the empty name. */
    const openFeed: OpenFeed<PresenceUnavailable> = (topic, pick) =>
      Effect.gen(function* () {
        const followed = isUsable(topic) && !closed ? yield* acquire(topic) : undefined
        const copy = followed?.copy
        /** What is told now is in the state already, and would be told after it once more. */
        const told = followed === undefined ? Effect.void : until(followed, redis.timeout, () => !followed.isTelling)
        const subscription = yield* feeds.hubs.subscribe(copy === undefined ? "" : topic, pick)
        return {
          subscription,
          snapshot: Effect.map(told, () => {
            subscription.skip()
            return snapshotOf(topic, copy)
          }),
          since: ({ epoch, version }: Position) =>
            Effect.map(told, () => {
              if (copy === undefined || epoch !== copy.epoch) return undefined
              const deltas = version === copy.standing.version ? [] : feeds.past.since(topic, version)
              // The numbers of another epoch mean nothing in this one.
              if (deltas === undefined || deltas.some((delta) => delta.epoch !== epoch)) return undefined
              subscription.skip()
              return deltas
            })
        }
      })

    const openList: OpenList<PresenceUnavailable> = (topic, watcher) =>
      Effect.gen(function* () {
        const followed = isUsable(topic) && !closed ? yield* acquire(topic) : undefined
        yield* feeds.hubs.watch(followed === undefined ? "" : topic, watcher)
        return Effect.sync(() => followed?.copy.roster.list() ?? [])
      })

    const followDirectly: FollowDirectly = (topic, { onChange, onEnd }) => {
      if (closed || !isUsable(topic)) {
        onChange(snapshotOf(topic, undefined))
        return () => {}
      }
      const followed = Effect.runSync(begin(topic))
      let unlisten = (): void => {}
      let follows = true
      const start = (): void => {
        unlisten = feeds.hubs.listen(topic, {
          onValue: (delta) => onChange(delta.diff),
          onEnd: () => onEnd(undefined)
        })
        onChange(snapshotOf(topic, followed.copy))
      }
      if (followed.isFollowable) start()
      else {
        run(
          Effect.map(live(followed), (isLive) => {
            if (!follows || closed) return
            if (isLive) start()
            else onEnd(membership.unavailable(`following ${JSON.stringify(topic)}`))
          })
        )
      }
      return () => {
        if (!follows) return
        follows = false
        unlisten()
        copies.release(followed)
      }
    }

    yield* Effect.promise(() => copies.patrol()).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("looking for what was missed failed, and runs again", cause)),
      Effect.schedule(Schedule.spaced("1 second")),
      Effect.annotateLogs({ package: "effect-presence", fiber: "digest" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      copies,
      mirrorTo: (to) => {
        mirror = to
      },
      acquire,
      acquireLater,
      reached,
      openFeed,
      openList,
      followDirectly,
      look: (reason, partition) => {
        copies.digest(reason, partition).catch((cause) => membership.onFailure("comparing versions", cause))
      },
      age: (now) => feeds.past.age(now),
      isClosed: () => closed,
      close: () => {
        closed = true
        feeds.hubs.close()
        copies.close()
      }
    }
  })
