/**
 * What is left of memory. Needs `--expose-gc`, which the test runner passes to its workers.
 */
import { expect } from "@effect/vitest"
import { Effect } from "effect"

const collect = Effect.async<void>((resume) => {
  const { gc } = globalThis
  if (gc === undefined) throw new Error("run with --expose-gc")
  // A weak reference that was looked at holds on until that turn of the event loop is over.
  setImmediate(() => {
    gc()
    setImmediate(() => resume(Effect.void))
  })
})

/** Whether an object goes when garbage is collected. */
export const isCollected = (ref: WeakRef<object>): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (let i = 0; i < 20 && ref.deref() !== undefined; i++) yield* collect
    return ref.deref() === undefined
  })

/**
 * That the heap grows by fewer bytes when an effect runs once more, at least one time of several. What leaks grows each
 * time; noise, such as code that is being made fast, does not.
 */
export const expectGrowthBelow = <E, R>(
  bound: number,
  effect: Effect.Effect<unknown, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const used = Effect.zipRight(
      Effect.replicateEffect(collect, 2),
      Effect.sync(() => process.memoryUsage().heapUsed)
    )
    yield* effect
    let before = yield* used
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < 8 && least >= bound; i++) {
      yield* effect
      const after = yield* used
      least = Math.min(least, after - before)
      before = after
    }
    expect(least).toBeLessThan(bound)
  })
