import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import type { Connection, Diff, Snapshot } from "../../../src/PresenceChange.js"
import { StateJson } from "../../../src/socket/protocol/stateJson.js"

const snapshot = (...connections: ReadonlyArray<Connection>): Snapshot => ({
  _tag: "Snapshot",
  topic: "t",
  epoch: "e",
  version: 0,
  connections
})

const diff = (parts: Partial<Pick<Diff, "joins" | "leaves" | "updates">>): Diff => ({
  _tag: "Diff",
  topic: "t",
  epoch: "e",
  from: 0,
  version: 1,
  joins: [],
  leaves: [],
  updates: [],
  ...parts
})

const at = (key: string, ref: string, meta: Connection["meta"] = {}): Connection => ({ key, ref, meta })
const textOf = ({ state }: StateJson): string => (typeof state === "string" ? state : Buffer.concat(state).toString())
const left = (connection: Connection) => ({ ...connection, reason: "released" as const })

describe("the state as JSON", () => {
  it("writes metas as objects with the connection's own ref, and keys as names, in their order", () => {
    const state = new StateJson(
      snapshot(
        at("__proto__", "r1", { phx_ref: "forged", phx_ref_prev: "forged", a: 1 }),
        at("b", "r2", [1]),
        at("b", "r3", null),
        at("c", "r4"),
        at("1", "r5")
      )
    )
    expect(state.state).toBe(
      `{"__proto__":{"metas":[{"a":1,"phx_ref":"r1"}]},"b":{"metas":[{"value":[1],"phx_ref":"r2"},{"value":null,"phx_ref":"r3"}]},"c":{"metas":[{"phx_ref":"r4"}]},"1":{"metas":[{"phx_ref":"r5"}]}}`
    )
    expect(new StateJson(snapshot()).state).toBe("{}")
  })

  it("a diff names who joined and who left, key by key, and the state is the one after it", () => {
    const state = new StateJson(snapshot(at("a", "r1"), at("a", "r2"), at("b", "r3", { n: 1 })))
    expect(state.state).toContain("r3")
    const change = diff({
      joins: [at("a", "r4", { n: 2 }), at("c", "r5"), at("c", "r6")],
      leaves: [left(at("a", "r1")), left(at("a", "r2")), left(at("b", "r3", { n: 1 }))]
    })
    expect(state.apply(change)).toBe(
      `{"joins":{"a":{"metas":[{"n":2,"phx_ref":"r4"}]},"c":{"metas":[{"phx_ref":"r5"},{"phx_ref":"r6"}]}},"leaves":{"a":{"metas":[{"phx_ref":"r1"},{"phx_ref":"r2"}]},"b":{"metas":[{"n":1,"phx_ref":"r3"}]}}}`
    )
    expect(state.state).toBe(
      `{"a":{"metas":[{"n":2,"phx_ref":"r4"}]},"c":{"metas":[{"phx_ref":"r5"},{"phx_ref":"r6"}]}}`
    )
  })

  it("an update is a join that names the ref before, and a leave of that; it keeps its place among the key's metas", () => {
    const state = new StateJson(snapshot(at("a", "r1"), at("a", "r2"), at("a", "r3")))
    const updates = [{ key: "a", ref: "r4", previousRef: "r2", meta: { n: 1 } }]
    expect(state.apply(diff({ updates }))).toBe(
      `{"joins":{"a":{"metas":[{"n":1,"phx_ref":"r4","phx_ref_prev":"r2"}]}},"leaves":{"a":{"metas":[{"phx_ref":"r2"}]}}}`
    )
    expect(state.state).toBe(`{"a":{"metas":[{"phx_ref":"r1"},{"n":1,"phx_ref":"r4"},{"phx_ref":"r3"}]}}`)
  })

  it("whom it has not heard of may leave, and may be updated: the clients are told what it was told", () => {
    const state = new StateJson(snapshot(at("a", "r1")))
    const leaves = [left(at("a", "r2", { n: 2 })), left(at("b", "r3"))]
    expect(state.apply(diff({ leaves }))).toBe(
      `{"joins":{},"leaves":{"a":{"metas":[{"n":2,"phx_ref":"r2"}]},"b":{"metas":[{"phx_ref":"r3"}]}}}`
    )
    const updates = [
      { key: "a", ref: "r5", previousRef: "r4", meta: {} },
      { key: "b", ref: "r7", previousRef: "r6", meta: {} }
    ]
    expect(state.apply(diff({ updates }))).toBe(
      `{"joins":{"a":{"metas":[{"phx_ref":"r5","phx_ref_prev":"r4"}]},"b":{"metas":[{"phx_ref":"r7","phx_ref_prev":"r6"}]}},"leaves":{}}`
    )
    expect(state.state).toBe(`{"a":{"metas":[{"phx_ref":"r1"},{"phx_ref":"r5"}]},"b":{"metas":[{"phx_ref":"r7"}]}}`)
  })

  it("a state without the steps to it is told as what differs, and not at all where nothing does", () => {
    const state = new StateJson(snapshot(at("a", "r1"), at("a", "r2"), at("b", "r3")))
    expect(state.become(snapshot(at("a", "r1"), at("a", "r2"), at("b", "r3")))).toBeUndefined()
    expect(state.become(snapshot(at("a", "r2"), at("c", "r4"), at("c", "r5")))).toBe(
      `{"joins":{"c":{"metas":[{"phx_ref":"r4"},{"phx_ref":"r5"}]}},"leaves":{"a":{"metas":[{"phx_ref":"r1"}]},"b":{"metas":[{"phx_ref":"r3"}]}}}`
    )
    expect(state.become(snapshot(at("a", "r2"), at("c", "r4")))).toBe(
      `{"joins":{},"leaves":{"c":{"metas":[{"phx_ref":"r5"}]}}}`
    )
    expect(state.become(snapshot(at("a", "r2"), at("a", "r6"), at("c", "r4")))).toBe(
      `{"joins":{"a":{"metas":[{"phx_ref":"r6"}]}},"leaves":{}}`
    )
    expect(state.state).toBe(`{"a":{"metas":[{"phx_ref":"r2"},{"phx_ref":"r6"}]},"c":{"metas":[{"phx_ref":"r4"}]}}`)
  })

  it("a large state is some parts, of which a change makes one anew", () => {
    const members = (n: number) =>
      Array.from({ length: n }, (_, i) => at(`é${i}`, `r${i}`, { text: "x".repeat(1_000) }))
    const state = new StateJson(snapshot(...members(200)))
    const parts = (): ReadonlyArray<Uint8Array> => (typeof state.state === "string" ? [] : state.state)
    const before = parts()
    expect(before.length).toBeGreaterThan(5)
    // Without a change they are the same.
    expect(parts().filter((part, i) => part.buffer !== before[i]?.buffer)).toEqual([])
    state.apply(diff({ updates: [{ ...at("é70", "r70b", 1), previousRef: "r70" }] }))
    const after = parts()
    expect(after.length).toBe(before.length)
    expect(after.filter((part) => !before.includes(part)).length).toBeLessThanOrEqual(2)
    expect(JSON.parse(textOf(state))).toMatchObject({ é69: {}, é70: { metas: [{ value: 1, phx_ref: "r70b" }] } })
    // Many who leave, from everywhere: it becomes few parts again, and in the end a text.
    const leaves = members(200).filter((_, i) => i !== 70 && i % 25 !== 0)
    for (const member of leaves) state.apply(diff({ leaves: [left(member)] }))
    expect(Object.keys(JSON.parse(textOf(state)))).toEqual([0, 25, 50, 70, 75, 100, 125, 150, 175].map((i) => `é${i}`))
    expect(typeof state.state).toBe("string")
  })

  describe("in blocks of 32,768 characters of metas", () => {
    const BLOCK = 32_768
    /** One whose meta takes so many characters. */
    const sized = (key: string, ref: string, length: number): Connection => {
      const rest = `{"t":"","phx_ref":${JSON.stringify(ref)}}`.length
      return at(key, ref, { t: "x".repeat(length - rest) })
    }
    const blocksOf = ({ state }: StateJson): ReadonlyArray<Uint8Array> =>
      typeof state === "string" ? [] : state.slice(1, -1)
    const keysOf = (state: StateJson) => Object.keys(JSON.parse(textOf(state)))

    it("it is a text below one", () => {
      expect(typeof new StateJson(snapshot(sized("a", "r", BLOCK - 1))).state).toBe("string")
      const state = new StateJson(snapshot(sized("a", "r", BLOCK)))
      expect(blocksOf(state)).toHaveLength(1)
      state.apply(diff({ updates: [{ ...sized("a", "s", BLOCK - 1), previousRef: "r" }] }))
      expect(typeof state.state).toBe("string")
      state.apply(diff({ updates: [{ ...sized("a", "r", BLOCK), previousRef: "s" }] }))
      expect(blocksOf(state)).toHaveLength(1)
    })

    it("also where that is left of two", () => {
      const big = sized("a", "r1", BLOCK)
      const state = new StateJson(snapshot(big, at("a", "r2"), at("b", "r3"), at("c", "r4")))
      expect(blocksOf(state)).toHaveLength(2)
      state.apply(diff({ leaves: [left(big)] }))
      expect(state.state).toBe(
        `{"a":{"metas":[{"phx_ref":"r2"}]},"b":{"metas":[{"phx_ref":"r3"}]},"c":{"metas":[{"phx_ref":"r4"}]}}`
      )
    })

    it("who comes goes into the last until it is full, and others' blocks stay as they are", () => {
      const state = new StateJson(snapshot(...["a", "b", "c"].map((key) => sized(key, `${key}1`, BLOCK))))
      const before = blocksOf(state)
      expect(before).toHaveLength(3)
      for (let n = 0; n < 4; n++) state.apply(diff({ joins: [sized(`d${n}`, `d${n}`, BLOCK / 4)] }))
      expect(blocksOf(state)).toHaveLength(4)
      state.apply(diff({ joins: [at("e", "e1")] }))
      state.apply(diff({ joins: [at("b", "b2")], leaves: [left(sized("d0", "d0", BLOCK / 4))] }))
      const after = blocksOf(state)
      expect(after).toHaveLength(5)
      expect([after[0]?.buffer, after[2]]).toEqual([before[0]?.buffer, before[2]])
      expect(after[2]).toBe(before[2])
      expect(keysOf(state)).toEqual(["a", "b", "c", "d1", "d2", "d3", "e"])
    })

    it("one whose metas grow is cut into some, where it stands", () => {
      const keys = Array.from({ length: 40 }, (_, n) => `k${n}`)
      const state = new StateJson(snapshot(...keys.map((key) => at(key, `${key}-`))))
      expect(typeof state.state).toBe("string")
      for (const key of keys) {
        state.apply(diff({ updates: [{ ...sized(key, `${key}+`, BLOCK / 4), previousRef: `${key}-` }] }))
      }
      for (const { length } of blocksOf(state)) expect(length).toBeLessThan(2.5 * BLOCK)
      expect(keysOf(state)).toEqual(keys)
    })

    it.each([[["before"]], [[]]])("the metas of one key are in as many as they fill, after %j", (first) => {
      const metas = Array.from({ length: 42 }, (_, n) => sized("a", `r${n}`, BLOCK / 4))
      const state = new StateJson(
        snapshot(...first.map((key) => sized(key, "r", BLOCK)), ...metas, at("c", "r"), at("d", "r"))
      )
      const refs = (): ReadonlyArray<string> =>
        JSON.parse(textOf(state)).a?.metas.map(({ phx_ref }: { readonly phx_ref: string }) => phx_ref) ?? []
      const before = blocksOf(state)
      expect(before).toHaveLength(11 + first.length)
      expect(keysOf(state)).toEqual([...first, "a", "c", "d"])
      expect(refs()).toEqual(metas.map(({ ref }) => ref))
      // In one block with the last of them.
      state.apply(diff({ leaves: [left(at("d", "r"))] }))
      expect(refs()).toEqual(metas.map(({ ref }) => ref))
      state.apply(diff({ updates: [{ ...sized("a", "new", BLOCK / 4), previousRef: "r20" }] }))
      expect(blocksOf(state).filter((block) => !before.some(({ buffer }) => buffer === block.buffer))).toHaveLength(2)
      expect(refs()).toEqual(metas.map(({ ref }) => (ref === "r20" ? "new" : ref)))
      // Those of the middle, of the beginning, and of the end; then all.
      const others = metas.filter(({ ref }) => ref !== "r20")
      const rest = [...others.slice(10, 30), ...others.slice(0, 10), ...others.slice(30)]
      for (const [n, member] of rest.entries()) {
        state.apply(diff({ leaves: [left(member)] }))
        const gone = new Set(rest.slice(0, n + 1).map(({ ref }) => ref))
        expect(refs()).toEqual(metas.map(({ ref }) => (ref === "r20" ? "new" : ref)).filter((ref) => !gone.has(ref)))
      }
      state.apply(diff({ leaves: [left(sized("a", "new", BLOCK / 4))] }))
      expect(keysOf(state)).toEqual([...first, "c"])
    })

    it("one is cut when it is longer than two", () => {
      const two = [sized("a", "r1", BLOCK - 1), sized("b", "r2", BLOCK + 1)]
      expect(blocksOf(new StateJson(snapshot(...two)))).toHaveLength(1)
      const state = new StateJson(snapshot(...two))
      state.apply(diff({ updates: [{ ...sized("a", "r3", BLOCK), previousRef: "r1" }] }))
      expect(blocksOf(state)).toHaveLength(2)
    })

    it("they are made few again when there are four times as many as would do, and four", () => {
      const keys = Array.from({ length: 12 }, (_, n) => `k${n}`)
      const bigs = keys.map((key) => sized(key, `${key}-`, BLOCK))
      const state = new StateJson(snapshot(...bigs.flatMap((big) => [big, at(big.key, `${big.key}+`)])))
      for (const [n, big] of bigs.slice(0, 11).entries()) {
        expect([n, blocksOf(state).length]).toEqual([n, 12])
        state.apply(diff({ leaves: [left(big)] }))
      }
      expect(blocksOf(state).length).toBeLessThanOrEqual(2)
      expect(keysOf(state)).toEqual(keys)
    })
  })

  it("of a state whose blocks others have left few full ones are made, in the same order", () => {
    const members = Array.from({ length: 1_000 }, (_, i) => at(`k${i}`, `r${i}`, { text: "x".repeat(1_000) }))
    const state = new StateJson(snapshot(...members))
    const parts = state.state.length
    for (const [i, member] of members.entries()) if (i % 16 !== 0) state.apply(diff({ leaves: [left(member)] }))
    expect(typeof state.state).not.toBe("string")
    expect(state.state.length).toBeLessThan(parts / 2)
    const kept = members.filter((_, i) => i % 16 === 0).map(({ key }) => key)
    expect(Object.keys(JSON.parse(textOf(state)))).toEqual(kept)
  })

  it.each([0, 4_000])(
    "whatever changes, the state is as if it had been written anew, with metas of %i and more",
    (size) => {
      const connection = fc.record({ key: fc.constantFrom("a", "b", "__proto__"), ref: fc.nat(20).map(String) })
      const states = fc.array(fc.uniqueArray(connection, { selector: ({ ref }) => ref, maxLength: 20 }), {
        minLength: 2
      })
      fc.assert(
        fc.property(states, ([first = [], ...others]) => {
          // A ref is of one key and has one meta, for ever.
          const named = (all: typeof first) =>
            all.map(({ key, ref }) => at(key, `${key}${ref}`, { n: ref, text: "x".repeat(size) }))
          const sorted = (text: string) =>
            JSON.parse(text, (name, value) =>
              name === "metas" ? value.map((meta: object) => JSON.stringify(meta)).sort() : value
            )
          const state = new StateJson(snapshot(...named(first)))
          for (const other of others) {
            state.become(snapshot(...named(other)))
            expect(sorted(textOf(state))).toEqual(sorted(textOf(new StateJson(snapshot(...named(other))))))
          }
        })
      )
    }
  )
})
