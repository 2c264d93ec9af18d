import { afterEach, beforeEach, expect, it, vi } from "@effect/vitest"
import { FairTurns, type Worker } from "../../../src/socket/connection/fairTurns.js"

let clock = 0
beforeEach(() => {
  vi.spyOn(performance, "now").mockImplementation(() => clock)
})
afterEach(() => {
  vi.restoreAllMocks()
})

const busy = (ms: number): void => {
  clock += ms
}

it("who costs little waits for one of those who cost much, and not for all of them", async () => {
  const turns = new FairTurns()
  const order: Array<string> = []
  let working = true
  const costly = Array.from({ length: 20 }, (_, n): Worker => {
    return {
      isNew: false,
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
      isNew: false,
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

it("who says little goes before those who say much, and they still have a share in each turn", async () => {
  const turns = new FairTurns()
  const shares = { much: 0, little: 0 }
  let working = true
  const worker = (kind: keyof typeof shares, until: () => boolean): Worker => ({
    isNew: false,
    work: () => {
      busy(0.3)
      shares[kind]++
      return until()
    }
  })
  for (let n = 0; n < 50; n++) turns.run(worker("much", () => working))
  while (shares.much < 200) await new Promise(setImmediate)
  // More of them than a turn has time for, each new.
  for (let times = 0; times < 10; times++) {
    const before = { ...shares }
    for (let n = 0; n < 40; n++) turns.run(worker("little", () => false))
    while (shares.little < before.little + 40) await new Promise(setImmediate)
    // One in each of three turns, and what is left of the last one.
    expect(shares.much - before.much).toBeGreaterThanOrEqual(3)
    expect(shares.much - before.much).toBeLessThanOrEqual(3 + 5 / 0.3)
  }
  working = false
})

it("who comes has one message taken, and a share of time only after all who came", async () => {
  const turns = new FairTurns()
  const taken: Array<string> = []
  const worker = (name: string, messages: number): Worker => ({
    isNew: false,
    work: (until) => {
      do {
        busy(0.1)
        taken.push(name)
      } while (--messages > 0 && performance.now() < until)
      return messages > 0
    }
  })
  // It takes the whole turn, so that the others wait.
  turns.run({
    isNew: false,
    work: () => {
      busy(6)
      return false
    }
  })
  turns.run(worker("a", 4))
  turns.run(worker("b", 4))
  turns.run(worker("c", 1))
  while (taken.length < 9) await new Promise(setImmediate)
  expect(taken.join(" ")).toBe("a b c a a a b b b")
})

it("one that throws keeps nobody else waiting", () => {
  vi.useFakeTimers({ toFake: ["setImmediate"] })
  try {
    const turns = new FairTurns()
    const done: Array<string> = []
    const worker = (name: string, work: () => void): Worker => ({
      isNew: false,
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

it("all have as much of a turn as others made it longer, so that nobody waits for ever beside them", async () => {
  for (const [others, least, most] of [
    [0, 5, 5.25],
    [12, 12, 12.25],
    [60, 20, 20.25]
  ] as const) {
    const turns = new FairTurns()
    let taken = 0
    let working = true
    for (let n = 0; n < 200; n++) {
      turns.run({
        isNew: false,
        work: () => {
          busy(0.25)
          taken += 0.25
          return working
        }
      })
    }
    const inTurn: Array<number> = []
    while (inTurn.length < 20) {
      await new Promise(setImmediate)
      inTurn.push(taken)
      taken = 0
      busy(others)
    }
    // As it goes on.
    for (const time of inTurn.slice(-5)) {
      expect([others, time]).toEqual([others, Math.min(most, Math.max(least, time))])
    }
    working = false
  }
})

it("who is in does not wait behind a crowd that comes in, whatever they have to say", async () => {
  const turns = new FairTurns()
  let newcomers = 0
  let working = true
  const arrive = (count: number): void => {
    for (let n = 0; n < count; n++) {
      turns.run({
        isNew: true,
        work: () => {
          busy(1)
          newcomers++
          return false
        }
      })
    }
  }
  arrive(200)
  const taken: Array<number> = []
  turns.run({
    isNew: false,
    work: (until) => {
      do {
        busy(0.1)
        taken.push(newcomers)
      } while (clock < until)
      return taken.length < 40
    }
  })
  while (newcomers < 200) await new Promise(setImmediate)
  // One message to begin with, then a share in each turn, in which newcomers have half of what is left.
  expect(taken[0]).toBeLessThanOrEqual(5)
  expect(taken).toHaveLength(40)
  expect(taken.at(-1)).toBeLessThan(100)
  // Those who are in and have very much to say leave them half.
  for (let n = 0; n < 50; n++) {
    turns.run({
      isNew: false,
      work: () => {
        busy(0.3)
        return working
      }
    })
  }
  const before = clock
  arrive(100)
  while (newcomers < 300) await new Promise(setImmediate)
  working = false
  expect(clock - before).toBeLessThan(300)
})
