/**
 * Presence in one process: what is held here is all there is.
 *
 * Each change goes to the channel `presence:{topic}`, and at the end of its step to who follows the topic. At the
 * layer's close the sweep stops, all leases leave, then streams end.
 */
import { Cause, Effect, Option, Runtime } from "effect"
import type { Snapshot } from "../PresenceChange.js"
import type { PresenceHealth } from "../PresenceHealth.js"
import { Activity, plainActivity } from "./feed/activity.js"
import { eventOf } from "./feed/delta.js"
import { type FollowDirectly, withFollow } from "./feed/direct.js"
import { Feeds, following, type OpenFeed, type Position, plainly } from "./feed/feed.js"
import { living, type OpenList } from "./feed/live.js"
import { decode } from "./input/options.js"
import { checkTopic } from "./input/validate.js"
import { withHold } from "./leases/holding.js"
import type { OwnedLease } from "./leases/lease.js"
import { makeTracker, type Tracker } from "./leases/tracker.js"
import type { Change, Registry } from "./state/registry.js"
import { typed } from "./typed.js"

/** What presence needs of channels. */
export interface Mirror {
  readonly unsafePublish: (topic: string, text: string | (() => string)) => number
}

export const make = (mirror: Mirror, options?: Parameters<typeof decode>[0]) =>
  Effect.gen(function* () {
    const settings = decode(options)
    const since = (yield* Effect.clock).unsafeCurrentTimeMillis()

    const runFork = Runtime.runFork(yield* Effect.runtime())

    // One function for all texts, because most have no reader and then it is not called.
    let mirrored: Change<OwnedLease> | undefined
    const mirroredText = (): string => (mirrored === undefined ? "" : JSON.stringify(eventOf(mirrored)))

    /** Channels of the user's that throw are their own fault; nobody's join or leave stops for it. */
    const mirrorChange = (change: Change<OwnedLease>): void => {
      mirrored = change
      try {
        mirror.unsafePublish(change.roster.channel, mirroredText)
      } catch (cause) {
        runFork(Effect.logWarning(`the channel ${change.roster.channel} failed to publish`, Cause.die(cause)))
      } finally {
        mirrored = undefined
      }
    }

    const feeds: Feeds<Registry<OwnedLease>> = new Feeds(settings.bufferSize, {
      step: (f) => tracker.step(f),
      open: (topic, registry) => registry.keep(topic),
      close: (topic, registry) => registry.letGo(topic)
    })

    const activity = new Activity(settings.bufferSize)

    const tracker: Tracker = yield* makeTracker(settings, {
      keyIndex: settings.keyIndex,
      onChange: (change) => {
        if (change.type !== "leave" || change.last) mirrorChange(change)
        feeds.add(change)
        activity.add(change)
      },
      onStepEnd: () => feeds.flush(),
      onSweep: (now) => feeds.past.age(now),
      closing: (close) =>
        Effect.zipRight(
          close,
          Effect.sync(() => {
            feeds.hubs.close()
            activity.close()
          })
        )
    })

    const { step, unsafeStep, track, sweepExpired } = tracker

    const isUsable = (topic: string): boolean => checkTopic(topic, settings.limits) === undefined

    const snapshotOf = (registry: Registry<OwnedLease>, topic: string): Snapshot => {
      const { epoch, version, connections } = registry.snapshot(topic)
      return Object.freeze({ _tag: "Snapshot", topic, epoch, version, connections })
    }

    /** An unusable topic is never offered anything, so all of them are one, the empty name. */
    const openFeed: OpenFeed<never> = (topic, pick) =>
      Effect.map(feeds.hubs.subscribe(isUsable(topic) ? topic : "", pick), (subscription) => ({
        subscription,
        snapshot: step((registry) => {
          subscription.skip()
          return snapshotOf(registry, topic)
        }),
        since: (position: Position) =>
          step((registry) => {
            const { epoch, version } = registry.snapshot(topic)
            if (position.epoch !== epoch) return undefined
            const steps = position.version === version ? [] : feeds.past.since(topic, position.version)
            if (steps !== undefined) subscription.skip()
            return steps
          })
      }))

    const followDirectly: FollowDirectly = (topic, { onChange, onEnd }) => {
      // What the state shows already is not told again.
      let at: Position = { epoch: "", version: 0 }
      const stop = feeds.hubs.listen(isUsable(topic) ? topic : "", {
        onValue: (delta) => {
          if (delta.epoch !== at.epoch || delta.version > at.version) onChange(delta.diff)
        },
        onEnd: () => onEnd(undefined)
      })
      const state = unsafeStep((registry) => snapshotOf(registry, topic))
      at = state
      onChange(state)
      return stop
    }

    const openList: OpenList<never> = (topic, watcher) =>
      Effect.as(
        feeds.hubs.watch(isUsable(topic) ? topic : "", watcher),
        step((registry) => registry.list(topic))
      )

    const health: Effect.Effect<PresenceHealth> = step(({ connections, topics }) => ({
      status: "ok",
      since,
      connections,
      topics
    }))

    const service = {
      list: (topic: string) => step((registry) => registry.list(topic)),
      get: (topic: string, key: string) => step((registry) => Option.fromNullable(registry.get(topic, key))),
      count: (topic: string) => step((registry) => registry.count(topic)),
      counts: (topics: ReadonlyArray<string>) =>
        step((registry) => new Map(topics.map((topic) => [topic, registry.count(topic)]))),
      topics: step((registry) => registry.topicNames()),
      ...following(openFeed, plainly),
      live: living(openList),
      activity: activity.stream(plainActivity),
      snapshot: (topic: string) => step((registry) => snapshotOf(registry, topic)),
      topicsOf: (key: string) => step((registry) => registry.topicsOf(key)),
      evictEverywhere: (key: string) =>
        step((registry) => registry.topicsOf(key).reduce((sum, topic) => sum + registry.evict(topic, key), 0)),
      evict: (topic: string, key: string) =>
        step((registry) => registry.evict(topic, key)).pipe(
          Effect.withSpan("presence.evict", { attributes: { "presence.topic": topic, "presence.key": key } })
        ),
      sweepExpired,
      health,
      limits: settings.limits
    }
    return withHold(
      withFollow(
        { ...service, track, forSchema: typed({ ...service, track, openFeed, causes: activity }) },
        followDirectly
      ),
      tracker.hold
    )
  })
