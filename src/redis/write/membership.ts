/**
 * This process as one replica among others: its partitions, their heartbeat, and whether Redis is there.
 */
import { Cause, Duration, Effect, Runtime, Schedule, type Scope } from "effect"
import type { OwnedLease } from "../../internal/leases/lease.js"
import { PresenceUnavailable } from "../../PresenceError.js"
import type { OpenPort } from "../client/scoped.js"
import { within } from "../client/within.js"
import * as metrics from "../metrics.js"
import type { RedisSettings } from "../options.js"
import { Keys, partitionOf } from "../protocol/keys.js"
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

    const times = {
      lease,
      heartbeat,
      shared: `lease ${lease} ms, heartbeat ${heartbeat} ms, partitions ${port.partitions}`
    }
    let refused: string | undefined
    let lastCause: unknown
    let status: "ok" | "unavailable" = "unavailable"
    let since = clock.unsafeCurrentTimeMillis()
    let lastBeat = since
    let joining = true
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
          lastBeat = clock.unsafeCurrentTimeMillis()
          wake()
        },
        onRefused: (theirs) => {
          refused = theirs
          wake()
          log(Effect.logError(`other replicas divide topics otherwise: ${theirs}, here ${times.shared}`))
        },
        onReaped: (lost, connections) => {
          metrics.add(metrics.reaped, connections)
          log(Effect.logInfo(`ended ${connections} connections of the lost replica ${lost}`))
        }
      }
      return new Partition<OwnedLease>({ port, keys: new Keys(prefix, partition), times, replica }, partitionEvents)
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

    // The first partition is always used: there replicas compare their settings.
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
    if (refused !== undefined) {
      const reason = `other replicas with the prefix ${prefix} live by ${refused}, this one by ${times.shared}`
      return yield* new PresenceUnavailable({ reason })
    }
    if (!first.isClaimed) return yield* unavailable("the first heartbeat")

    yield* Effect.sync(() => {
      let dirty = 0
      for (const partition of partitions) {
        partition.beat()
        dirty += partition.outbox.dirty
      }
      metrics.set(metrics.dirty, dirty)
      metrics.set(metrics.leaseAge, (clock.unsafeCurrentTimeMillis() - lastBeat) / 1_000)
    }).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("a heartbeat failed and will run again", cause)),
      Effect.schedule(Schedule.spaced(Duration.millis(heartbeat))),
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

export type OwnedCell = Cell<OwnedLease>
