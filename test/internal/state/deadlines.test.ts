import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { Deadlines, type Slotted } from "../../../src/internal/state/deadlines.js"

class Item implements Slotted {
  slot = -1
  /** What it is due at, by the naive list. */
  at: number | undefined
}

/** More than two blocks of them. */
const MANY = 2_500

const bounds = fc.tuple(fc.nat(MANY), fc.nat(MANY))
const op = fc.oneof(
  fc.record({ do: fc.constant("set" as const), bounds, at: fc.nat(20), spread: fc.constantFrom(1, 7, 2_000) }),
  fc.record({ do: fc.constant("delete" as const), bounds }),
  fc.record({ do: fc.constant("take" as const), now: fc.nat(30), max: fc.constantFrom(0, 1, 64, 1_500, MANY) })
)

describe("deadlines", () => {
  it("whatever is set, moved and taken out: what is due is taken, all of it, once, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(op, { maxLength: 30 }), (ops) => {
        const items = Array.from({ length: MANY }, () => new Item())
        const deadlines = new Deadlines<Item>()
        const earliest = () =>
          items.reduce((min, { at = Number.POSITIVE_INFINITY }) => Math.min(min, at), Number.POSITIVE_INFINITY)
        for (const op of ops) {
          if (op.do === "take") {
            const due = items.filter(({ at = Number.POSITIVE_INFINITY }) => at <= op.now).length
            const taken = deadlines.takeDue(op.now, op.max)
            if (taken.length !== Math.min(op.max, due)) throw new Error(`${taken.length} of ${due} are taken`)
            for (const item of taken) {
              if (item.at === undefined || item.at > op.now) throw new Error(`due at ${item.at}, taken at ${op.now}`)
              if (item.slot !== -1) throw new Error("taken, and has a place")
              item.at = undefined
            }
            // Whoever sleeps until then would else wake at once, again and again.
            if (taken.length < op.max && deadlines.bound <= op.now) throw new Error("nothing is due, and the bound is")
          } else {
            for (const [i, item] of items.slice(Math.min(...op.bounds), Math.max(...op.bounds)).entries()) {
              item.at = op.do === "set" ? op.at + (i % op.spread) : undefined
              if (item.at === undefined) deadlines.delete(item)
              else deadlines.set(item, item.at)
            }
          }
          if (deadlines.bound > earliest()) throw new Error("something is due before the bound")
          const size = items.filter(({ at }) => at !== undefined).length
          if (deadlines.size !== size) throw new Error(`${deadlines.size} instead of ${size}`)
        }
      }),
      { numRuns: 100 }
    )
  })

  it("what is due together is taken in the order in which it came", () => {
    const deadlines = new Deadlines<Item>()
    const items = [new Item(), new Item(), new Item()]
    for (const item of items) deadlines.set(item, 5)
    expect(deadlines.takeDue(4, 10)).toEqual([])
    const taken = deadlines.takeDue(5, 10)
    expect(taken.map((item) => items.indexOf(item))).toEqual([0, 1, 2])
  })

  it("its memory follows what lives, and one that comes and goes makes none each time", () => {
    const deadlines = new Deadlines<Item>()
    const { blocks } = deadlines as unknown as { readonly blocks: ReadonlyArray<unknown> }
    const items = Array.from({ length: 4 * 1_024 + 1 }, () => new Item())
    for (const item of items) deadlines.set(item, 0)
    expect(blocks).toHaveLength(5)
    const [first, ...others] = items as [Item, ...Array<Item>]
    deadlines.delete(first)
    expect(blocks).toHaveLength(5)
    const last = blocks.at(-1)
    deadlines.set(first, 0)
    expect(blocks.at(-1)).toBe(last)
    expect(blocks).toHaveLength(5)
    for (const item of others) deadlines.delete(item)
    expect(blocks).toHaveLength(2)
    deadlines.delete(first)
    expect(blocks).toHaveLength(1)
    expect(deadlines.bound).toBeLessThanOrEqual(0)
  })
})
