import { describe, expect, it } from "@effect/vitest"
import { KeyIndex } from "../../../src/internal/state/keyIndex.js"
import { Roster, type RosterMember } from "../../../src/internal/state/roster.js"

describe("a key index", () => {
  const [a, b, c] = ["a", "b", "c"].map((topic) => new Roster<RosterMember>(topic, "epoch")) as [Room, Room, Room]
  type Room = Roster<RosterMember>

  it("says on which topics a key is, each once however often it came", () => {
    const index = new KeyIndex<RosterMember>()
    expect([...index.of("alice")]).toEqual([])
    for (const room of [a, a, b, b, c, a]) index.add("alice", room)
    index.add("bob", b)
    expect([...index.of("alice")]).toEqual([a, b, c])
    expect([...index.of("bob")]).toEqual([b])
    index.delete("alice", b)
    expect([...index.of("alice")]).toEqual([a, c])
    index.delete("alice", a)
    index.delete("alice", c)
    expect([...index.of("alice")]).toEqual([])
    index.add("alice", c)
    expect([...index.of("alice")]).toEqual([c])
  })

  it("holds nothing of a key that is on no topic", () => {
    const index = new KeyIndex<RosterMember>()
    const { byKey } = index as unknown as { readonly byKey: ReadonlyMap<string, unknown> }
    for (const rooms of [[a], [a, b], [a, b, c]]) {
      for (const room of rooms) index.add("alice", room)
      expect(byKey.size).toBe(1)
      for (const room of rooms) index.delete("alice", room)
      expect(byKey.size).toBe(0)
    }
  })
})
