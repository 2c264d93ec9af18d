/** Reads: `list`, `get`, `count`, `topics`, `snapshot`, `health`. */
import { describe, expect } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { Presence } from "../../../src/index.js"
import { apply } from "../../support/follow.js"
import type { Subject } from "../Subject.js"

export const reads = ({ check }: Subject) =>
  describe("reads", () => {
    check("a topic that nobody is on is empty, not unknown", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* presence.get("room", "alice")).toEqual(Option.none())
        expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        expect(yield* presence.topics).toEqual([])
        const snapshot = yield* presence.snapshot("room")
        expect(snapshot._tag).toBe("Snapshot")
        expect(snapshot.topic).toBe("room")
        expect(snapshot.connections).toEqual([])
        expect(yield* presence.topics).toEqual([])
      })
    )

    check("the meta is an empty object by default", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
      })
    )

    check("any JSON value is a meta", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const metas = [null, true, false, 0, -1.5e300, "", "text", "\ud800", [], [1, [2]], {}, { a: { b: [null] } }]
        for (const meta of metas) yield* presence.track("room", "alice", meta)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas }])
      })
    )

    check("a list is sorted by key in UTF-16 order, metas oldest first", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const keys = ["b", "a", "\uff5e", "😀", "Z", "é", "e\u0301", "10", "9", " ", "ab", "a"]
        for (const [i, key] of keys.entries()) yield* presence.track("room", key, i)
        const list = yield* presence.list("room")
        const expected = [...new Set(keys)].sort((a, b) => (a < b ? -1 : 1))
        expect(list.map((entry) => entry.key)).toEqual(expected)
        expect(expected.indexOf("😀")).toBeLessThan(expected.indexOf("\uff5e"))
        expect(list.find((entry) => entry.key === "a")?.metas).toEqual([1, 11])
      })
    )

    check("count counts keys and connections, topics those with at least one", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room:1", "alice")
        const phone = yield* presence.track("room:1", "alice")
        const bob = yield* presence.track("room:1", "bob")
        const elsewhere = yield* presence.track("room:2", "bob")
        expect(yield* presence.count("room:1")).toEqual({ keys: 2, connections: 3 })
        expect(yield* presence.count("room:2")).toEqual({ keys: 1, connections: 1 })
        expect([...(yield* presence.topics)].sort()).toEqual(["room:1", "room:2"])
        const health = yield* presence.health
        expect(health).toMatchObject({ status: "ok", connections: 4, topics: 2 })
        expect(typeof health.since).toBe("number")
        yield* phone.release
        yield* bob.release
        yield* elsewhere.release
        expect(yield* presence.count("room:1")).toEqual({ keys: 1, connections: 1 })
        expect(yield* presence.count("room:2")).toEqual({ keys: 0, connections: 0 })
        expect(yield* presence.topics).toEqual(["room:1"])
        expect(yield* presence.health).toMatchObject({ status: "ok", connections: 1, topics: 1 })
      })
    )

    check(
      "counts counts many topics at once, each that was asked for, also one that nobody is on or that cannot be",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room:1", "alice")
          yield* presence.track("room:1", "alice")
          const bob = yield* presence.track("__proto__", "bob")
          // Followed, so that over Redis it is counted from memory.
          yield* presence.track("room:3", "carol")
          yield* presence.subscribe("room:3")
          const topics = ["room:3", "nobody", "__proto__", "room:1", "", "\ud800", "room:1"]
          const counts = yield* presence.counts(topics)
          expect([...counts]).toEqual([
            ["room:3", { keys: 1, connections: 1 }],
            ["nobody", { keys: 0, connections: 0 }],
            ["__proto__", { keys: 1, connections: 1 }],
            ["room:1", { keys: 1, connections: 2 }],
            ["", { keys: 0, connections: 0 }],
            ["\ud800", { keys: 0, connections: 0 }]
          ])
          yield* bob.release
          expect((yield* presence.counts(["__proto__"])).get("__proto__")).toEqual({ keys: 0, connections: 0 })
          // What was answered is the reader's own, or stays as it was.
          expect(counts.get("__proto__")).toEqual({ keys: 1, connections: 1 })
          expect((yield* presence.counts([])).size).toBe(0)
          expect(yield* presence.forSchema(Schema.Literal("never")).counts(["room:1"])).toEqual(
            new Map([["room:1", { keys: 1, connections: 2 }]])
          )
          expect((yield* presence.topics).length).toBe(2)
        })
    )

    const everywhere = () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const topics = ["room:1", "room:2", "__proto__"]
        const leases: Array<Presence.Lease> = []
        for (const topic of topics) leases.push(yield* presence.track(topic, "alice"))
        leases.push(yield* presence.track("room:1", "alice"))
        const bob = yield* presence.track("room:1", "bob")
        yield* presence.track("room:3", "carol")
        expect([...(yield* presence.topicsOf("alice"))].sort()).toEqual([...topics].sort())
        expect(yield* presence.topicsOf("bob")).toEqual(["room:1"])
        for (const nobody of ["nobody", "", "\ud800"]) {
          expect(yield* presence.topicsOf(nobody)).toEqual([])
          expect(yield* presence.evictEverywhere(nobody)).toBe(0)
        }
        expect(yield* presence.evictEverywhere("alice")).toBe(4)
        for (const lease of leases) expect(yield* lease.ended).toBe("evicted")
        expect(yield* presence.topicsOf("alice")).toEqual([])
        expect([...(yield* presence.topics)].sort()).toEqual(["room:1", "room:3"])
        expect(yield* bob.refresh).toBe("renewed")
        // No ban.
        yield* presence.track("room:2", "alice")
        expect(yield* presence.forSchema(Schema.Unknown).topicsOf("alice")).toEqual(["room:2"])
      })

    const where = "topicsOf says where a key is, evictEverywhere ends it there, and nobody else"
    check(where, everywhere)
    check(`${where}: with a key index`, everywhere, { keyIndex: true })
    check(
      "a key index knows the topics of each key, whatever its name and however many they are",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const rooms = Array.from({ length: 600 }, (_, i) => `room:${i}`)
          const keys = ["al", "alice", "al:", "5:alice", "é", "😀", "\0", "__proto__"]
          const leases = yield* Effect.forEach(rooms, (room) => presence.track(room, "alice"), {
            concurrency: "unbounded"
          })
          for (const key of keys) {
            yield* presence.track(`of ${key}`, key)
            yield* presence.track("all", key)
          }
          const topicsOf = (key: string) => Effect.map(presence.topicsOf(key), (topics) => [...topics].sort())
          for (const key of keys) {
            expect(yield* topicsOf(key)).toEqual([...(key === "alice" ? rooms : []), "all", `of ${key}`].sort())
          }
          // Of one who comes and goes, and is there twice, nothing is left behind and nothing is forgotten.
          const again = yield* presence.track("all", "alice")
          yield* leases[0]?.release ?? Effect.void
          yield* again.release
          yield* leases[1]?.update({ still: "here" }) ?? Effect.void
          expect(yield* topicsOf("alice")).toEqual([...rooms.slice(1), "all", "of alice"].sort())
          expect(yield* presence.evictEverywhere("alice")).toBe(601)
          expect(yield* topicsOf("alice")).toEqual([])
          expect(yield* topicsOf("al")).toEqual(["all", "of al"])
        }),
      { keyIndex: true }
    )

    check("a snapshot has every connection with its ref, sorted by key, then age", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const bob = yield* presence.track("room", "bob", 1)
        const first = yield* presence.track("room", "alice", 2)
        const second = yield* presence.track("room", "alice", 3)
        const snapshot = yield* presence.snapshot("room")
        expect(snapshot.connections).toEqual([
          { key: "alice", ref: first.ref, meta: 2 },
          { key: "alice", ref: second.ref, meta: 3 },
          { key: "bob", ref: bob.ref, meta: 1 }
        ])
        expect(apply(undefined, snapshot).connections).toEqual(snapshot.connections)
        expect(new Set([bob.ref, first.ref, second.ref]).size).toBe(3)
      })
    )

    check("a version goes one step for each changed connection", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "keeper")
        const start = yield* presence.snapshot("room")
        const version = Effect.map(presence.snapshot("room"), (snapshot) => {
          expect(snapshot.epoch).toBe(start.epoch)
          return snapshot.version - start.version
        })
        const lease = yield* presence.track("room", "alice", 1)
        expect(yield* version).toBe(1)
        yield* lease.update(2)
        expect(yield* version).toBe(2)
        yield* lease.update(2)
        yield* lease.refresh
        expect(yield* version).toBe(2)
        yield* lease.release
        yield* lease.release
        expect(yield* version).toBe(3)
      })
    )

    check("nothing that is read can be used to change the state", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", { tags: ["a"], deep: { er: { value: 1 } } })
        const list = yield* presence.list("room")
        const entry = Option.getOrThrow(yield* presence.get("room", "alice"))
        const snapshot = yield* presence.snapshot("room")
        expect(thawed(list)).toEqual([])
        expect(thawed(entry)).toEqual([])
        expect(snapshot.connections.flatMap((connection) => thawed(connection.meta))).toEqual([])
        // A snapshot may be the reader's own copy. Whatever it is, spoiling it spoils nobody's.
        Reflect.set(snapshot.connections, "length", 0)
        expect((yield* presence.snapshot("room")).connections).toHaveLength(1)
        expect(yield* presence.list("room")).toEqual([
          { key: "alice", metas: [{ tags: ["a"], deep: { er: { value: 1 } } }] }
        ])
      })
    )

    check("what was read before a change stays as it was", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", 1)
        const before = yield* presence.list("room")
        const snapshot = yield* presence.snapshot("room")
        yield* presence.track("room", "alice", 2)
        yield* presence.track("room", "bob", 3)
        yield* lease.update(4)
        expect(before).toEqual([{ key: "alice", metas: [1] }])
        expect(snapshot.connections.map((connection) => connection.meta)).toEqual([1])
        yield* lease.release
        expect(before).toEqual([{ key: "alice", metas: [1] }])
        expect(yield* presence.list("room")).toEqual([
          { key: "alice", metas: [2] },
          { key: "bob", metas: [3] }
        ])
      })
    )
  })

/** The paths of everything in a value that is not frozen. */
const thawed = (value: unknown, path = "$"): ReadonlyArray<string> => {
  if (typeof value !== "object" || value === null) return []
  const inner = Object.entries(value).flatMap(([name, child]) => thawed(child, `${path}.${name}`))
  return Object.isFrozen(value) ? inner : [path, ...inner]
}
