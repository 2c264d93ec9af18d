/**
 * Leases that wait for Redis: a join until it is written, a leave for a while.
 *
 * In order, what was done here is in Redis, and seen by followers here, when the effect that did it is over. When
 * Redis does not answer, a join fails and leaves nothing behind, or with `whenUnavailable: "local"` goes on without; an
 * update fails but stays wanted; a leave is never waited for longer than 2 s, so that a scope closes.
 */
import { Effect, Option } from "effect"
import type { OwnedLease, Owner, ScopeLeases } from "../../internal/leases/lease.js"
import type { PresenceUnavailable } from "../../PresenceError.js"
import { noStop, within } from "../client/waiting.js"
import type { RedisSettings } from "../options.js"
import type { Membership, OwnedCell } from "./membership.js"
import type { Written } from "./outbox.js"

/** How long what ends something waits for Redis, in ms. */
export const ENDING = 2_000

export interface Confirmation {
  /** Puts the waiting around what leases do. */
  readonly own: (owner: Owner) => Owner
  /** Waits for a lease that was just tracked. When it fails or is interrupted the lease is released. */
  readonly tracked: (lease: OwnedLease) => Effect.Effect<OwnedLease, PresenceUnavailable>
  /** Runs what ends connections, and waits for their leaves: up to `ms`, and up to 2 s while Redis takes none of them. */
  readonly end: <A>(effect: Effect.Effect<A>, ms?: number) => Effect.Effect<A>
  /** Told of each leave. */
  readonly onLeave: (cell: OwnedCell) => void
}

export const makeConfirmation = (
  membership: Membership,
  reached: (topic: string, ms?: number) => Effect.Effect<void>,
  redis: RedisSettings
): Confirmation => {
  const isLocal = redis.whenUnavailable === "local"
  const isAway = (): boolean => membership.health().status === "unavailable"

  /** Waits until Redis has what the lease wants, and followers here have been told. */
  const confirm = (lease: OwnedLease): Effect.Effect<void, PresenceUnavailable> =>
    Effect.suspend(() => {
      const { outbox } = membership.of(lease.topic)
      const cell = outbox.get(lease.joined)
      if (cell === undefined || outbox.isWritten(cell)) return reached(lease.topic)
      if (isLocal && isAway()) return Effect.void
      return Effect.flatMap(
        within<Written>(redis.timeout, (done) => outbox.wait(cell, done)),
        (written) => {
          if (Option.isSome(written)) return reached(lease.topic)
          if (isLocal) return Effect.void
          const what = `writing ${JSON.stringify(lease.topic)}`
          return Effect.fail(membership.unavailable(what, membership.of(lease.topic).refusedWith))
        }
      )
    })

  // Who wants to know of leaves while something of theirs runs; others' leaves among them do no harm.
  const collectors = new Set<Array<OwnedCell>>()
  const closing = new Set<ScopeLeases>()

  const end: Confirmation["end"] = (effect, ms = ENDING) =>
    Effect.suspend(() => {
      const cells: Array<OwnedCell> = []
      // Ending very many takes a while by itself, and writes them meanwhile.
      const until = performance.now() + ms
      collectors.add(cells)
      return effect.pipe(
        Effect.ensuring(Effect.sync(() => collectors.delete(cells))),
        Effect.zipLeft(Effect.suspend(() => (cells.length === 0 || isAway() ? Effect.void : gone(cells, until))))
      )
    })

  const isWritten = (cell: OwnedCell): boolean => membership.of(cell.topic).outbox.isWritten(cell)

  const gone = (cells: ReadonlyArray<OwnedCell>, until: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const left = (): number => Math.max(0, until - performance.now())
      const waiting = cells.filter((cell) => !isWritten(cell))
      if (waiting.length === 0) {
        const topics = new Set(cells.map(({ topic }) => topic))
        return Effect.forEach(topics, (topic) => reached(topic, left()), { discard: true })
      }
      return within<void>(Math.min(ENDING, left()), (done) => {
        let missing = waiting.length
        for (const cell of waiting) {
          membership.of(cell.topic).outbox.wait(cell, () => {
            if (--missing === 0) done()
          })
        }
        return noStop
      }).pipe(
        Effect.flatMap((settled) =>
          // What did not reach Redis in time will not be seen in time either. As long as it takes some, it may take all.
          Option.isSome(settled) || (left() > 0 && waiting.some(isWritten)) ? gone(cells, until) : Effect.void
        )
      )
    })

  let base: Owner | undefined

  return {
    end,

    own: (owner) => {
      base = owner
      const rejoin = (lease: OwnedLease) => Effect.tapError(confirm(lease), () => owner.expire(lease))
      return {
        ...owner,
        refresh: (lease) =>
          Effect.tap(owner.refresh(lease), (result) => (result === "rejoined" ? rejoin(lease) : Effect.void)),
        update: (lease, next) =>
          owner.update(lease, next).pipe(
            Effect.tap((result) => {
              if (result === "rejoined") return rejoin(lease)
              return result === "updated" ? confirm(lease) : Effect.void
            }),
            // Evicted elsewhere before it was written.
            Effect.map((result) => (result === "updated" && lease.status === "evicted" ? "evicted" : result))
          ),
        release: (lease) => end(owner.release(lease)),
        closeScope: (leases) =>
          Effect.suspend(() => {
            // Closing a scope of many leases calls itself; only the outermost waits.
            if (closing.has(leases)) return owner.closeScope(leases)
            closing.add(leases)
            return Effect.ensuring(
              end(owner.closeScope(leases)),
              Effect.sync(() => closing.delete(leases))
            )
          })
      }
    },

    tracked: (lease) => {
      if (lease.status !== "present") return Effect.succeed(lease)
      const undo = Effect.suspend(() => base?.release(lease) ?? Effect.void)
      return confirm(lease).pipe(
        // As a scope's close, it is over when Redis has it.
        Effect.onInterrupt(() => end(undo)),
        Effect.tapError(() => undo),
        Effect.as(lease)
      )
    },

    onLeave: (cell) => {
      for (const cells of collectors) cells.push(cell)
    }
  }
}
