/** A crowd has turns of the event loop, and between them others have theirs. */
import { afterEach, beforeEach, expect, it, vi } from "@effect/vitest"
import { Turns } from "../../src/web/turns.js"

let now = 0
let done: Array<string> = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setImmediate"] })
  now = 0
  done = []
  vi.spyOn(performance, "now").mockImplementation(() => now)
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** What takes so many milliseconds. */
const work = (name: string, ms: number) => () => {
  done.push(name)
  now += ms
}

/** What was done in the next turn. */
const turn = (): string => {
  done = []
  vi.runOnlyPendingTimers()
  return done.join("")
}

it("a turn ends when its time is over, or so many are done", () => {
  const [slow, few] = [new Turns(), new Turns(2)]
  for (const name of "abcde") slow.add(work(name, 2))
  expect([turn(), turn(), turn(), turn()]).toEqual(["ab", "cd", "e", ""])
  for (const name of "abc") few.add(work(name, 0))
  expect([turn(), turn(), turn()]).toEqual(["ab", "c", ""])
})

it("what can be done at once is, until the turn is full; then all wait in their order", () => {
  const turns = new Turns()
  for (const name of "abcd") turns.do(work(name, 3))
  expect(done.join("")).toBe("ab")
  expect([turn(), turn()]).toEqual(["cd", ""])
  turns.do(work("e", 3))
  expect(done.join("")).toBe("e")
})

it("one that throws keeps nobody else waiting", () => {
  const turns = new Turns()
  turns.add(() => {
    throw new Error("its own")
  })
  turns.add(work("a", 0))
  expect(turn).toThrow("its own")
  turns.do(work("b", 0))
  expect(turn()).toBe("ab")
})
