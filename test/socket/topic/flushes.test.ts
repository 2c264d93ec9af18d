/** Topics tell in their turn what they have gathered. */
import { afterEach, beforeEach, expect, it, vi } from "@effect/vitest"
import { Duration, Effect, FiberSet, TestClock } from "effect"
import { Flushes } from "../../../src/socket/topic/flushes.js"
import { sparingly } from "../../../src/web/sparingly.js"

// No turn is over because the machine is busy.
beforeEach(() => void vi.spyOn(performance, "now").mockReturnValue(0))
afterEach(() => {
  vi.restoreAllMocks()
})

it.scoped("one that throws keeps no other waiting, neither behind it nor later", () =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const flushes = new Flushes(
      Duration.millis(50),
      () => clock.unsafeCurrentTimeMillis(),
      run,
      sparingly("a topic could not tell")
    )
    const told: Array<string> = []
    const says = (name: string) => ({ flush: () => void told.push(name) })
    const throws = {
      flush: () => {
        throw new RangeError("Invalid string length")
      }
    }
    for (const topic of [says("before"), throws, says("behind")]) flushes.add(topic)
    yield* TestClock.adjust("50 millis")
    expect(told).toEqual(["before", "behind"])
    flushes.add(says("later"))
    yield* TestClock.adjust("50 millis")
    expect(told).toEqual(["before", "behind", "later"])
  })
)
