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
import { Effect, type Scope, Stream } from "effect"
import { Step } from "../internal/feed/delta.js"
import { type Position, stepsFrom } from "../internal/feed/feed.js"
import { decode } from "../internal/input/options.js"
import { checkTopic } from "../internal/input/validate.js"
import type { OwnedLease } from "../internal/leases/lease.js"
import { type Holdings, makeHoldings, randomId, type TrackOptions } from "../internal/leases/tracker.js"
import { typed } from "../internal/typed.js"
import type { PresenceUnavailable, TrackError } from "../PresenceError.js"
import type { PresenceHealth } from "../PresenceHealth.js"
import { MIRROR, makeChannels } from "./channels.js"
import { open } from "./client/scoped.js"
import { noStop, within } from "./client/within.js"
import { decodeRedis } from "./options.js"
import { type Following, makeFollowing } from "./read/copyFeeds.js"
import { makeReads, snapshotOf } from "./read/queries.js"
import { ENDING, makeSettling } from "./write/confirmation.js"
import { type Membership, makeMembership } from "./write/membership.js"

export type Options = NonNullable<Parameters<typeof decode>[0]> &
  Parameters<typeof decodeRedis>[0] & { readonly capacity?: number | undefined }

/** Presence and its channels, on one pair of connections. */
export const make = (options: Options) =>
  Effect.gen(function* () {
    const settings = decode(options)
    const redis = yield* decodeRedis(options)
    const replica = randomId()
    const opened = yield* open(redis)
    const { port } = opened
    const isUsable = (topic: string): boolean => checkTopic(topic, settings.limits) === undefined

    // The others

    const membership: Membership = yield* makeMembership(opened, redis, replica, {
      onEvicted: (cells) =>
        Effect.runSync(
          holdings.step((registry) => {
            for (const { owner, seq } of cells) if (owner?.joined === seq) registry.leave(owner, "evicted")
          })
        ),
      onWritten: (epoch, versions) => following.followers.onWritten(epoch, versions),
      onEpochChanged: (partition) => following.look("epoch", partition)
    })

    const following: Following = yield* makeFollowing({
      port,
      membership,
      redis,
      bufferSize: settings.bufferSize,
      isUsable,
      snapshotOf,
      mirror: (topic, text) => channels.service.unsafePublish(MIRROR + topic, text)
    })
    const { followers, hold, keep, reached, follow, isClosed } = following

    const channels = yield* makeChannels({
      port,
      prefix: redis.prefix,
      timeout: redis.timeout,
      origin: replica,
      capacity: options.capacity,
      // A channel has no way to fail for this: it has nothing to say until Redis answers.
      mirror: (topic) => (isUsable(topic) ? keep(topic) : Effect.void)
    })

    opened.listen({
      onReady: () => following.look("reconnect"),
      onDown: () => {},
      onSubscriberDown: () => followers.onSubscriberDown(),
      onSubscriberReady: () => {
        for (const subscribing of [followers.onSubscriberReady(), channels.onSubscriberReady()]) {
          subscribing.catch((cause) => membership.onFailure("subscribing", cause))
        }
      },
      onMessage: (channel, text) => followers.onMessage(channel, text) || channels.onMessage(channel, text)
    })

    const layerScope = yield* Effect.scope
    const reads = makeReads({ port, membership, followers, hold, isUsable, isClosed, layerScope })

    // What is held here

    const settling = makeSettling(membership, reached, redis)
    let handsOver = false

    const holdings: Holdings = yield* makeHoldings(settings, {
      replica,
      onChange: (change) => {
        const lease = change.connection
        const partition = membership.of(lease.topic)
        if (change.type === "join") {
          partition.join(lease.topic, lease.key, change.age, change.meta, lease)
          return
        }
        const cell = partition.writer.get(change.age)
        if (cell === undefined) return
        if (change.type === "update") partition.update(cell, lease.seq, lease.meta)
        else if (!handsOver) {
          partition.leave(cell, change.reason)
          settling.onLeave(cell)
        }
      },
      onStep: () => {},
      own: (owner) =>
        settling.own(owner, (lease) =>
          holdings.step((registry) =>
            // One whose scope has closed meanwhile has nobody to try again for.
            registry.leave(lease, lease.status === "lingering" ? "released" : "expired")
          )
        ),
      closing: (close) => shutdown(close)
    })

    const track = (
      topic: string,
      key: string,
      meta?: unknown,
      options?: TrackOptions
    ): Effect.Effect<OwnedLease, TrackError, Scope.Scope> =>
      Effect.flatMap(holdings.track(topic, key, meta, options), settling.tracked)

    const evict = (topic: string, key: string): Effect.Effect<number, PresenceUnavailable> =>
      Effect.suspend(() => {
        if (isClosed() || !isUsable(topic)) return Effect.succeed(0)
        const others = Effect.tryPromise({
          try: () => membership.of(topic).evict(topic, key),
          catch: () => membership.unavailable(`evicting from ${JSON.stringify(topic)}`)
        })
        // Others' first: if Redis does not answer, nothing has happened.
        return Effect.zipWith(
          others,
          settling.end(holdings.step((registry) => registry.evict(topic, key))),
          (a, b) => a + b
        )
      }).pipe(Effect.zipLeft(reached(topic)))

    const shutdown = (close: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => {
        handsOver = redis.handover
        return settling.end(close, redis.timeout)
      }).pipe(
        Effect.zipRight(Effect.suspend(() => (handsOver ? Effect.void : giveBack))),
        Effect.zipRight(
          Effect.sync(() => {
            for (const partition of membership.partitions) partition.stop()
            following.close()
          })
        )
      )

    /** Others need not wait for the lease of one that says good-bye. If Redis does not hear it, the lease runs out. */
    const giveBack = Effect.suspend(() =>
      membership.health().status === "unavailable"
        ? Effect.void
        : within<unknown>(ENDING, (done) => {
            void Promise.allSettled(membership.partitions.map((partition) => partition.giveBack())).then(done)
            return noStop
          })
    )

    const subscribe = (topic: string) =>
      Effect.map(
        follow(topic, (step) => step.events),
        ({ subscription }) => subscription
      )

    const health: Effect.Effect<PresenceHealth> = holdings.step(({ connections, topics }) => ({
      ...membership.health(),
      connections,
      topics
    }))

    const service = {
      limits: settings.limits,
      list: reads.list,
      get: reads.get,
      count: reads.count,
      topics: reads.topics,
      snapshot: reads.snapshot,
      subscribe,
      events: (topic: string) => Stream.unwrapScoped(Effect.map(subscribe(topic), ({ stream }) => stream)),
      changes: (topic: string, options?: { readonly since?: Position | undefined }) =>
        Stream.map(stepsFrom(follow, topic, options?.since), (change) =>
          change instanceof Step ? change.diff : change
        ),
      evict,
      sweepExpired: settling.end(holdings.sweepExpired),
      health
    }
    return {
      presence: { ...service, track, forSchema: typed({ ...service, track, follow }) },
      channels: channels.service
    }
  })
