/** Names and metas are data: nothing in them is special, and nothing is shared with who gave them. */
import { describe, expect } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Presence } from "../../../src/index.js"
import { followTopic } from "../../support/followTopic.js"
import { join, leave, listen } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

const strange = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "valueOf",
  "then",
  "}",
  "{",
  "{3}",
  "*",
  "?",
  "[a]",
  ":",
  "a:b",
  "presence:room",
  "~",
  " ",
  "\0",
  "\n",
  "\u2028",
  "\\",
  '"',
  "%s",
  "😀",
  "👩‍👩‍👧",
  "é",
  "e\u0301",
  "\ufeff",
  "\uffff",
  "0",
  "1",
  "-1",
  "null",
  "undefined",
  "true",
  "../x",
  "<img src=x onerror=alert(1)>"
]

export const names = ({ check }: Subject) =>
  describe("names and metas are data", () => {
    check("any name is ordinary as a key", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        for (const [i, key] of strange.entries()) yield* presence.track("room", key, i)
        const sorted = [...strange].sort((a, b) => (a < b ? -1 : 1))
        expect(yield* presence.list("room")).toEqual(sorted.map((key) => ({ key, metas: [strange.indexOf(key)] })))
        expect(yield* presence.count("room")).toEqual({ keys: strange.length, connections: strange.length })
        for (const [i, key] of strange.entries()) {
          expect(yield* presence.get("room", key)).toEqual(Option.some({ key, metas: [i] }))
        }
        expect(yield* heard).toEqual(strange.map((key, i) => join(key, i)))
        for (const key of strange) expect(yield* presence.evict("room", key)).toBe(1)
        expect(yield* heard).toEqual(strange.map(leave))
        expect(yield* presence.list("room")).toEqual([])
      })
    )

    check("any name is ordinary as a topic", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (const topic of strange) {
          expect(yield* presence.list(topic)).toEqual([])
          expect(yield* presence.count(topic)).toEqual({ keys: 0, connections: 0 })
        }
        const followers = yield* Effect.forEach(strange, (topic) => followTopic(topic))
        for (const [i, topic] of strange.entries()) yield* presence.track(topic, "alice", i)
        for (const [i, topic] of strange.entries()) {
          expect(yield* presence.list(topic)).toEqual([{ key: "alice", metas: [i] }])
          const follower = followers[i]
          if (follower === undefined) return expect.unreachable()
          yield* follower.until((copy) => copy.connections.length > 0)
          expect(follower.copy().connections[0]?.meta).toBe(i)
        }
        expect([...(yield* presence.topics)].sort()).toEqual([...strange].sort())
      })
    )

    check("names that no one tracked are not there, whatever they are called", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice")
        for (const name of strange) {
          expect(yield* presence.get("room", name)).toEqual(Option.none())
          expect(yield* presence.get(name, name)).toEqual(Option.none())
          expect(yield* presence.evict("room", name)).toBe(0)
        }
      })
    )

    check("an own __proto__ in a meta is kept and sets no prototype", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const text = '{"__proto__":{"admin":true},"constructor":1,"deep":[{"__proto__":null}]}'
        const follower = yield* followTopic("room")
        yield* presence.track("room", "alice", JSON.parse(text))
        const meta = (yield* presence.list("room"))[0]?.metas[0]
        expect(JSON.stringify(meta)).toBe(text)
        expect(Object.keys(Object(meta))).toContain("__proto__")
        expect(Object(meta).admin).toBeUndefined()
        yield* follower.until((copy) => copy.connections.length === 1)
        expect(JSON.stringify(follower.copy().connections[0]?.meta)).toBe(text)
        expect(Object.hasOwn(Object.prototype, "admin")).toBe(false)
      })
    )

    check("a meta is copied: changing what was given changes nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const given = { name: "Alice", tags: ["a"], deep: { at: [1, 2] } }
        const lease = yield* presence.track("room", "alice", given)
        given.name = "Mallory"
        given.tags.push("b")
        given.deep.at[0] = 9
        const expected = { name: "Alice", tags: ["a"], deep: { at: [1, 2] } }
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [expected] }])
        expect(Object.isFrozen(given)).toBe(false)
        const next = { tags: ["c"] }
        yield* lease.update(next)
        next.tags.push("d")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ tags: ["c"] }] }])
      })
    )

    check("a getter is read once", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        let reads = 0
        const lease = yield* presence.track("room", "alice", {
          get n() {
            return ++reads
          }
        })
        expect(reads).toBe(1)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ n: 1 }] }])
        yield* lease.update({
          get n() {
            return ++reads
          }
        })
        expect(reads).toBe(2)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ n: 2 }] }])
      })
    )

    check("a getter in an array is read once, and an array is taken as one whatever its constructor says", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        let reads = 0
        const list: Array<unknown> = [0]
        Object.defineProperty(list, 1, { get: () => ++reads, enumerable: true })
        Object.defineProperty(list, "constructor", { value: { [Symbol.species]: Object } })
        yield* presence.track("room", "alice", { list })
        expect(reads).toBe(1)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ list: [0, 1] }] }])
      })
    )

    check("a plain object without a prototype is taken", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const bare = Object.assign(Object.create(null), { a: 1 })
        yield* presence.track("room", "alice", { bare, list: [bare, bare] })
        expect(JSON.stringify((yield* presence.list("room"))[0]?.metas)).toBe(
          '[{"bare":{"a":1},"list":[{"a":1},{"a":1}]}]'
        )
      })
    )

    check("a frozen meta, and one that was stored before, is taken again", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", Object.freeze({ a: Object.freeze([1]) }))
        const stored = (yield* presence.list("room"))[0]?.metas[0]
        yield* presence.track("room", "bob", stored)
        expect(yield* presence.list("room")).toEqual([
          { key: "alice", metas: [{ a: [1] }] },
          { key: "bob", metas: [{ a: [1] }] }
        ])
      })
    )

    check("an effect of track can be run many times: each run reads the meta anew", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const given = { n: 1 }
        const track = presence.track("room", "alice", given)
        yield* track
        given.n = 2
        yield* track
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ n: 1 }, { n: 2 }] }])
      })
    )
  })
