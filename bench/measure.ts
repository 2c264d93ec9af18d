/**
 * What the rows share: a presence of its own for each run, and the time that an effect takes.
 */
import { Effect, type Scope } from "effect"
import { Presence } from "effect-presence"

/** `--million`: the sizes that take a while. */
export const million = process.argv.includes("--million")

/** Nanoseconds for each of `count` operations. */
export const perOperation = (milliseconds: number, count: number): number => (milliseconds * 1e6) / count

/**
 * Starts now and tells the milliseconds since: by the clock, or of the processor where that is less, so that neither
 * what other programs took of a busy machine counts, nor what the collector's threads did beside us.
 */
export const stopwatch = (): (() => number) => {
  const start = performance.now()
  const before = process.cpuUsage()
  return () => {
    const elapsed = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    return Math.min(elapsed, (user + system) / 1e3)
  }
}

/** Runs an effect and answers with its milliseconds. */
export const timed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const elapsed = stopwatch()
    return Effect.map(effect, elapsed)
  })

/** `f` for each of `0 .. count - 1`, one after the other: the cheapest loop that Effect has. */
export const times = <E, R>(count: number, f: (i: number) => Effect.Effect<unknown, E, R>): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    let i = 0
    return Effect.whileLoop({ while: () => i < count, body: () => f(i++), step: () => {} })
  })

/** Runs `body` in a scope of its own over a presence that nothing else uses. By default nothing expires or is swept. */
export const withPresence = <A, E>(
  body: (presence: Presence.Service) => Effect.Effect<A, E, Scope.Scope>,
  options: Presence.Options = { ttl: "1 day" }
): Promise<A> =>
  Effect.flatMap(Presence, (presence) => Effect.scoped(body(presence))).pipe(
    Effect.provide(Presence.layer({ sweepInterval: "1 day", ...options })),
    Effect.runPromise
  )

/** Names made beforehand, in no order, so that neither their making nor a lucky order is measured. */
export const names = (prefix: string, count: number): ReadonlyArray<string> => {
  const stride = 7_919
  return Array.from({ length: count }, (_, i) => Buffer.from(`${prefix}${(i * stride) % count}`).toString("latin1"))
}

/** The `i`th of names, which must be there. */
export const nth = (list: ReadonlyArray<string>, i: number): string => {
  const name = list[i % list.length]
  if (name === undefined) throw new Error("no names")
  return name
}
