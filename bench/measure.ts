/**
 * What the rows share: the presence that they measure, and how they tell the time.
 */
import { Effect, ManagedRuntime, type Scope } from "effect"
import { Presence } from "effect-presence"
import { check, type Time } from "./harness.js"

/** `--million`: the sizes that take a while. */
export const million = process.argv.includes("--million")

const PER_MS = { ns: 1e6, us: 1e3, ms: 1 }

/** What each of `count` operations took, from milliseconds for all of them. */
export const perOperation = ({ clock, processor }: Time, count: number, unit: "ns" | "us" | "ms" = "ns"): Time => ({
  clock: (clock * PER_MS[unit]) / count,
  processor: (processor * PER_MS[unit]) / count
})

/** Starts now and tells the milliseconds since. */
export const stopwatch = (): (() => Time) => {
  const start = performance.now()
  const before = process.cpuUsage()
  return () => {
    const clock = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    return { clock, processor: (user + system) / 1e3 }
  }
}

/** Runs an effect and answers with its milliseconds. */
export const timed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<Time, E, R> =>
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

/**
 * One presence for all rows, as a server has one for its life: code that was made fast for one that is gone is slow for
 * the next. Nothing expires or is swept by itself.
 */
const runtime = ManagedRuntime.make(Presence.layer({ ttl: "1 day", sweepInterval: "1 day" }))

/** Runs `body` in a scope of its own. What it tracks must be gone when that has closed. */
export const inScope = <A, E, R>(body: (presence: Presence.Service) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const result = yield* Effect.scoped(body(presence))
    check("connections left behind", (yield* presence.health).connections, 0)
    return result
  })

/** The same, over the presence of all rows. */
export const withPresence = <A, E>(
  body: (presence: Presence.Service) => Effect.Effect<A, E, Scope.Scope>
): Promise<A> => runtime.runPromise(inScope(body))

/** When all rows are done. */
export const close = (): Promise<void> => runtime.dispose()

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
