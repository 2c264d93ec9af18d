/** One has the turn, the others wait in their order, and nobody who goes leaves the line standing. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { OneByOne } from "../../src/web/oneByOne.js"

describe("one by one", () => {
  it.effect("each begins when the one before is over, however that ends", () =>
    Effect.gen(function* () {
      const line = new OneByOne()
      const said: Array<string> = []
      const ends = [Effect.succeed("a"), Effect.fail("b"), Effect.die("c"), Effect.interrupt, Effect.succeed("e")]
      const fibers = yield* Effect.forEach(ends, (end, n) =>
        Effect.fork(
          line.run(
            Effect.sync(() => said.push(`begins ${n}`)).pipe(
              Effect.zipRight(Effect.yieldNow()),
              Effect.zipRight(Effect.sync(() => said.push(`ends ${n}`))),
              Effect.zipRight(end)
            )
          )
        )
      )
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      expect(exits.map(Exit.isSuccess)).toEqual([true, false, false, false, true])
      expect(said).toEqual(ends.flatMap((_, n) => [`begins ${n}`, `ends ${n}`]))
      expect(yield* line.run(Effect.succeed("free"))).toBe("free")
    })
  )

  it.effect("who is interrupted, at it or in line, lets the next one go on, and is not waited for", () =>
    Effect.gen(function* () {
      const line = new OneByOne()
      const begun = yield* Deferred.make<void>()
      const first = yield* Effect.fork(line.run(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)))
      yield* Deferred.await(begun)
      const second = yield* Effect.fork(line.run(Effect.dieMessage("it was interrupted")))
      const third = yield* Effect.fork(line.run(Effect.succeed(3)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(second)
      expect(third.unsafePoll()).toBe(null)
      yield* Fiber.interrupt(first)
      expect(yield* Fiber.join(third)).toBe(3)
      // Interrupted in the very moment in which its turn comes.
      const gate = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(line.run(Deferred.await(gate)))
      const next = yield* Effect.fork(line.run(Effect.never))
      const last = yield* Effect.fork(line.run(Effect.succeed("last")))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      next.unsafeInterruptAsFork(next.id())
      expect(yield* Fiber.join(last)).toBe("last")
      yield* Fiber.join(holder)
    })
  )

  it.live("who waits is woken once, and not by each that is over", () =>
    Effect.gen(function* () {
      const line = new OneByOne()
      let steps = 0
      const nextTurn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
      const one = line.run(
        Effect.zipRight(
          nextTurn,
          Effect.sync(() => steps++)
        )
      )
      // With a semaphore of Effect's this takes minutes and gigabytes.
      yield* Effect.forEach(Array.from({ length: 4_000 }), () => one, { concurrency: "unbounded", discard: true })
      expect(steps).toBe(4_000)
    })
  )
})
