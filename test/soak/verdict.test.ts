/** What the soak judges by: differences between lists, and slopes. */
import { describe, expect, it } from "@effect/vitest"
import { differences } from "../../bench/soak/check.js"
import { flat } from "../../bench/soak/report.js"
import { slope } from "../../bench/soak/trend.js"
import { View } from "../../bench/soak/view.js"

const never = (): boolean => false

describe("differences", () => {
  const truth = new Map([
    ["alice", 2],
    ["bob", 0]
  ])
  const kinds = (listed: ReadonlyArray<readonly [string, ReadonlyArray<number>]>, mayRepeat = never) =>
    differences("here", new Map(listed), truth, mayRepeat).map(({ kind }) => kind)

  it("are none where everybody is listed once, as they are", () =>
    expect(
      kinds([
        ["bob", [0]],
        ["alice", [2]]
      ])
    ).toEqual([]))

  it("are who should not be there, who is missing, and what is old", () => {
    expect(
      kinds([
        ["alice", [1]],
        ["carol", [0]]
      ])
    ).toEqual(["stale", "ghost", "missing"])
  })

  it("are a second connection of one who has one, but for those who may have two", () => {
    const twice = [
      ["alice", [2, 2]],
      ["bob", [0]]
    ] as const
    expect(kinds(twice)).toEqual(["ghost"])
    expect(kinds(twice, () => true)).toEqual([])
  })
})

describe("the slope", () => {
  const samples = Array.from({ length: 60 }, (_, i) => {
    const clients = 1_000 + 500 * Math.sin(i)
    return { at: 10 * i, clients, value: 20e6 + 8_000 * clients + 1_000 * 10 * i }
  })

  it("is that of time, whatever the clients do", () => expect(slope(samples)).toBeCloseTo(1_000, 5))

  it("is that of time where clients stay", () =>
    expect(slope(samples.map((sample) => ({ ...sample, clients: 5, value: 3 * sample.at })))).toBeCloseTo(3, 9))

  it("is judged by what it comes to, and not in a run that only warms up", () => {
    expect(flat(samples, 600, 1, "heap", 0.1).holds).toBe(true)
    expect(flat(samples, 600, 1, "heap", 0.01).holds).toBe(false)
    expect(flat(samples, 60, 1, "heap", 0.01).holds).toBeUndefined()
  })
})

describe("a view", () => {
  it("tells who is gone altogether, and no update as a leave", () => {
    const view = new View()
    view.is([{ key: "alice", ref: "1", n: 0 }])
    expect(view.changes([{ key: "alice", ref: "2", n: 1 }], [{ key: "alice", ref: "1" }])).toEqual([])
    expect([...view.list]).toEqual([["alice", [1]]])
    expect(view.changes([], [{ key: "alice", ref: "2" }])).toEqual(["alice"])
    expect([...view.list]).toEqual([])
  })
})
