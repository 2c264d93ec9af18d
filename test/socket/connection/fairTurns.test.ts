import { expect, it, vi } from "@effect/vitest"
import { FairTurns, type Worker } from "../../../src/socket/connection/fairTurns.js"

const busy = (ms: number): void => {
  for (const until = performance.now() + ms; performance.now() < until; );
}

it("who costs little waits for one of those who cost much, and not for all of them", async () => {
  const turns = new FairTurns()
  const order: Array<string> = []
  let working = true
  const costly = Array.from({ length: 20 }, (_, n): Worker => {
    return {
      work: () => {
        busy(4)
        order.push(`costly ${n}`)
        return working
      }
    }
  })
  for (const worker of costly) turns.run(worker)
  // All of them are known for what they cost.
  while (new Set(order).size < costly.length) await new Promise(setImmediate)
  for (let times = 0; times < 5; times++) {
    const before = order.length
    let done = false
    turns.run({
      work: () => {
        done = true
        return false
      }
    })
    while (!done) await new Promise(setImmediate)
    expect(order.length - before).toBeLessThanOrEqual(2)
  }
  // Nobody of them is forgotten.
  const seen = order.length
  while (new Set(order.slice(seen)).size < costly.length) await new Promise(setImmediate)
  working = false
})

it("one that throws keeps nobody else waiting", () => {
  vi.useFakeTimers({ toFake: ["setImmediate"] })
  try {
    const turns = new FairTurns()
    const done: Array<string> = []
    const worker = (name: string, work: () => void): Worker => ({
      work: () => {
        done.push(name)
        work()
        return false
      }
    })
    // It takes the whole turn, so that the others wait.
    turns.run(worker("first", () => busy(6)))
    turns.run(
      worker("wrong", () => {
        throw new Error("its own")
      })
    )
    turns.run(worker("last", () => {}))
    expect(done).toEqual(["first"])
    expect(() => vi.runOnlyPendingTimers()).toThrow("its own")
    vi.runOnlyPendingTimers()
    expect(done).toEqual(["first", "wrong", "last"])
  } finally {
    vi.useRealTimers()
  }
})
