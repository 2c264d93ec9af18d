/**
 * The fold of changes against a naive list: by chance, and the corners one by one.
 */
import { readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  ChangeGap,
  type Connection,
  type Diff,
  type Json,
  type PresenceEntry,
  PresenceState,
  type Snapshot
} from "../src/index.js"
import { seedOf } from "./support/seed.js"

const snapshot = (version: number, ...connections: ReadonlyArray<Connection>): Snapshot => ({
  _tag: "Snapshot",
  topic: "room",
  epoch: "e",
  version,
  connections
})

const diff = (from: number, version: number, change: Partial<Diff>): Diff => ({
  _tag: "Diff",
  topic: "room",
  epoch: "e",
  from,
  version,
  joins: [],
  leaves: [],
  updates: [],
  ...change
})

const on = (key: string, ref: string, meta: Json = {}): Connection => ({ key, ref, meta })

const start = PresenceState.empty().apply(
  snapshot(7, on("alice", "a1", 1), on("alice", "a2", 2), on("bob", "b1"), on("carol", "c1"))
)

/** What is wrong with a change, as it is told. */
const gap = (state: PresenceState, change: Diff | Snapshot): string => {
  try {
    state.apply(change)
  } catch (error) {
    expect(error).toBeInstanceOf(ChangeGap)
    expect(error).toMatchObject({ _tag: "ChangeGap", topic: change.topic, version: state.version })
    return (error as ChangeGap).message
  }
  throw new Error("it was taken")
}

describe("the state of a topic by its changes", () => {
  it("is nobody on no topic before the first snapshot", () => {
    const state = PresenceState.empty()
    expect(state).toMatchObject({ topic: undefined, epoch: "", version: 0, entries: [] })
    expect(state.count).toEqual({ keys: 0, connections: 0 })
  })

  it("is the snapshot, sorted by key, metas oldest first", () => {
    expect(start).toMatchObject({ topic: "room", epoch: "e", version: 7 })
    expect(start.entries).toEqual([
      { key: "alice", metas: [1, 2] },
      { key: "bob", metas: [{}] },
      { key: "carol", metas: [{}] }
    ])
    expect(start.count).toEqual({ keys: 3, connections: 4 })
  })

  it("goes on with a diff, and stays as it was", () => {
    const next = start.apply(
      diff(7, 10, {
        joins: [on("bobby", "d1", "new"), on("bob", "b2", "second")],
        updates: [{ key: "alice", ref: "a3", previousRef: "a1", meta: 3 }],
        leaves: [{ ...on("carol", "c1"), reason: "released" }]
      })
    )
    expect(next.entries).toEqual([
      { key: "alice", metas: [3, 2] },
      { key: "bob", metas: [{}, "second"] },
      { key: "bobby", metas: ["new"] }
    ])
    expect(next.count).toEqual({ keys: 3, connections: 5 })
    expect(next.version).toBe(10)
    expect(start.entries.map(({ key }) => key)).toEqual(["alice", "bob", "carol"])
    expect(start.version).toBe(7)
  })

  it("shares what did not change", () => {
    const [alice, bob] = start.entries
    const next = start.apply(diff(7, 8, { joins: [on("dora", "d1")] }))
    expect(next.entries[0]).toBe(alice)
    expect(next.entries[1]).toBe(bob)
    // Nothing left of it, as when a typed follower decodes none of it.
    expect(next.apply(diff(8, 9, {})).entries).toBe(next.entries)
    // A snapshot after a lag: only bob is another.
    const again = next.apply(
      snapshot(20, on("alice", "a1", 1), on("alice", "a2", 2), on("bob", "b9", 9), on("carol", "c1"))
    )
    expect(again.entries[0]).toBe(alice)
    expect(again.entries[1]).toEqual({ key: "bob", metas: [9] })
    expect(again.entries[2]).toBe(start.entries[2])
    expect(again.count).toEqual({ keys: 3, connections: 4 })
    const same = again.apply({ ...snapshot(21, ...[]), connections: [on("alice", "a1", 1), on("alice", "a2", 2)] })
    expect(same.apply(snapshot(22, on("alice", "a1", 1), on("alice", "a2", 2))).entries).toBe(same.entries)
  })

  it("takes what one diff says of one connection in the order in which it happened", () => {
    const next = start.apply(
      diff(7, 11, {
        joins: [on("dora", "d1")],
        updates: [
          { key: "dora", ref: "d2", previousRef: "d1", meta: 2 },
          { key: "dora", ref: "d3", previousRef: "d2", meta: 3 }
        ],
        leaves: [{ ...on("dora", "d3"), reason: "evicted" }]
      })
    )
    expect(next.entries).toBe(start.entries)
    expect(next.count).toEqual(start.count)
  })

  it("goes on into another epoch from where it stands, as after a loss of Redis", () => {
    const next = start.apply({ ...diff(7, 2, { joins: [on("dora", "d1")] }), epoch: "f" })
    expect(next).toMatchObject({ epoch: "f", version: 2 })
    expect(next.apply({ ...diff(2, 3, {}), epoch: "f" }).version).toBe(3)
  })

  it("cannot be changed by who reads it", () => {
    expect(() => (start.entries as Array<unknown>).sort()).toThrow(TypeError)
    for (const { metas } of start.entries) expect(() => (metas as Array<unknown>).push(1)).toThrow(TypeError)
  })

  it("holds any name", () => {
    const keys = ["__proto__", "constructor", "😀", "\uff5e", "a*", " "]
    const state = PresenceState.empty().apply(snapshot(1, ...keys.map((key, i) => on(key, `r${i}`, i))))
    expect(state.entries.map(({ key }) => key)).toEqual([...keys].sort())
    expect(state.entries.find(({ key }) => key === "__proto__")?.metas).toEqual([0])
  })

  it("refuses what does not go on from it, says why, and stays as it was", () => {
    expect(gap(PresenceState.empty(), diff(0, 1, {}))).toBe(
      'a Diff of "room" does not go on from here: this is the state of no topic yet, and no Snapshot came before; begin again with a Snapshot'
    )
    expect(gap(start, diff(9, 10, {}))).toContain("it goes on from version 9, and it came to version 7")
    // A repeat.
    expect(gap(start.apply(diff(7, 8, {})), diff(7, 8, {}))).toContain("from version 7, and it came to version 8")
    expect(gap(start, { ...diff(7, 8, {}), topic: "other" })).toContain('this is the state of "room"')
    expect(gap(start, diff(7, 8, { joins: [on("bob", "b1")] }))).toContain('"bob" joins with "b1"')
    expect(gap(start, diff(7, 8, { leaves: [{ ...on("bob", "b2"), reason: "expired" }] }))).toContain(
      '"bob" is not there with the ref "b2"'
    )
    expect(gap(start, diff(7, 8, { updates: [{ key: "zoe", ref: "z2", previousRef: "z1", meta: 1 }] }))).toContain(
      '"zoe" is not there with the ref "z1"'
    )
    for (const [change, what] of [
      [{ type: "join" }, "an object of another _tag"],
      [{ _tag: "Lagged" }, "an object of another _tag"],
      ['{"_tag":"Snapshot"}', "a text: JSON is to be parsed"],
      [undefined, "undefined"],
      [null, "null"],
      [5, "5"]
    ] as const) {
      expect(() => start.apply(change as never)).toThrow(new TypeError(`a change is a Snapshot or a Diff, not ${what}`))
    }
    expect(start.entries).toHaveLength(3)
  })

  it("is what a naive list is after any changes, and every state before stays as it was", () => {
    const runs = 100
    const operation = fc.record({
      what: fc.constantFrom("join", "join", "update", "leave"),
      key: fc.constantFrom("alice", "bob", "carol", "__proto__", "😀", "z"),
      which: fc.nat(20),
      meta: fc.nat(5)
    })
    const change = fc.record({
      snapshot: fc.integer({ min: 0, max: 9 }),
      operations: fc.array(operation, { maxLength: 6 })
    })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 30 }), (changes) => {
        let made = 0
        let members: Array<Connection> = []
        let state = PresenceState.empty()
        const before: Array<readonly [PresenceState, string]> = []
        for (const [i, { snapshot: chance, operations }] of changes.entries()) {
          const joins: Array<Connection> = []
          const updates: Array<Diff["updates"][number]> = []
          const leaves: Array<Diff["leaves"][number]> = []
          // Each connection is named once, as in the diff of a lone step.
          const named = new Set<string>()
          for (const { what, key, which, meta } of operations) {
            if (what === "join") {
              const joined = on(key, `r${++made}`, meta)
              joins.push(joined)
              named.add(joined.ref)
              members = [...members, joined]
              continue
            }
            const one = members[which % Math.max(1, members.length)]
            if (one === undefined || named.has(one.ref)) continue
            if (what === "leave") {
              named.add(one.ref)
              leaves.push({ ...one, reason: "released" })
              members = members.filter((member) => member !== one)
            } else {
              const updated = on(one.key, `r${++made}`, meta)
              named.add(updated.ref)
              updates.push({ ...updated, previousRef: one.ref })
              members = members.map((member) => (member === one ? updated : member))
            }
          }
          const last = state
          const isSnapshot = i === 0 || chance === 0
          state = state.apply(
            isSnapshot ? snapshot(i + 1, ...byKey(members)) : diff(i, i + 1, { joins, updates, leaves })
          )
          const expected = entriesOf(members)
          expect(state.entries).toEqual(expected)
          expect(state.count).toEqual({ keys: expected.length, connections: members.length })
          for (const [state, text] of before) if (JSON.stringify(state) !== text) throw new Error("a state has changed")
          before.push([state, JSON.stringify(state)])
          const touched = new Set([...joins, ...updates, ...leaves].map(({ key }) => key))
          for (const entry of last.entries) {
            if (!touched.has(entry.key)) expect(state.entries).toContain(entry)
          }
          if (touched.size === 0) expect(state.entries).toBe(last.entries)
        }
      }),
      { seed: seedOf("the state by its changes", runs), numRuns: runs }
    )
  })

  it("brings neither Effect nor Node with it", () => {
    const reached = new Set<string>()
    const read = (file: string): void => {
      if (reached.has(file)) return
      reached.add(file)
      const text = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\//g, "")
      for (const [, type, from = ""] of text.matchAll(/^(?:import|export)\s+(type\s)?[^"]*?from "([^"]+)"/gm)) {
        if (type !== undefined) continue
        expect(from).toMatch(/^\./)
        read(resolve(dirname(file), from.replace(/\.js$/, ".ts")))
      }
    }
    read(fileURLToPath(new URL("../src/state/index.ts", import.meta.url)))
    expect([...reached].map((file) => file.slice(file.lastIndexOf("/src/")))).toEqual([
      "/src/state/index.ts",
      "/src/PresenceState.ts"
    ])
  })
})

const byKey = (members: ReadonlyArray<Connection>): ReadonlyArray<Connection> =>
  [...members].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))

const entriesOf = (members: ReadonlyArray<Connection>): ReadonlyArray<PresenceEntry> => {
  const entries = new Map<string, Array<Json>>()
  for (const { key, meta } of byKey(members)) {
    const metas = entries.get(key)
    if (metas === undefined) entries.set(key, [meta])
    else metas.push(meta)
  }
  return Array.from(entries, ([key, metas]) => ({ key, metas }))
}
