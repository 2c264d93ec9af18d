/**
 * Presence in this process: the registry in a `Ref`, changed in one synchronous step that also tells what changed.
 *
 * A step tells the metrics, the channel `presence:{topic}` and who follows the topic, before anything else can run.
 * None of these can wait, so neither a slow reader nor a full queue can hold up a join, a leave or a closing scope.
 */
import {
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FiberId,
  Metric,
  Option,
  Ref,
  Schedule,
  Scope,
  Stream
} from "effect"
import type { LeaveReason, Snapshot } from "../PresenceChange.js"
import type { LimitExceeded, TrackError } from "../PresenceError.js"
import type { PresenceHealth } from "../PresenceHealth.js"
import { type Follow, Follows, type Position, stepsFrom } from "./follow.js"
import { OwnedLease, type Owner, type ScopeLeases, Scopes } from "./lease.js"
import * as metrics from "./metrics.js"
import { decode, nanos } from "./options.js"
import { type Change, Registry, type Terms } from "./registry.js"
import { eventOf, Step } from "./step.js"
import { nextTurn } from "./turn.js"
import { typed } from "./typed.js"
import { checkKey, checkMeta, checkTopic, overFull } from "./validate.js"

/** Connections that one step ends at the most, so that no turn of the event loop is long. */
const BATCH = 2_048

export interface TrackOptions {
  readonly ttl?: Duration.DurationInput | undefined
  readonly leaveDelay?: Duration.DurationInput | undefined
}

/** What presence needs of channels. */
export interface Mirror {
  readonly unsafePublish: (topic: string, text: string | (() => string)) => number
}

export const make = (mirror: Mirror, options?: Parameters<typeof decode>[0]) =>
  Effect.gen(function* () {
    const settings = decode(options)
    const { limits } = settings
    const clock = yield* Effect.clock
    const layerScope = yield* Effect.scope
    const start = clock.unsafeCurrentTimeNanos()
    const startMillis = clock.unsafeCurrentTimeMillis()
    const replica = randomId()
    const defaultTerms: Terms = { replica, ttl: settings.ttl, leaveDelay: 0 }

    /** Nanoseconds since the start. They never go back. */
    const now = (): number => Number(clock.unsafeCurrentTimeNanos() - start)

    // The state, and the telling of its changes

    const told: Array<Change<OwnedLease>> = []
    const registry = new Registry<OwnedLease>(replica, limits, (change) => {
      told.push(change)
    })
    const state = yield* Ref.make(registry)
    const waiting = new Map<OwnedLease, Deferred.Deferred<LeaveReason>>()
    const gauged = { connections: 0, topics: 0 }

    /** Everything that reads or changes the state is such a step, and so is what it tells. */
    const step = <A>(f: (registry: Registry<OwnedLease>) => A): Effect.Effect<A> =>
      Ref.modify(state, (registry) => {
        const result = f(registry)
        if (told.length > 0) tell(registry)
        return [result, registry]
      })

    const follows = new Follows(
      settings.bufferSize,
      { open: (topic) => registry.follow(topic), close: (topic) => registry.unfollow(topic) },
      step
    )

    const tell = (registry: Registry<OwnedLease>): void => {
      const changes = told.splice(0)
      for (const change of changes) {
        count(change)
        if (change.type === "leave" && change.reason !== "expired") end(change.connection, change.reason)
        if (change.type !== "leave" || change.last) {
          mirror.unsafePublish(change.roster.channel, () => JSON.stringify(eventOf(change)))
        }
      }
      if (follows.hubs.size > 0) for (const step of stepsOf(changes, follows)) follows.offer(step)
      metrics.add(metrics.connections, registry.connections - gauged.connections)
      metrics.add(metrics.topics, registry.topics - gauged.topics)
      gauged.connections = registry.connections
      gauged.topics = registry.topics
    }

    // Leases

    /** What follows when a lease is over for good. */
    const end = (lease: OwnedLease, reason: LeaveReason): void => {
      lease.leases.delete(lease)
      const deferred = waiting.size === 0 ? undefined : waiting.get(lease)
      if (deferred === undefined) return
      waiting.delete(lease)
      Deferred.unsafeDone(deferred, Exit.succeed(reason))
    }

    const release = (registry: Registry<OwnedLease>, lease: OwnedLease): void => {
      const expired = lease.status === "expired"
      registry.release(lease)
      // It left when it expired, so nothing is told; but now it will not come back.
      if (expired) end(lease, "released")
    }

    const owner: Owner = {
      refresh: (lease) => step((registry) => registry.refresh(lease, now())),

      update: (lease, next) =>
        Effect.flatten(
          step((registry): Effect.Effect<"updated" | "rejoined" | "evicted" | "released", TrackError> => {
            if (lease.status === "evicted") return Effect.succeed("evicted")
            if (lease.status !== "present" && lease.status !== "expired") return Effect.succeed("released")
            const checked = next(lease.meta)
            if ("_tag" in checked) return Effect.fail(checked)
            return Effect.succeed(registry.update(lease, checked.value, now()))
          })
        ),

      checkMeta: (topic, key, meta) => checkMeta(topic, key, meta, limits),

      release: (lease) => step((registry) => release(registry, lease)),

      ended: (lease) =>
        Effect.suspend(() => {
          if (lease.status === "evicted" || lease.status === "released") return Effect.succeed(lease.status)
          if (registry.isClosed) return Effect.succeed("released" as const)
          let deferred = waiting.get(lease)
          if (deferred === undefined) {
            deferred = Deferred.unsafeMake<LeaveReason>(FiberId.none)
            waiting.set(lease, deferred)
          }
          return Deferred.await(deferred)
        }),

      closeScope: (leases) =>
        Effect.flatMap(
          step((registry) => {
            const at = now()
            for (let n = 0; n < BATCH && leases.last !== undefined; n++) {
              const lease = leases.last
              leases.delete(lease)
              if (lease.status === "present" && lease.terms.leaveDelay > 0) registry.linger(lease, at)
              else release(registry, lease)
            }
            return leases.last !== undefined
          }),
          (more) => (more ? Effect.zipRight(nextTurn, owner.closeScope(leases)) : departLater)
        )
    }

    const scopes = new Scopes(owner)

    /** The default terms, one object for all, unless a lease has its own. */
    const termsOf = (options: TrackOptions | undefined): Terms =>
      options?.ttl === undefined && options?.leaveDelay === undefined
        ? defaultTerms
        : {
            replica,
            ttl: options.ttl === undefined ? settings.ttl : nanos(options.ttl),
            leaveDelay: options.leaveDelay === undefined ? 0 : nanos(options.leaveDelay)
          }

    const enter = (
      topic: string,
      key: string,
      meta: OwnedLease["meta"],
      terms: Terms,
      leases: ScopeLeases
    ): Effect.Effect<OwnedLease, LimitExceeded> =>
      Effect.flatten(
        step((registry) => {
          const lease = new OwnedLease(topic, key, meta, terms, leases)
          if (leases.closed) return Effect.succeed(lease)
          const full = registry.track(lease, now())
          if (full !== undefined) return Effect.fail(overFull(full, topic, key))
          if (lease.status === "present") leases.add(lease)
          return Effect.succeed(lease)
        })
      )

    const track = (
      topic: string,
      key: string,
      meta: unknown = {},
      options?: TrackOptions
    ): Effect.Effect<OwnedLease, TrackError, Scope.Scope> =>
      Effect.withFiberRuntime((fiber) => {
        const refused = checkTopic(topic, limits) ?? checkKey(topic, key, limits)
        if (refused !== undefined) return Effect.fail(refused)
        const checked = checkMeta(topic, key, meta, limits)
        if ("_tag" in checked) return Effect.fail(checked)
        const terms = termsOf(options)
        // The scope is in the context, as the type says.
        const scope = Context.unsafeGet(fiber.currentContext, Scope.Scope)
        const leases = scopes.get(scope)
        return leases !== undefined
          ? enter(topic, key, checked.value, terms, leases)
          : Effect.uninterruptible(
              Effect.flatMap(scopes.make(scope), (leases) => enter(topic, key, checked.value, terms, leases))
            )
      })

    // Ends by time

    const endInBatches = (batch: (registry: Registry<OwnedLease>) => number, before = 0): Effect.Effect<number> =>
      Effect.flatMap(step(batch), (ended) =>
        ended < BATCH ? Effect.succeed(before + ended) : Effect.zipRight(nextTurn, endInBatches(batch, before + ended))
      )

    const sweepExpired = Effect.suspend(() => {
      const at = now()
      return endInBatches((registry) => registry.expire(at, BATCH))
    })

    let departure = Number.POSITIVE_INFINITY

    /** Makes sure that somebody wakes when the next leave delay is over. */
    const departLater: Effect.Effect<void> = Effect.suspend(() => {
      const next = registry.nextDeparture
      if (next >= departure) return Effect.void
      departure = next
      return depart(next).pipe(Effect.interruptible, Effect.forkIn(layerScope), Effect.asVoid)
    })

    const depart = (at: number): Effect.Effect<void> =>
      clock.sleep(Duration.nanos(BigInt(Math.max(0, Math.ceil(at - now()))))).pipe(
        Effect.zipRight(Effect.suspend(() => endInBatches((registry) => registry.depart(now(), BATCH)))),
        Effect.zipRight(
          Effect.suspend(() => {
            if (departure <= now()) departure = Number.POSITIVE_INFINITY
            return departLater
          })
        )
      )

    // Following

    const isUsable = (topic: string): boolean => checkTopic(topic, limits) === undefined

    const snapshotOf = (registry: Registry<OwnedLease>, topic: string): Snapshot => {
      const { epoch, version, connections } = registry.snapshot(topic)
      return Object.freeze({ _tag: "Snapshot", topic, epoch, version, connections })
    }

    /** An unusable topic is never offered anything, so all of them are one, the empty name. */
    const follow: Follow<never> = (topic, pick) =>
      Effect.map(follows.hubs.subscribe(isUsable(topic) ? topic : "", pick), (subscription) => ({
        subscription,
        snapshot: step((registry) => {
          subscription.skip()
          return snapshotOf(registry, topic)
        }),
        since: (position: Position) =>
          step((registry) => {
            const { epoch, version } = registry.snapshot(topic)
            if (position.epoch !== epoch) return undefined
            const steps = position.version === version ? [] : follows.since(topic, position.version)
            if (steps !== undefined) subscription.skip()
            return steps
          })
      }))

    // The life of the layer

    yield* Effect.addFinalizer(() =>
      step((registry) => registry.shutdown()).pipe(
        Effect.zipRight(
          endInBatches((registry) => {
            const some = registry.some(BATCH)
            for (const lease of some) release(registry, lease)
            return some.length
          })
        ),
        Effect.zipRight(
          step((registry) => {
            for (const lease of Array.from(waiting.keys())) release(registry, lease)
            follows.hubs.close()
          })
        )
      )
    )

    yield* sweepExpired.pipe(
      Metric.trackDurationWith(metrics.sweepSeconds, Duration.toSeconds),
      Effect.catchAllCause((cause) => Effect.logWarning("the sweep failed and will run again", cause)),
      Effect.schedule(Schedule.spaced(settings.sweepInterval)),
      Effect.annotateLogs({ package: "effect-presence", fiber: "sweep" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    const subscribe = (topic: string) =>
      Effect.map(
        follow(topic, (step) => step.events),
        ({ subscription }) => subscription
      )

    const health: Effect.Effect<PresenceHealth> = step(({ connections, topics }) => ({
      status: "ok",
      since: startMillis,
      connections,
      topics
    }))

    const service = {
      list: (topic: string) => step((registry) => registry.list(topic)),
      get: (topic: string, key: string) => step((registry) => Option.fromNullable(registry.get(topic, key))),
      count: (topic: string) => step((registry) => registry.count(topic)),
      topics: step((registry) => registry.topicNames()),
      subscribe,
      events: (topic: string) => Stream.unwrapScoped(Effect.map(subscribe(topic), ({ stream }) => stream)),
      changes: (topic: string, options?: { readonly since?: Position | undefined }) =>
        Stream.map(stepsFrom(follow, topic, options?.since), (change) =>
          change instanceof Step ? change.diff : change
        ),
      snapshot: (topic: string) => step((registry) => snapshotOf(registry, topic)),
      evict: (topic: string, key: string) => step((registry) => registry.evict(topic, key)),
      sweepExpired,
      health
    }
    return { ...service, track, forSchema: typed({ ...service, track, follow }) }
  })

/** One step of each followed topic that changed. */
const stepsOf = (changes: ReadonlyArray<Change<OwnedLease>>, follows: Follows): Iterable<Step> => {
  const byTopic = new Map<Change<OwnedLease>["roster"], Array<Change<OwnedLease>>>()
  for (const change of changes) {
    if (!follows.has(change.roster.topic)) continue
    const same = byTopic.get(change.roster)
    if (same === undefined) byTopic.set(change.roster, [change])
    else same.push(change)
  }
  return Array.from(byTopic, ([{ topic, epoch, version }, changes]) => {
    return new Step(topic, epoch, version - changes.length, version, changes)
  })
}

const count = ({ type, reason }: Change<OwnedLease>): void => {
  if (type === "join") metrics.add(metrics.joins, 1)
  else if (type === "update") metrics.add(metrics.updates, 1)
  else {
    metrics.add(metrics.leavesBy[reason], 1)
    if (reason === "evicted") metrics.add(metrics.evictions, 1)
  }
}

/** 80 random bits. */
const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte & 31).toString(32)).join("")
