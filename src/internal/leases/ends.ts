/**
 * Connections that end by time, some in each turn: those whose ttl is over when somebody sweeps, and those whose leave
 * delay is, for whom somebody wakes.
 */
import { Duration, Effect, type Fiber, FiberId } from "effect"
import type { Registry } from "../state/registry.js"
import { sleepAwake } from "./awake.js"
import type { OwnedLease } from "./lease.js"
import { inTurns } from "./turns.js"

/** Connections that one step ends at the most: with cold memory, and maps that shrink, that is some milliseconds. */
export const SHARE = 64

interface Ending {
  readonly step: <A>(f: (registry: Registry<OwnedLease>) => A) => Effect.Effect<A>
  /** Nanoseconds since the start. */
  readonly now: () => number
  /** Runs until the layer's scope closes. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
}

export interface Ends {
  /** Runs what ends up to {@link SHARE} connections until it finds no more, and counts them. */
  readonly endAll: (some: (registry: Registry<OwnedLease>) => number) => Effect.Effect<number>
  readonly sweepExpired: Effect.Effect<number>
  /** Makes sure that somebody wakes when the next leave delay is over, and nobody else later: one sleeper for all. */
  readonly departLater: Effect.Effect<void>
}

export const makeEnds = ({ step, now, fork }: Ending): Ends => {
  const endAll = (some: (registry: Registry<OwnedLease>) => number): Effect.Effect<number> =>
    Effect.suspend(() => {
      let all = 0
      const share = step((registry) => {
        const ended = some(registry)
        all += ended
        return ended === SHARE
      })
      return Effect.map(inTurns(share), () => all)
    })

  const sweepExpired = Effect.suspend(() => {
    const at = now()
    return endAll((registry) => registry.expire(at, SHARE))
  })

  /** When somebody wakes because a leave delay is over, and who. */
  let departure = Number.POSITIVE_INFINITY
  let departing: Fiber.RuntimeFiber<void> | undefined

  // The sleeper is nobody's child, as each would keep what it has from the one before, without an end.
  const departLater: Effect.Effect<void> = step(({ nextDeparture }) => {
    if (nextDeparture >= departure) return
    departure = nextDeparture
    departing?.unsafeInterruptAsFork(FiberId.none)
    departing = fork(depart(nextDeparture))
  })

  const depart = (at: number): Effect.Effect<void> =>
    sleepAwake(Duration.millis(Math.max(0, Math.ceil((at - now()) / 1e6)))).pipe(
      Effect.zipRight(
        Effect.suspend(() => {
          // Whatever the time: a timer may wake a little early, and then somebody has to sleep again.
          departure = Number.POSITIVE_INFINITY
          departing = undefined
          return endAll((registry) => registry.depart(now(), SHARE))
        })
      ),
      Effect.zipRight(departLater)
    )

  return { endAll, sweepExpired, departLater }
}
