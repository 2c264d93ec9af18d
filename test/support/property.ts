/**
 * Properties over effects: many runs in one runtime, several at a time, so that waiting for a clock costs little.
 *
 * A run that fails is looked for again, one at a time, so that
 * fast-check can shrink it.
 */
import { Cause, Effect, Exit, Runtime } from "effect"
import fc from "fast-check"
import { seedOf } from "./seed.js"

export interface Options {
  readonly name: string
  readonly runs: number
  /** How many at a time; runs that share something go one by one. */
  readonly atOnce: number
}

export const holds = <A, R>(
  { name, runs, atOnce }: Options,
  arbitrary: fc.Arbitrary<A>,
  run: (value: A) => Effect.Effect<void, unknown, R>
): Effect.Effect<void, never, R> =>
  Effect.gen(function* () {
    const seed = seedOf(name, runs)
    const runtime = yield* Effect.runtime<R>()
    let failed: { readonly value: A; readonly cause: Cause.Cause<unknown> } | undefined
    yield* Effect.forEach(
      fc.sample(arbitrary, { seed, numRuns: runs }),
      (value) =>
        failed !== undefined
          ? Effect.void
          : Effect.map(Effect.exit(Effect.suspend(() => run(value))), (exit) => {
              if (Exit.isFailure(exit)) failed ??= { value, cause: exit.cause }
            }),
      { concurrency: atOnce, discard: true }
    )
    if (failed === undefined) return
    const property = fc.asyncProperty(arbitrary, (value) =>
      Runtime.runPromise(runtime)(Effect.suspend(() => run(value)))
    )
    yield* Effect.promise(() => fc.assert(property, { seed, numRuns: runs, endOnFailure: false }))
    // It did not fail alone: what is left is the run as it was.
    yield* Effect.die(
      new Error(`${name} failed with FC_SEED=${seed}: ${fc.stringify(failed.value)}\n${Cause.pretty(failed.cause)}`)
    )
  })
