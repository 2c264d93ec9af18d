/**
 * The connections of this process: their leases, and the life of the layer.
 *
 * The registry stands in a `Ref` and is changed in one synchronous step, which also tells the service what changed,
 * before anything else can run. Whatever the service does with that cannot wait, so neither a slow reader nor a full
 * queue can hold up a join, a leave or a closing scope.
 */
import { Context, Deferred, Duration, Effect, Exit, FiberId, Metric, Ref, Runtime, Scope } from "effect"
import type { LeaveReason } from "../../PresenceChange.js"
import { InvalidOption, type LimitExceeded, type PresenceUnavailable, type TrackError } from "../../PresenceError.js"
import { EMPTY } from "../input/json.js"
import { ANY, checkDuration, findUnknown, nanos, type PresenceSettings, SOME } from "../input/options.js"
import { checkKey, checkMeta, checkTopic, overFull } from "../input/validate.js"
import * as metrics from "../metrics.js"
import { type Change, Registry, type Terms } from "../state/registry.js"
import { sleepAwake } from "./awake.js"
import { makeEnds, SHARE } from "./ends.js"
import { DirectHolding, type Holding, type Now } from "./holding.js"
import { OwnedLease, type Owner, type ScopeLeases, Scopes } from "./lease.js"
import { inTurns } from "./turns.js"

/** What is to be known of ttls. */
const TTL =
  "where the scope says that somebody is here (a socket, a stream, a fiber), pass { ttl: Infinity } to track; where a client's heartbeat says it, call lease.refresh. This is said once"

/** The meta of who gives none. */
const NO_META = { value: EMPTY }

export interface TrackOptions {
  readonly ttl?: Duration.DurationInput | undefined
  readonly leaveDelay?: Duration.DurationInput | undefined
}

const known: ReadonlyArray<keyof TrackOptions> = ["ttl", "leaveDelay"]

/** The service that the connections are for. */
export interface TrackerHost {
  /** The name of this process, if it has one already. */
  readonly replica?: string
  /** Whether it is asked on which topics a key is, and is to find that quickly. Default false. */
  readonly keyIndex?: boolean
  /** Told what a step changed: each change in order, then that the step is over. Neither may wait. */
  readonly onChange: (change: Change<OwnedLease>) => void
  readonly onStepEnd: () => void
  /** Told after each sweep of the schedule. `now` in nanoseconds since the start. */
  readonly onSweep: (now: number) => void
  /** What happens when the layer closes, after the sweep has stopped. `close` ends all leases for good. */
  readonly closing: (close: Effect.Effect<void>) => Effect.Effect<void>
  /** Puts more around what leases do. */
  readonly own?: (owner: Owner) => Owner
}

/** What somebody asks to track. */
interface Asked {
  readonly topic: string
  readonly key: string
  readonly meta: OwnedLease["meta"]
  readonly terms: Terms
}

export interface Tracker {
  /** The random name of this process: the first part of every ref. */
  readonly replica: string
  /** Everything that reads or changes the state is such a step, and so is what it tells. */
  readonly step: <A>(f: (registry: Registry<OwnedLease>) => A) => Effect.Effect<A>
  /** The same, now. */
  readonly unsafeStep: <A>(f: (registry: Registry<OwnedLease>) => A) => A
  readonly track: (
    topic: string,
    key: string,
    meta?: unknown,
    options?: TrackOptions
  ) => Effect.Effect<OwnedLease, TrackError, Scope.Scope>
  /** Begins what holds leases without a scope. */
  readonly hold: () => Holding
  readonly sweepExpired: Effect.Effect<number>
}

/** Makes them, and runs the sweep until the layer's scope closes. */
export const makeTracker = (
  settings: PresenceSettings,
  host: TrackerHost
): Effect.Effect<Tracker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { limits } = settings
    metrics.register()
    const clock = yield* Effect.clock
    const layerScope = yield* Effect.scope
    const runFork = Runtime.runFork(yield* Effect.runtime())
    const start = clock.unsafeCurrentTimeNanos()
    const replica = host.replica ?? randomId()
    const defaultTerms: Terms = { replica, ttl: settings.ttl, leaveDelay: 0 }

    /** Nanoseconds since the start. They never go back. */
    const now = (): number => Number(clock.unsafeCurrentTimeNanos() - start)

    // The state

    // What changed within a step. The array is used again: a new one for each step would cost as much as the step.
    const told: Array<Change<OwnedLease> | undefined> = []
    let tellable = 0
    // Whoever is told may call presence at once; what that changes is told after, by the one who tells already.
    let telling = false
    const onChange = (change: Change<OwnedLease>): void => {
      told[tellable++] = change
    }
    const registry = new Registry<OwnedLease>(replica, limits, onChange, host)
    const state = yield* Ref.make(registry)
    const gauged = { connections: 0, topics: 0 }

    const unsafeStep = <A>(f: (registry: Registry<OwnedLease>) => A): A => {
      const result = f(registry)
      if (tellable > 0 && !telling) tell()
      return result
    }

    const step = <A>(f: (registry: Registry<OwnedLease>) => A): Effect.Effect<A> =>
      Ref.modify(state, (registry) => [unsafeStep(f), registry])

    const tell = (): void => {
      telling = true
      try {
        for (let i = 0; i < tellable; ) {
          for (; i < tellable; i++) {
            const change = told[i] as Change<OwnedLease>
            count(change)
            if (change.type === "leave") {
              if (change.reason !== "expired") end(change.connection, change.reason)
              else if (!surprised) surprise(change.connection)
            }
            host.onChange(change)
          }
          host.onStepEnd()
        }
      } finally {
        told.fill(undefined, 0, tellable)
        tellable = 0
        telling = false
      }
      metrics.add(metrics.connections, registry.connections - gauged.connections)
      metrics.add(metrics.topics, registry.topics - gauged.topics)
      gauged.connections = registry.connections
      gauged.topics = registry.topics
    }

    /** Whether somebody may have been surprised by a ttl, and was told. */
    let surprised = false

    /** Whoever keeps a scope open and never refreshes may not know that there is a ttl. */
    const surprise = (lease: OwnedLease): void => {
      if (lease.refreshed || lease.leases.closed) return
      surprised = true
      const ttl = Duration.format(Duration.nanos(BigInt(Math.round(lease.terms.ttl))))
      const who = `${JSON.stringify(lease.key)} on ${JSON.stringify(lease.topic)}`
      runFork(
        Effect.annotateLogs(
          Effect.logWarning(
            `${who} has expired after its ttl of ${ttl}, never refreshed, in a scope that is open: ${TTL}`
          ),
          { package: "effect-presence" }
        )
      )
    }

    // Ends by time

    const fork = (effect: Effect.Effect<void>) => runFork(effect, { scope: layerScope })
    const { endAll, sweepExpired, departLater } = makeEnds({ step, now, fork })

    // Leases

    const waiting = new Map<OwnedLease, Deferred.Deferred<LeaveReason>>()

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

    /** What a lease does, as it is called. */
    const atOnce: Omit<Now, "track"> = {
      update: (lease, next) =>
        unsafeStep((registry): Exit.Exit<"updated" | "rejoined" | "evicted" | "released", TrackError> => {
          if (lease.status === "evicted") return Exit.succeed("evicted")
          if (lease.status !== "present" && lease.status !== "expired") return Exit.succeed("released")
          const checked = next(lease.meta)
          if ("_tag" in checked) return Exit.fail(checked)
          const updated = registry.update(lease, checked.value, now())
          return typeof updated === "string"
            ? Exit.succeed(updated)
            : Exit.fail(overFull(updated, lease.topic, lease.key))
        }),

      checkMeta: (topic, key, meta) => checkMeta(topic, key, meta, limits),

      release: (lease) => {
        unsafeStep((registry) => release(registry, lease))
        return Exit.void
      },

      closeScope: (leases) => {
        let lingers = false
        const some = (registry: Registry<OwnedLease>): boolean => {
          leases.closed = true
          for (let n = 0; n < SHARE && leases.last !== undefined; n++) {
            const lease = leases.last
            leases.delete(lease)
            if (lease.status === "present" && lease.terms.leaveDelay > 0) {
              registry.linger(lease, now())
              lingers = true
            } else release(registry, lease)
          }
          return leases.last !== undefined
        }
        const after = () => (lingers ? departLater : Exit.void)
        // Few leases, as nearly every scope has, end in one step and need no fiber's loop.
        return unsafeStep(some) ? Effect.flatMap(inTurns(step(some)), after) : after()
      }
    }

    const base: Owner = {
      // The hottest of all, so past the `Ref`.
      refresh: (lease) => Effect.sync(() => unsafeStep(() => registry.refresh(lease, now()))),
      update: (lease, next) => Effect.suspend(() => atOnce.update(lease, next)),
      checkMeta: atOnce.checkMeta,
      release: (lease) => Effect.suspend(() => atOnce.release(lease)),

      expire: (lease) =>
        step((registry) => registry.leave(lease, lease.status === "lingering" ? "released" : "expired")),

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

      closeScope: (leases) => Effect.suspend(() => atOnce.closeScope(leases))
    }
    const owner = host.own?.(base) ?? base

    const scopes = new Scopes(owner)

    /** The default terms, one object for all, unless a lease has its own. */
    const termsOf = (options: TrackOptions | undefined): Terms | InvalidOption => {
      if (options === undefined) return defaultTerms
      const unknown = findUnknown("options", options, known)
      if (unknown !== undefined) return unknown
      if (options.ttl === undefined && options.leaveDelay === undefined) return defaultTerms
      const ttl = options.ttl === undefined ? settings.ttl : checkDuration("ttl", options.ttl, SOME)
      if (ttl instanceof InvalidOption) return ttl
      const leaveDelay = checkDuration("leaveDelay", options.leaveDelay === undefined ? 0 : options.leaveDelay, ANY)
      if (leaveDelay instanceof InvalidOption) return leaveDelay
      return { replica, ttl: typeof ttl === "number" ? ttl : nanos(ttl), leaveDelay: nanos(leaveDelay) }
    }

    /** What is to be tracked, or what is wrong with it. */
    const read = (
      topic: string,
      key: string,
      meta: unknown,
      options: TrackOptions | undefined
    ): Asked | Exclude<TrackError, PresenceUnavailable> => {
      const refused = checkTopic(topic, limits) ?? checkKey(topic, key, limits)
      if (refused !== undefined) return refused
      const checked = meta === undefined ? NO_META : checkMeta(topic, key, meta, limits)
      if ("_tag" in checked) return checked
      const terms = termsOf(options)
      return terms instanceof InvalidOption ? terms : { topic, key, meta: checked.value, terms }
    }

    /** Tracks it now, unless what should hold it is closed. */
    const enter = ({ topic, key, meta, terms }: Asked, leases: ScopeLeases): Exit.Exit<OwnedLease, LimitExceeded> => {
      const lease = new OwnedLease(topic, key, meta, terms, leases)
      if (leases.closed) return Exit.succeed(lease)
      const full = unsafeStep((registry) => {
        const full = registry.track(lease, now())
        if (lease.status === "present") leases.add(lease)
        return full
      })
      return full === undefined ? Exit.succeed(lease) : Exit.fail(overFull(full, topic, key))
    }

    const track = (
      topic: string,
      key: string,
      meta?: unknown,
      options?: TrackOptions
    ): Effect.Effect<OwnedLease, TrackError, Scope.Scope> =>
      Effect.withFiberRuntime((fiber) => {
        const asked = read(topic, key, meta, options)
        if ("_tag" in asked) return Effect.fail(asked)
        // The scope is in the context, as the type says.
        const scope = Context.unsafeGet(fiber.currentContext, Scope.Scope)
        const leases = scopes.get(scope)
        return leases !== undefined ? enter(asked, leases) : scopes.make(scope, (leases) => enter(asked, leases))
      })

    const direct: Now = {
      ...atOnce,
      track: (leases, topic, key, meta, options) => {
        const asked = read(topic, key, meta, options)
        if ("_tag" in asked) return Exit.fail(asked)
        const entered = enter(asked, leases)
        // Whoever was told of it may have put it out again.
        return Exit.isSuccess(entered) && entered.value.status !== "present" ? Effect.suspend(() => entered) : entered
      }
    }
    const hold = (): Holding => new DirectHolding(owner, direct)

    const close = step((registry) => registry.shutdown()).pipe(
      Effect.zipRight(
        endAll((registry) => {
          const some = registry.some(SHARE)
          for (const lease of some) release(registry, lease)
          return some.length
        })
      ),
      Effect.zipRight(
        step((registry) => {
          for (const lease of Array.from(waiting.keys())) release(registry, lease)
        })
      )
    )

    // Before the sweep, which is to stop first.
    yield* Effect.addFinalizer(() => host.closing(close))

    const { sweepInterval } = settings
    // A clock that cannot be read is for the sweep to tell of.
    const pause = Effect.catchAllCause(sleepAwake(sweepInterval), () => Effect.sleep(sweepInterval))
    yield* sweepExpired.pipe(
      Effect.tap(() => host.onSweep(now())),
      Metric.trackDurationWith(metrics.sweepSeconds, Duration.toSeconds),
      Effect.catchAllCause((cause) => Effect.logWarning("the sweep failed and will run again", cause)),
      (sweep) => Effect.zipRight(pause, sweep),
      Effect.forever,
      Effect.annotateLogs({ package: "effect-presence", fiber: "sweep" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return { replica, step, unsafeStep, track, hold, sweepExpired }
  })

const count = ({ type, reason }: Change<OwnedLease>): void => {
  if (type === "join") metrics.add(metrics.joins, 1)
  else if (type === "update") metrics.add(metrics.updates, 1)
  else {
    metrics.add(metrics.leavesBy[reason], 1)
    if (reason === "evicted") metrics.add(metrics.evictions, 1)
  }
}

/**
 * 60 random bits, since every ref on the wire begins with them. Of a million processes that ever ran on one prefix two
 * share one with a chance of 4 in ten million.
 */
export const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte & 31).toString(32)).join("")
