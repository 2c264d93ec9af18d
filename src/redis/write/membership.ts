/**
 * This process as one replica among others: its partitions, their heartbeat, and whether Redis is there.
 */
import { Cause, Duration, Effect, Runtime, type Scope } from "effect"
import type { OwnedLease } from "../../internal/leases/lease.js"
import { PresenceUnavailable } from "../../PresenceError.js"
import type { OpenPort } from "../client/scoped.js"
import { within } from "../client/within.js"
import * as metrics from "../metrics.js"
import type { RedisSettings } from "../options.js"
import type { Settings } from "../protocol/calls.js"
import { FORMAT, Keys, partitionOf } from "../protocol/keys.js"
import type { Cell } from "./outbox.js"
import { Partition, type PartitionEvents } from "./partition.js"

export interface Membership {
  readonly partitions: ReadonlyArray<Partition<OwnedLease>>
  readonly of: (topic: string) => Partition<OwnedLease>
  /** Whether every partition's last heartbeat was answered, and since when that is so, in epoch ms. */
  readonly health: () => { readonly status: "ok" | "unavailable"; readonly since: number }
  /** What a call fails with that needed Redis. */
  readonly unavailable: (what: string) => PresenceUnavailable
  readonly onFailure: (what: string, cause: unknown) => void
}

/** What happens that concerns others than the partitions. None may wait. */
export interface MembershipEvents {
  readonly onEvicted: PartitionEvents<OwnedLease>["onEvicted"]
  readonly onWritten: PartitionEvents<OwnedLease>["onWritten"]
  readonly onEpochChanged: (partition: number) => void
}

/** Joins the others, or fails with the reason. Heartbeats run until the scope closes. */
export const makeMembership = (
  { port, listen }: OpenPort,
  settings: RedisSettings,
  replica: string,
  events: MembershipEvents
): Effect.Effect<Membership, PresenceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const { prefix, lease, heartbeat, timeout } = settings
    const clock = yield* Effect.clock
    const run = Runtime.runFork(yield* Effect.runtime())
    const log = (effect: Effect.Effect<void>): void =>
      void run(Effect.annotateLogs(effect, { package: "effect-presence", replica }))

    const start = clock.unsafeCurrentTimeNanos()
    /** Milliseconds of a clock that never goes back. */
    const now = (): number => Number(clock.unsafeCurrentTimeNanos() - start) / 1e6
    const own = { lease, heartbeat, partitions: port.partitions }
    let refused: string | undefined
    let lastCause: unknown
    let status: "ok" | "unavailable" = "unavailable"
    let since = clock.unsafeCurrentTimeMillis()
    let lastBeat = now()
    let joining = true
    /** Ends the pause between two heartbeats when somebody has come who beats more often. */
    const hurry = yield* Effect.makeLatch()
    let pausing = Number.POSITIVE_INFINITY
    /** As often as the replica with the shortest heartbeat: only so can silence be told from a death. */
    const shortest = (): number => Math.min(heartbeat, ...partitions.map((partition) => partition.heartbeat))
    let wake: () => void = () => {}

    const onFailure = (what: string, cause: unknown): void => {
      lastCause = cause
      log(Effect.logDebug(`${what} failed`, Cause.fail(cause)))
    }

    const because = (): string => (lastCause instanceof Error ? `: ${lastCause.message}` : "")

    const unavailable = (what: string): PresenceUnavailable =>
      new PresenceUnavailable({ reason: `${what} got no answer from Redis${because()}`, cause: lastCause })

    const onHealthChanged = (): void => {
      const used = partitions.filter((partition) => partition.isUsed)
      const next = used.some((partition) => partition.isHealthy === false) ? "unavailable" : "ok"
      if (next === status) return
      status = next
      since = clock.unsafeCurrentTimeMillis()
      if (joining) return
      if (next === "ok") log(Effect.logInfo("Redis answers again"))
      else log(Effect.logWarning(`Redis does not answer${because()}`))
    }

    const partitions = Array.from({ length: port.partitions }, (_, partition) => {
      const partitionEvents: PartitionEvents<OwnedLease> = {
        ...events,
        onEpochChanged: () => events.onEpochChanged(partition),
        onHealthChanged,
        onFailure,
        onBeaten: () => {
          lastBeat = now()
          wake()
          if (shortest() < pausing) hurry.unsafeOpen()
        },
        onRefused: (theirs) => {
          refused = refusal(prefix, theirs, own)
          wake()
          if (!joining) log(Effect.logError(refused))
        },
        onReaped: (lost, connections) => {
          metrics.add(metrics.reaped, connections)
          log(Effect.logInfo(`ended ${connections} connections of the lost replica ${lost}`))
        }
      }
      const keys = new Keys(prefix, partition)
      return new Partition<OwnedLease>({ port, keys, settings: own, replica }, partitionEvents)
    })
    const inboxes = new Map(partitions.map((partition) => [partition.keys.inbox(replica), partition]))

    listen({
      onReady: () => {
        for (const partition of partitions) partition.onReady()
      },
      onDown: (reason) => {
        lastCause = new Error(reason)
        for (const partition of partitions) partition.onDown()
      },
      onSubscriberReady: () => {
        port.subscribe(Array.from(inboxes.keys())).catch((cause) => onFailure("subscribing", cause))
      },
      onSubscriberDown: () => {},
      onMessage: (channel) => {
        const partition = inboxes.get(channel)
        partition?.nudge()
        return partition !== undefined
      }
    })

    // The first partition is always used: there replicas find out whether they understand each other.
    const first = partitions[0] as Partition<OwnedLease>
    yield* within<void>(timeout, (done) => {
      const look = (): void => {
        if (refused !== undefined || first.isClaimed) done()
      }
      wake = look
      first.use()
      look()
      return () => {
        wake = () => {}
      }
    })
    joining = false
    if (refused !== undefined) return yield* new PresenceUnavailable({ reason: refused })
    if (!first.isClaimed) return yield* unavailable("the first heartbeat")

    const pause = Effect.suspend(() => {
      pausing = shortest()
      hurry.unsafeClose()
      return Effect.raceFirst(Effect.sleep(Duration.millis(pausing)), hurry.await)
    })

    const beat = Effect.sync(() => {
      let dirty = 0
      for (const partition of partitions) {
        partition.beat()
        dirty += partition.outbox.dirty
      }
      metrics.set(metrics.dirty, dirty)
      metrics.set(metrics.leaseAge, (now() - lastBeat) / 1_000)
    })

    yield* Effect.zipRight(pause, beat).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("a heartbeat failed and will run again", cause)),
      Effect.forever,
      Effect.annotateLogs({ package: "effect-presence", fiber: "heartbeat" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      partitions,
      of: (topic) => partitions[partitionOf(topic, partitions.length)] as Partition<OwnedLease>,
      health: () => ({ status, since }),
      unavailable,
      onFailure
    }
  })

/** Why this replica cannot be one of those that are there, by what they say of themselves. */
const refusal = (prefix: string, theirs: string, { lease, heartbeat, partitions }: Settings): string => {
  const there = `other replicas with the prefix ${prefix}`
  const format = Number(/^format (\d+)/.exec(theirs)?.[1] ?? 1)
  if (format > FORMAT) {
    return `${there} are of a newer version, and this one does not understand what they keep in Redis ("${theirs}"; it knows formats up to ${FORMAT}): start that version, or another prefix; when they are gone for good, delete their keys`
  }
  if (!theirs.endsWith(`partitions ${partitions}`)) {
    return `${there} keep "${theirs}" in Redis, this one has partitions ${partitions}: a single server and a cluster cannot share their keys; when they are gone for good, delete their keys`
  }
  return `${there} are of version 0.1, which knows one lease for all: they live by ${theirs}, this one by lease ${lease} ms, heartbeat ${heartbeat} ms; start it with theirs, or when none of that version is left`
}

export type OwnedCell = Cell<OwnedLease>
