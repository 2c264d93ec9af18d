/** `update`: a connection's meta is replaced, its place is not. */
import { describe, expect } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { InvalidMeta, Presence } from "../../../src/index.js"
import { join, listen, update } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const updates = ({ check }: Subject) =>
  describe("updates", () => {
    check("an update keeps the connection's place, gives it a new ref, and is one event", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const first = yield* presence.track("room", "alice", 1)
        const second = yield* presence.track("room", "alice", 2)
        const before = first.ref
        expect(yield* first.update(3)).toBe("updated")
        expect(first.ref).not.toBe(before)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [3, 2] }])
        expect((yield* presence.snapshot("room")).connections).toEqual([
          { key: "alice", ref: first.ref, meta: 3 },
          { key: "alice", ref: second.ref, meta: 2 }
        ])
        expect(yield* heard).toEqual([join("alice", 1), join("alice", 2), update("alice", 3)])
      })
    )

    check("an update replaces and never merges", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { a: 1, b: 2 })
        yield* lease.update({ b: 3 })
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ b: 3 }] }])
        yield* lease.update(null)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [null] }])
      })
    )

    check("an equal meta answers updated and changes nothing, in whatever order its names stand", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { a: 1, b: { c: [1, 2], d: null } })
        const heard = yield* listen("room")
        const ref = lease.ref
        expect(yield* lease.update({ b: { d: null, c: [1, 2] }, a: 1 })).toBe("updated")
        expect(yield* lease.update((meta) => meta)).toBe("updated")
        expect(lease.ref).toBe(ref)
        expect(yield* heard).toEqual([])
      })
    )

    const different: ReadonlyArray<readonly [before: unknown, after: unknown]> = [
      [{ a: 1 }, { a: 1, b: 2 }],
      [{ a: 1, b: 2 }, { a: 1 }],
      [
        [1, 2],
        [2, 1]
      ],
      [[1], [1, 2]],
      [[], {}],
      [{}, []],
      [0, false],
      [0, "0"],
      [null, {}],
      ["", null],
      [{ "0": "a" }, ["a"]],
      [{}, { length: 0 }],
      [{ a: {} }, JSON.parse('{"__proto__":{}}')],
      [JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":2}}')],
      [{ a: null }, { b: null }]
    ]
    check("metas that differ as JSON are never taken for equal", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (const [before, after] of different) {
          const lease = yield* presence.track("room", "alice", before)
          const ref = lease.ref
          expect(yield* lease.update(after)).toBe("updated")
          expect(lease.ref, `${JSON.stringify(before)} to ${JSON.stringify(after)}`).not.toBe(ref)
          expect((yield* presence.list("room"))[0]?.metas.map((meta) => JSON.stringify(meta))).toEqual([
            JSON.stringify(after)
          ])
          yield* lease.release
        }
      })
    )

    check("minus zero is zero", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { at: [-0] })
        const ref = lease.ref
        expect(Object.is((yield* presence.list("room"))[0]?.metas, undefined)).toBe(false)
        expect((yield* presence.list("room"))[0]?.metas).toStrictEqual([{ at: [0] }])
        yield* lease.update({ at: [0] })
        expect(lease.ref).toBe(ref)
      })
    )

    check("a function is given the current meta", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", 0)
        const increment = lease.update((meta) => (typeof meta === "number" ? meta + 1 : -1))
        yield* Effect.all([increment, increment, increment], { concurrency: "unbounded" })
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [3] }])
      })
    )

    check("a function that throws is a defect and changes nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", 1)
        const ref = lease.ref
        const heard = yield* listen("room")
        const broken = new Error("broken")
        const exit = yield* Effect.exit(
          lease.update(() => {
            throw broken
          })
        )
        expect(Exit.isFailure(exit) && [...Cause.defects(exit.cause)]).toEqual([broken])
        expect(lease.ref).toBe(ref)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
        expect(yield* lease.update(2)).toBe("updated")
        expect(yield* heard).toEqual([update("alice", 2)])
      })
    )

    check("an update that is refused changes nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", 1)
        const ref = lease.ref
        const heard = yield* listen("room")
        for (const error of [
          yield* Effect.flip(lease.update({ at: [1n] })),
          yield* Effect.flip(lease.update(() => ({ at: [1n] })))
        ]) {
          expect(error).toBeInstanceOf(InvalidMeta)
          expect(error).toMatchObject({ topic: "room", key: "alice", path: "$.at[0]" })
        }
        expect(yield* Effect.flip(lease.update(undefined))).toBeInstanceOf(InvalidMeta)
        expect(lease.ref).toBe(ref)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
        expect(yield* heard).toEqual([])
      })
    )
  })
