import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { Roster, type RosterMember } from "../../../src/internal/state/roster.js"

interface Member extends RosterMember {
  meta: number
}

/** As text, since comparing so many values one by one takes minutes. */
const same = (actual: unknown, expected: unknown): void => expect(JSON.stringify(actual)).toBe(JSON.stringify(expected))

const byKey = (a: Member, b: Member): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

/** What the roster shows of members who stand in the order of age. */
const expected = (members: ReadonlyArray<Member>) => {
  const sorted = [...members].sort(byKey)
  const metas = new Map<string, Array<number>>()
  for (const { key, meta } of sorted) metas.set(key, [...(metas.get(key) ?? []), meta])
  return {
    list: Array.from(metas, ([key, metas]) => ({ key, metas })),
    snapshot: sorted.map(({ key, ref, meta }) => ({ key, ref, meta }))
  }
}

const shown = (roster: Roster<Member>) => ({ list: roster.list(), snapshot: roster.snapshot() })

/** How many change between two reads: a few, some, so many that all is sorted anew. */
const many = fc.constantFrom(0, 1, 2, 8, 9, 30, 40, 200)
const change = fc.record({
  add: many,
  remove: many,
  update: many,
  key: fc.nat(250),
  /** Whether the changes are of one key, of neighbours, or of keys here and there. */
  stride: fc.constantFrom(0, 1, 17),
  who: fc.nat()
})

describe("a roster", () => {
  it("whatever changes between two reads, the list is sorted by key and the snapshot by key and age", () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 10 }), (changes) => {
        const roster = new Roster<Member>("room", "epoch")
        const members: Array<Member> = []
        let version = 0
        let refs = 0
        for (const { add, remove, update, key, stride, who } of changes) {
          for (let i = 0; i < add; i++) {
            const member = { key: `k${(key + i * stride) % 251}`, ref: `r${refs++}`, meta: i }
            roster.add(member)
            members.push(member)
            version++
          }
          for (let i = 0; i < update && members.length > 0; i++) {
            const member = members[(who + i * stride) % members.length] as Member
            member.meta = -i
            roster.touch(member.key)
            version++
          }
          for (let i = 0; i < remove && members.length > 0; i++) {
            const [member] = members.splice((who + i * stride) % members.length, 1) as [Member]
            const last = !members.some(({ key }) => key === member.key)
            if (roster.remove(member) !== last) throw new Error(`whether it was the last of ${member.key}`)
            version++
          }
          const should = expected(members)
          same(shown(roster), should)
          same([roster.version, roster.connections, roster.keys], [version, members.length, should.list.length])
        }
        same([...roster].map(({ ref }) => ref).sort(), members.map(({ ref }) => ref).sort())
        for (const { key, metas } of roster.list()) {
          same(roster.entry(key), { key, metas })
          same([roster.size(key), Array.from(roster.of(key), ({ meta }) => meta)], [metas.length, metas])
        }
      }),
      { numRuns: 60 }
    )
  })

  it("who is not there has no entry, no size and no connections", () => {
    const roster = new Roster<Member>("room", "epoch")
    expect([roster.entry("a"), roster.size("a"), [...roster.of("a")], [...roster]]).toEqual([undefined, 0, [], []])
    expect(shown(roster)).toEqual({ list: [], snapshot: [] })
    expect([roster.version, roster.connections, roster.keys, roster.kept]).toEqual([0, 0, 0, false])
  })

  it("its channel is named after its topic", () => {
    expect(new Roster("room:1", "epoch").channel).toBe("presence:room:1")
  })

  it("what is read is the same, and frozen, until something changes; and stays as it was", () => {
    const roster = new Roster<Member>("room", "epoch")
    const [a, b] = [
      { key: "a", ref: "1", meta: 1 },
      { key: "b", ref: "2", meta: 2 }
    ]
    roster.add(a)
    roster.add(b)
    const before = shown(roster)
    expect(roster.list()).toBe(before.list)
    expect(roster.snapshot()).toBe(before.snapshot)
    for (const frozen of [before.list, before.list[0], before.list[0]?.metas, before.snapshot, before.snapshot[0]]) {
      expect(Object.isFrozen(frozen)).toBe(true)
    }
    a.meta = 3
    roster.touch("a")
    roster.remove(b)
    expect(shown(roster)).toEqual(expected([a]))
    expect(before.list).toEqual([
      { key: "a", metas: [1] },
      { key: "b", metas: [2] }
    ])
    // Who has not changed keeps the same entry, whatever happens beside them.
    const [entry] = roster.list()
    roster.add(b)
    expect(roster.list()[0]).toBe(entry)
  })
})
