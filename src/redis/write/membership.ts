/**
 * This process as one replica among others: its partitions, their heartbeat, and whether Redis is there.
 */
import { Cause, Duration, Effect, Runtime, type Scope } from "effect"
import type { OwnedLease } from "../../internal/leases/lease.js"
import { PresenceUnavailable } from "../../PresenceError.js"
import type { PresenceHealth } from "../../PresenceHealth.js"
import type { Port } from "../client/port.js"
import { isAnswer, reasonOf } from "../client/reasons.js"
import type { OpenPort } from "../client/scoped.js"
import { within } from "../client/waiting.js"
import * as metrics from "../metrics.js"
import type { RedisSettings } from "../options.js"
import { FORMAT, formatOf } from "../protocol/format.js"
import { Keys, partitionOf } from "../protocol/keys.js"
import * as scripts from "../protocol/scripts.js"
import type { Settings } from "../protocol/values.js"
import type { Cell } from "./outbox.js"
import { Partition, type PartitionEvents, WRITING } from "./partition.js"

export interface Membership {
  /** To read by. Others' format that is not understood here is not asked for: all but heartbeats fails with the reason. */
  readonly port: Port
  readonly partitions: ReadonlyArray<Partition<OwnedLease>>
  readonly of: (topic: string) => Partition<OwnedLease>
  /**
   * Whether every partition's last heartbeat was answered, and what others do is heard of, and since when that is so, in
   * epoch ms.
   */
  readonly health: () => Pick<PresenceHealth, "status" | "since">
  /** For so long one may be silent who is there, whichever replica it is, in ms. */
  readonly longestLease: () => number
  /** What a call fails with that needed Redis: for its own cause, or because there was no answer in time. */
  readonly unavailable: (what: string, cause?: unknown) => PresenceUnavailable
  readonly onFailure: (what: string, cause: unknown) => void
  /** Warns, once, of a key or channel that somebody else than a replica has written to. */
  readonly onForeign: (key: string, what: string) => void
  /** From now on the listener is told. */
  readonly listen: (listener: MembershipListener) => void
}

/** What a failed heartbeat is called. */
const HEARTBEAT = "the heartbeat"

/** How long it is not said again that Redis does not take what is written, in milliseconds. */
const QUIET = 60_000

/** How many keys are remembered of which somebody was warned. */
const COMPLAINTS = 1_000

/** How many reasons are told of one time that Redis is away. */
const REASONS = 10

/** How long it is counted, and not told, that Redis is away once more, in milliseconds. */
const AGAIN = 30_000

const DEAF = "nothing can be subscribed to in Redis: what others do is heard of up to 10 seconds late"

/** How long the subscriber may be away before it is more than a reconnect. */
const RECONNECT = "1 second"

/** Told what concerns others than the partitions. None may wait. */
export interface MembershipListener {
  readonly onEvicted: PartitionEvents<OwnedLease>["onEvicted"]
  readonly onWritten: PartitionEvents<OwnedLease>["onWritten"]
  readonly onEpochChanged: (partition: number) => void
  readonly onLost: PartitionEvents<OwnedLease>["onLost"]
}

/** Joins the others, or fails with the reason. Heartbeats run until the scope closes. */
export const makeMembership = (
  { port: open, listen }: OpenPort,
  settings: RedisSettings & Pick<Settings, "keyIndex">,
  replica: string
): Effect.Effect<Membership, PresenceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const { prefix, lease, heartbeat, timeout, keyIndex = false } = settings
    const clock = yield* Effect.clock
    const run = Runtime.runFork(yield* Effect.runtime())
    const log = (effect: Effect.Effect<void>): void =>
      void run(Effect.annotateLogs(effect, { package: "effect-presence", replica }))

    const start = clock.unsafeCurrentTimeNanos()
    /** Milliseconds of a clock that never goes back. */
    const now = (): number => Number(clock.unsafeCurrentTimeNanos() - start) / 1e6
    const own = { lease, heartbeat, partitions: open.partitions, keyIndex }
    /** Why this replica may not write, by the partition that says so; and why not even read. */
    const refusals = new Map<number, { readonly reason: string; readonly isNewer: boolean }>()
    const refused = (): string | undefined => [...refusals.values()][0]?.reason
    const port = standingAside(open, () => [...refusals.values()].find(({ isNewer }) => isNewer)?.reason)
    // Until somebody listens nothing is held and nothing is followed, so there is nothing to tell.
    let listener: MembershipListener | undefined
    /** Why the connection for commands is down, while it is; and the last heartbeat's failure, until one is answered. */
    let down: string | undefined
    let beatFailure: unknown
    /** When it may be said again that Redis answers and does not take what is written. */
    let complainAgain = 0
    /** Whether nothing can be subscribed to, for longer than a reconnect takes. */
    let deaf = false
    let status: PresenceHealth["status"] = "unavailable"
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
      if (what === HEARTBEAT) {
        beatFailure = cause
        tellAway()
      }
      if (what === WRITING && isAnswer(cause) && now() >= complainAgain) {
        complainAgain = now() + QUIET
        log(Effect.logWarning(`Redis takes no joins and updates${because(cause)}`))
      }
      log(Effect.logDebug(`${what} failed`, Cause.fail(cause)))
    }

    const foreign = new Set<string>()
    const onForeign = (key: string, what: string): void => {
      if (foreign.has(key)) return
      if (foreign.size >= COMPLAINTS) foreign.clear()
      foreign.add(key)
      log(Effect.logWarning(`in Redis ${key} ${what}: no replica of this package wrote that, so another program did`))
    }

    const because = (cause: unknown): string => (cause === undefined ? "" : `: ${reasonOf(cause, down)}`)

    const reasons = new Set<string>()
    /** Whether it was told that Redis is away this time, how often it was not since it was, and until when it is not. */
    let isTold = false
    let untold = 0
    let quietUntil = 0
    const more = (): string => `${untold} ${untold === 1 ? "time" : "times"} more since this was told last`

    /**
     * Warns while Redis is away: what ended the connection is seldom why there is no other, so of each reason, once. One that
     * comes and goes would fill the log.
     */
    const tellAway = (): void => {
      if (status === "ok" || joining || refused() !== undefined || reasons.size >= REASONS) return
      if (!isTold && now() < quietUntil) return
      const reason = status === "degraded" ? DEAF : `Redis does not answer${because(down ?? beatFailure)}`
      if (reasons.has(reason)) return
      reasons.add(reason)
      log(Effect.logWarning(untold === 0 ? reason : `${reason}; ${more()}`))
      if (!isTold) quietUntil = now() + AGAIN
      isTold = true
      untold = 0
    }

    /** Of what nobody was told at the time. */
    const tellUntold = (): void => {
      if (status === "degraded") tellAway()
      if (status !== "ok" || untold === 0 || now() < quietUntil) return
      log(Effect.logWarning(`Redis was away ${more()}, and is there`))
      quietUntil = now() + AGAIN
      untold = 0
    }

    const unavailable = (what: string, cause: unknown = down ?? beatFailure): PresenceUnavailable =>
      new PresenceUnavailable({
        reason: `${isAnswer(cause) ? `Redis refuses ${what}` : `${what} got no answer from Redis`}${because(cause)}`,
        cause
      })

    const onHealthChanged = (): void => {
      const used = partitions.filter((partition) => partition.isUsed)
      const away = used.some((partition) => partition.isHealthy === false)
      const next = away ? "unavailable" : deaf ? "degraded" : "ok"
      if (next === status) return
      const before = status
      status = next
      since = clock.unsafeCurrentTimeMillis()
      if (joining) return
      reasons.clear()
      if (next !== "ok") {
        tellAway()
        return
      }
      if (!isTold) untold++
      else
        log(Effect.logInfo(before === "degraded" ? "what others do is heard of at once again" : "Redis answers again"))
      isTold = false
    }

    /** How often there was a subscriber again. */
    let returns = 0
    const onSubscriber = (ready: boolean): void => {
      if (ready) {
        returns++
        deaf = false
        onHealthChanged()
        return
      }
      const before = returns
      run(
        Effect.delay(
          Effect.sync(() => {
            if (returns !== before || deaf) return
            deaf = true
            onHealthChanged()
          }),
          RECONNECT
        )
      )
    }

    const partitions = Array.from({ length: port.partitions }, (_, partition) => {
      const partitionEvents: PartitionEvents<OwnedLease> = {
        onEvicted: (cells) => listener?.onEvicted(cells),
        onWritten: (epoch, versions) => listener?.onWritten(epoch, versions),
        onEpochChanged: () => listener?.onEpochChanged(partition),
        onHealthChanged,
        onFailure,
        onForeign,
        onBeaten: () => {
          lastBeat = now()
          beatFailure = undefined
          refusals.delete(partition)
          wake()
          if (shortest() < pausing) hurry.unsafeOpen()
        },
        onRefused: (theirs) => {
          const reason = refusal(prefix, theirs, own)
          const isNews = refusals.get(partition)?.reason !== reason
          refusals.set(partition, { reason, isNewer: formatOf(theirs) > FORMAT })
          beatFailure = new Error(reason)
          wake()
          if (!isNews || joining) return
          isTold = true
          log(Effect.logError(reason))
        },
        onLost: (topic, member) => listener?.onLost(topic, member),
        onReaped: (lost, connections) => {
          metrics.add(metrics.reaped, connections)
          log(Effect.logInfo(`ended ${connections} connections of the lost replica ${lost}`))
        }
      }
      const keys = new Keys(prefix, partition)
      return new Partition<OwnedLease>({ port, keys, settings: own, replica }, partitionEvents)
    })
    /** That this can be subscribed to shows that anything can. */
    const subscribe = (): void => {
      port.subscribe(Array.from(inboxes.keys())).then(
        () => onSubscriber(true),
        (cause) => {
          onFailure("subscribing", cause)
          onSubscriber(false)
        }
      )
    }
    const inboxes = new Map(partitions.map((partition) => [partition.keys.inbox(replica), partition]))

    listen({
      onReady: () => {
        down = undefined
        for (const partition of partitions) partition.onReady()
      },
      onDown: (reason) => {
        down = reason
        for (const partition of partitions) partition.onDown()
        tellAway()
      },
      onSubscriberReady: () => {
        subscribe()
      },
      onSubscriberDown: () => onSubscriber(false),
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
        if (refused() !== undefined || first.isClaimed) done()
      }
      wake = look
      first.use()
      look()
      return () => {
        wake = () => {}
      }
    })
    joining = false
    const reason = refused()
    if (reason !== undefined) return yield* new PresenceUnavailable({ reason })
    if (!first.isClaimed) return yield* unavailable("the first heartbeat")
    yield* mayUseChannels(port, first.keys.inbox(replica))

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
      if (deaf && port.isSubscriberReady()) subscribe()
      tellUntold()
      metrics.set(metrics.dirty, dirty)
      metrics.set(metrics.leaseAge, (now() - lastBeat) / 1_000)
      metrics.set(metrics.hears, deaf ? 0 : 1)
    })

    yield* Effect.zipRight(pause, beat).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("a heartbeat failed and will run again", cause)),
      Effect.forever,
      Effect.annotateLogs({ package: "effect-presence", fiber: "heartbeat" }),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      port,
      partitions,
      of: (topic) => partitions[partitionOf(topic, partitions.length)] as Partition<OwnedLease>,
      health: () => ({ status, since }),
      longestLease: () => Math.max(...partitions.map((partition) => partition.longestLease)),
      unavailable,
      onFailure,
      onForeign,
      listen: (to) => {
        listener = to
      }
    }
  })

/** A user without rights on our channels would be one who hears nothing: better none. */
const mayUseChannels = (port: Port, channel: string): Effect.Effect<void, PresenceUnavailable> =>
  Effect.tryPromise({
    try: async () => {
      await port.subscribe([channel])
      await port.publish(channel, "")
    },
    catch: (cause) => cause
  }).pipe(
    Effect.catchAll((cause) =>
      cause instanceof Error && cause.message.startsWith("NOPERM")
        ? Effect.fail(
            new PresenceUnavailable({
              reason: `the user of Redis may not use the channels of presence, such as ${channel}: grant them (ACL SETUSER … &prefix:*)`,
              cause
            })
          )
        : // It goes on without, and says so.
          Effect.void
    )
  )

/** A port by which nothing is read or written but heartbeats while there is a reason not to. */
const standingAside = (port: Port, reason: () => string | undefined): Port => {
  const ask = <A>(call: () => Promise<A>): Promise<A> => {
    const refused = reason()
    return refused === undefined ? call() : Promise.reject(new Error(refused))
  }
  return {
    ...port,
    command: (name, args) => ask(() => port.command(name, args)),
    run: (script, keys, args) =>
      script === scripts.beat ? port.run(script, keys, args) : ask(() => port.run(script, keys, args))
  }
}

/** Why this replica cannot be one of those that are there, by what they say of themselves. */
const refusal = (prefix: string, theirs: string, { lease, heartbeat, partitions }: Settings): string => {
  const there = `other replicas with the prefix ${prefix}`
  if (formatOf(theirs) > FORMAT) {
    return `${there} are of a newer version, and this one does not understand what they keep in Redis ("${theirs}"; it knows formats up to ${FORMAT}): start that version, or another prefix; when they are gone for good, delete their keys`
  }
  if (!theirs.endsWith(`partitions ${partitions}`)) {
    return `${there} keep "${theirs}" in Redis, this one has partitions ${partitions}: a single server and a cluster cannot share their keys; when they are gone for good, delete their keys`
  }
  return `${there} are of version 0.1, which knows one lease for all: they live by ${theirs}, this one by lease ${lease} ms, heartbeat ${heartbeat} ms; start it with theirs, or when none of that version is left`
}

export type OwnedCell = Cell<OwnedLease>
