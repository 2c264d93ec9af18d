import { describe, expect, it } from "@effect/vitest"
import fc from "fast-check"
import { list, membersOf, messageOf, standingOf, storedMemberOf } from "../../../src/redis/protocol/decoding.js"

describe("where a topic stands", () => {
  it("is what its version says, or the floor where it has none, or nowhere before anybody has written", () => {
    expect(standingOf("e 3", "7 t7")).toEqual({ epoch: "e", version: 7, tag: "t7" })
    expect(standingOf("e 3", null)).toEqual({ epoch: "e", version: 3, tag: "" })
    expect(standingOf(null, "7 t7")).toBeUndefined()
  })

  it("has an empty tag where somebody else wrote a version without one", () => {
    expect(standingOf("", "7")).toEqual({ epoch: "", version: 7, tag: "" })
  })
})

describe("a member", () => {
  it("is its version, revision, meta and key, which may have spaces and line breaks", () => {
    expect(storedMemberOf("a.b.12", '3 4 {"a":"b c"}\nalice\nbob x')).toEqual({
      connection: "a.b.12",
      joined: 3,
      revision: 4,
      meta: { a: "b c" },
      key: "alice\nbob x"
    })
    expect(storedMemberOf("r.0", "0 0 null\n")).toEqual({
      connection: "r.0",
      joined: 0,
      revision: 0,
      meta: null,
      key: ""
    })
  })

  it("cannot be changed by who gets it, however deep", () => {
    const meta = storedMemberOf("r.1", '1 1 {"a":[{"b":null}]}\nk')?.meta
    const isFrozen = (value: unknown): boolean =>
      typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen))
    expect(meta).toEqual({ a: [{ b: null }] })
    expect(isFrozen(meta)).toBe(true)
  })

  it.each([
    ["r.1", ""],
    ["r.1", "1"],
    ["r.1", "1 2"],
    ["r.1", "1 2 {}"],
    ["r.1", "1 2 10"],
    ["r.1", " 2 {}\nk"],
    ["r.1", "1 2\n3 {}\nk"],
    ["r.1", "1\n2 3 {}"],
    ["r.1", "x 2 {}\nk"],
    ["r.1", "1 x {}\nk"],
    ["r.1", "-1 2 {}\nk"],
    ["r.1", "1 -2 {}\nk"],
    ["r.1", "1.5 2 {}\nk"],
    ["r.1", "1 2 {\nk"],
    ["r.1", "1 2 \nk"],
    ["r.x", "1 2 {}\nk"],
    ["r.-1", "1 2 {}\nk"]
  ])("is none when no replica wrote it: %s %j", (connection, text) => {
    expect(storedMemberOf(connection, text)).toBeUndefined()
  })

  it("is one of those that come by turns with their connections, without what is none or has lost its other half", () => {
    const members = membersOf(["r.1", "1 1 1\na", "r.x", "1 1 1\nb", "r.2", "2 2 2\nc", "r.3"])
    expect(members.map(({ connection, key }) => [connection, key])).toEqual([
      ["r.1", "a"],
      ["r.2", "c"]
    ])
    expect(membersOf([])).toEqual([])
  })
})

describe("a message", () => {
  const told: ReadonlyArray<unknown> = ["e", 1, "t", 2, "u", 0, "+", "r.1", 1, "alice", { a: 1 }, "-", "r.2", "r"]

  it("is what one call changed in one topic", () => {
    expect(messageOf(JSON.stringify(told))).toEqual({
      epoch: "e",
      from: 1,
      fromTag: "t",
      to: 2,
      tag: "u",
      born: false,
      operations: [
        { type: "put", connection: "r.1", revision: 1, key: "alice", meta: { a: 1 } },
        { type: "remove", connection: "r.2", reason: "released" }
      ]
    })
    expect(messageOf(JSON.stringify(told.with(5, 1)))?.born).toBe(true)
  })

  it.each([
    ["r", "released"],
    ["e", "expired"],
    ["v", "evicted"],
    ["l", "replicaLost"]
  ])("says with %s that somebody is gone as %s", (letter, reason) => {
    const text = JSON.stringify(["e", 0, "", 1, "u", 1, "-", "r.0", letter])
    expect(messageOf(text)?.operations).toEqual([{ type: "remove", connection: "r.0", reason }])
  })

  it("that no replica publishes is none, and is no error", () => {
    const broken = fc.tuple(fc.nat(5), fc.constantFrom(null, {}, [], true, "x", -1, 1.5, 1e300))
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        // So begins what a newer version says.
        fc.pre(!/^\[\s*\d/.test(text))
        expect(messageOf(text)).toBeUndefined()
      }),
      { numRuns: 1_000 }
    )
    fc.assert(
      fc.property(broken, ([at, value]) => {
        const isText = at === 0 || at === 2 || at === 4
        fc.pre(at !== 5 && !(isText && value === "x"))
        expect(messageOf(JSON.stringify(told.with(at, value)))).toBeUndefined()
      })
    )
    for (const cut of [7, 8, 9, 10, 12, 13]) expect(messageOf(JSON.stringify(told.slice(0, cut)))).toBeUndefined()
  })

  it.each([
    ["the epoch", 0, 1],
    ["where it goes on from", 1, "1"],
    ["its tag", 2, 1],
    ["where it leads, which is back", 3, 0],
    ["where it leads, which is nowhere", 3, 1],
    ["that tag", 4, 1],
    ["an operation", 6, "x"],
    ["a connection that is no text", 7, 1],
    ["a connection", 7, "r.x"],
    ["a revision", 8, "1"],
    ["a key", 9, 1],
    ["another operation", 11, "x"],
    ["who leaves, which is no text", 12, 2],
    ["who leaves", 12, "r.x"],
    ["a reason", 13, "x"],
    ["a reason that every object has", 13, "constructor"]
  ])("is none with another value for %s", (_, at, value) => {
    expect(messageOf(JSON.stringify(told.with(at, value)))).toBeUndefined()
  })

  it("of a newer format is an error, which says so", () => {
    expect(() => messageOf("[3]")).toThrow("newer version")
    expect(messageOf("[2]")).toBeUndefined()
  })
})

it("what is no list is an empty one", () => {
  expect(list([1])).toEqual([1])
  for (const reply of ["x", 1, null, undefined]) expect(list(reply)).toEqual([])
})
