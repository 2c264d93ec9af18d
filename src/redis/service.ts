/**
 * Presence over several replicas.
 *
 * What is held here is as in one process: the same leases, limits, ends by time. Each change of it is something to
 * write; what others see, and what is told here, comes back from Redis, in one order for all replicas.
 *
 * - **Redis away**: followed topics can still be read; `track` fails after the timeout and leaves nothing behind, or
 *   with `whenUnavailable: "local"` is accepted and written later. A scope closes within 2 s.
 * - **Lag**: as in one process. Messages that are lost on the way come as the net difference.
 * - **Crash**: the others end what was held here when its lease is over.
 * - **Shutdown**: what is held leaves, in batches; with `handover` it stays until the lease is over. Then streams end.
 */
import { Effect, Option, type Scope } from "effect"
import { Activity, plainActivity } from "../internal/feed/activity.js"
import { withFollow } from "../internal/feed/direct.js"
import { following, plainly } from "../internal/feed/feed.js"
import { living } from "../internal/feed/live.js"
import { decode } from "../internal/input/options.js"
import { checkKey, checkTopic } from "../internal/input/validate.js"
import type { OwnedLease } from "../internal/leases/lease.js"
import { makeTracker, randomId, type Tracker, type TrackOptions } from "../internal/leases/tracker.js"
import { heard } from "../internal/tracing.js"
import { typed } from "../internal/typed.js"
import type { PresenceUnavailable, TrackError } from "../PresenceError.js"
import type { PresenceHealth } from "../PresenceHealth.js"
import { MIRROR, makeChannels } from "./channels.js"
import { openPort } from "./client/scoped.js"
import { noStop, within } from "./client/waiting.js"
import { decodeRedis, names, type PresenceRedisOptions, prefixIn } from "./options.js"
import { refOf } from "./protocol/keys.js"
import { type CopyFeeds, makeCopyFeeds } from "./read/copyFeeds.js"
import { makeQueries, snapshotOf } from "./read/queries.js"
import { traced } from "./traced.js"
import { ENDING, makeConfirmation } from "./write/confirmation.js"
import { type Membership, makeMembership } from "./write/membership.js"

/** Presence and its channels, on one pair of connections. */
export const make = (options: PresenceRedisOptions) =>
  Effect.gen(function* () {
    const settings = decode(options, names)
    const asked = yield* decodeRedis(options)
    const replica = randomId()
    const connected = yield* openPort(asked)
    const clock = yield* Effect.clock
    const opened = Option.match(yield* heard, {
      onNone: () => connected,
      onSome: (tracer) => ({ ...connected, port: traced(connected.port, tracer, clock) })
    })
    const { keyIndex } = settings
    const redis = { ...asked, keyIndex, prefix: prefixIn(opened.port.database, asked.prefix) }
    const isUsable = (topic: string): boolean => checkTopic(topic, settings.limits) === undefined

    const isUsableKey = (key: string): boolean => checkKey("", key, settings.limits) === undefined

    // Each part is made of those before it; who tells whom is said at the end.

    const membership: Membership = yield* makeMembership(opened, redis, replica)
    const { port } = membership
    const copyFeeds: CopyFeeds = yield* makeCopyFeeds({
      port,
      membership,
      redis,
      bufferSize: settings.bufferSize,
      isUsable,
      snapshotOf
    })
    const { copies, acquire, acquireLater, reached, openFeed, openList, isClosed } = copyFeeds
    const channels = yield* makeChannels({
      port,
      prefix: redis.prefix,
      timeout: redis.timeout,
      origin: replica,
      capacity: options.capacity,
      // A channel has no way to fail for this: it has nothing to say until Redis answers.
      mirror: (topic) => (isUsable(topic) ? acquireLater(topic) : Effect.void)
    })
    const layerScope = yield* Effect.scope
    const queries = makeQueries({
      port,
      membership,
      copies,
      acquire,
      isUsable,
      isUsableKey,
      keyIndex,
      isClosed,
      layerScope
    })
    const confirmation = makeConfirmation(membership, reached, redis)

    const activity = new Activity(settings.bufferSize)

    // What is held here

    let handsOver = false

    /** Others need not wait for the lease of one that says good-bye. If Redis does not hear it, the lease runs out. */
    const giveBack = Effect.suspend(() =>
      membership.health().status === "unavailable"
        ? Effect.void
        : within<unknown>(ENDING, (done) => {
            void Promise.allSettled(membership.partitions.map((partition) => partition.giveBack())).then(done)
            return noStop
          })
    )

    const shutdown = (close: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => {
        handsOver = redis.handover
        return confirmation.end(close, redis.timeout)
      }).pipe(
        Effect.zipRight(Effect.suspend(() => (handsOver ? Effect.void : giveBack))),
        Effect.zipRight(
          Effect.sync(() => {
            for (const partition of membership.partitions) partition.stop()
            copyFeeds.close()
            activity.close()
          })
        )
      )

    const tracker: Tracker = yield* makeTracker(settings, {
      replica,
      onChange: (change) => {
        const lease = change.connection
        // What is handed over has not left; who ends it tells.
        if (change.type !== "leave" || !handsOver) activity.add(change)
        const partition = membership.of(lease.topic)
        if (change.type === "join") {
          partition.join(lease.topic, lease.key, change.age, change.meta, lease)
          return
        }
        const cell = partition.outbox.get(change.age)
        if (cell === undefined) return
        if (change.type === "update") partition.update(cell, lease.seq, lease.meta)
        else if (!handsOver) {
          partition.leave(cell, change.reason)
          confirmation.onLeave(cell)
        }
      },
      onStepEnd: () => {},
      onSweep: copyFeeds.age,
      own: confirmation.own,
      closing: shutdown
    })

    const track = (
      topic: string,
      key: string,
      meta?: unknown,
      options?: TrackOptions
    ): Effect.Effect<OwnedLease, TrackError, Scope.Scope> =>
      Effect.flatMap(tracker.track(topic, key, meta, options), confirmation.tracked)

    const evict = (topic: string, key: string): Effect.Effect<number, PresenceUnavailable> =>
      Effect.suspend(() => {
        if (isClosed() || !isUsable(topic)) return Effect.succeed(0)
        const others = Effect.tryPromise({
          try: () => membership.of(topic).evict(topic, key),
          catch: (cause) => membership.unavailable(`evicting from ${JSON.stringify(topic)}`, cause)
        })
        // Others' first: if Redis does not answer, nothing has happened.
        return Effect.zipWith(
          others,
          confirmation.end(tracker.step((registry) => registry.evict(topic, key))),
          (a, b) => a + b
        )
      }).pipe(
        Effect.zipLeft(reached(topic)),
        Effect.withSpan("presence.evict", { attributes: { "presence.topic": topic, "presence.key": key } })
      )

    /** Topic by topic: if Redis stops answering, those before it are done. */
    const evictEverywhere = (key: string): Effect.Effect<number, PresenceUnavailable> =>
      queries.topicsOf(key).pipe(
        Effect.flatMap((topics) =>
          Effect.all(
            topics.map((topic) => evict(topic, key)),
            { concurrency: 16 }
          )
        ),
        Effect.map((counts) => counts.reduce((sum, count) => sum + count, 0))
      )

    const health: Effect.Effect<PresenceHealth> = tracker.step(({ connections, topics }) => ({
      ...membership.health(),
      connections,
      topics
    }))

    // Who tells whom

    membership.listen({
      onEvicted: (cells) =>
        Effect.runSync(
          tracker.step((registry) => {
            for (const { owner, seq } of cells) if (owner?.joined === seq) registry.leave(owner, "evicted")
          })
        ),
      onWritten: (epoch, versions) => copies.onWritten(epoch, versions),
      onEpochChanged: (partition) => copyFeeds.look("epoch", partition),
      onLost: (topic, { connection, revision, key, meta, joined }) =>
        activity.add({
          type: "leave",
          topic,
          key,
          ref: refOf(connection, revision),
          meta,
          age: joined,
          previousRef: "",
          previousMeta: null,
          reason: "replicaLost",
          last: false
        })
    })
    copyFeeds.mirrorTo((topic, text) => channels.service.unsafePublish(MIRROR + topic, text))
    opened.listen({
      onReady: () => copyFeeds.look("reconnect"),
      onDown: () => {},
      onSubscriberDown: () => copies.onSubscriberDown(),
      onSubscriberReady: () => {
        for (const subscribing of [copies.onSubscriberReady(), channels.onSubscriberReady()]) {
          subscribing.catch((cause) => membership.onFailure("subscribing", cause))
        }
      },
      onMessage: (channel, text) => copies.onMessage(channel, text) || channels.onMessage(channel, text)
    })

    const service = {
      limits: settings.limits,
      list: queries.list,
      get: queries.get,
      count: queries.count,
      counts: queries.counts,
      topics: queries.topics,
      snapshot: queries.snapshot,
      ...following(openFeed, plainly),
      live: living(openList),
      activity: activity.stream(plainActivity),
      evict,
      topicsOf: queries.topicsOf,
      evictEverywhere,
      sweepExpired: confirmation.end(tracker.sweepExpired),
      health
    }
    return {
      presence: withFollow(
        { ...service, track, forSchema: typed({ ...service, track, openFeed, causes: activity }) },
        copyFeeds.followDirectly
      ),
      channels: channels.service
    }
  })
