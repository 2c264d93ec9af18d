/** The model of `npm run capacity`, by hand. */
import { describe, expect, it } from "@effect/vitest"
import { type Constants, cost, type Load, plan, replicas, spread, USED } from "../../bench/capacity/model.js"

const nothing: Constants = {
  join: 0,
  follow: 0,
  leave: 0,
  update: 0,
  heard: 0,
  frame: 0,
  entry: 0,
  state: 0,
  heartbeat: 0,
  redisChange: 0,
  redisMessage: 0,
  socketBytes: 0,
  topicBytes: 0,
  memberBytes: 0
}
const still: Load = { people: 1_000, room: 10, joins: 0, leaves: 0, updates: 0 }

describe("the model", () => {
  it("spreads a room over as many replicas as its people went to", () => {
    expect(spread(1, 10)).toBe(1)
    expect(spread(2, 1)).toBe(1)
    expect(spread(2, 2)).toBe(1.5)
    expect(spread(1_000, 10)).toBeCloseTo(9.96, 2)
    expect(spread(3, 1_000)).toBeCloseTo(3, 9)
  })

  it("counts what each change makes others do", () => {
    const of = (constants: Partial<Constants>, load: Partial<Load>, count = 1) =>
      cost({ ...nothing, ...constants }, { ...still, ...load }, count)
    expect(of({ join: 5, leave: 7, update: 11 }, { joins: 1, leaves: 1, updates: 1 }).node).toBe(23)
    expect(of({ join: 5, follow: 8 }, { room: 2, joins: 1 }, 2).node).toBe(5 + 8 / 2)
    expect(of({ heard: 3 }, { room: 2, updates: 4 }, 2).node).toBeCloseTo(4 * 0.5 * 3, 9)
    expect(of({ entry: 2 }, { updates: 3 }).node).toBe(3 * 10 * 2)
    expect(of({ state: 2 }, { joins: 3, updates: 9 }).node).toBe(3 * 10 * 2)
    expect(of({ heartbeat: 3 }, {}).node).toBe((1_000 / 30) * 3)
    expect(of({ redisChange: 1, redisMessage: 2 }, { room: 2, updates: 4 }, 2).redis).toBe(4 * (1 + 1.5 * 2))
    expect(of({ socketBytes: 100, topicBytes: 10, memberBytes: 1 }, {}).bytes).toBe(1_000 * 100 + 100 * (10 + 10))
  })

  it("puts changes of a window into one diff", () => {
    const diffs = (updates: number) => cost({ ...nothing, frame: 1 }, { ...still, updates }, 1).node / 10
    // A hundred rooms: one change now and then each, and then twenty changes in each window.
    expect(diffs(1)).toBeCloseTo(1, 3)
    expect(diffs(100 * 20 * 20)).toBeCloseTo((100 * 20 * 20) / 21, 6)
  })

  it("needs as many replicas as keep each within what it may use, and its sockets", () => {
    const load = { ...still, updates: 1_000 }
    const count = replicas({ ...nothing, update: 3_000 }, load) ?? 0
    expect(count).toBe(Math.ceil(3 / USED))
    expect(replicas(nothing, { ...still, people: 50_000 })).toBe(3)
  })

  it("says so where no number of replicas helps: each hears of everything", () => {
    const load = { ...still, people: 1e6, room: 1e6, updates: 1e6 }
    expect(plan({ ...nothing, heard: 1 }, load)).toBeUndefined()
  })
})
