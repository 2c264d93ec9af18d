/**
 * What is left of memory. Needs `--expose-gc`, which the test runner passes to its workers.
 */
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
 * By how many bytes the heap grows at least when an effect runs once more. What leaks does so each time; noise, such as
 * code that is being made fast, does not.
 */
export const growth = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const used = Effect.zipRight(
      Effect.replicateEffect(collect, 2),
      Effect.sync(() => process.memoryUsage().heapUsed)
    )
    yield* effect
    let before = yield* used
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < 8; i++) {
      yield* effect
      const after = yield* used
      least = Math.min(least, after - before)
      before = after
    }
    return least
  })
