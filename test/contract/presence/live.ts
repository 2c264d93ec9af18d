/** `live`: the list of a topic, then the latest whenever it has changed. */
import { describe, expect } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Option, Schema, type Scope, Stream } from "effect"
import { Presence, type PresenceEntry, type PresenceUnavailable } from "../../../src/index.js"
import type { Subject } from "../Subject.js"

type Pull<A> = Effect.Effect<A, Option.Option<PresenceUnavailable>>

/** One list after the other, as its reader asks for them. */
const pulled = <A>(
  stream: Stream.Stream<ReadonlyArray<PresenceEntry<A>>, PresenceUnavailable>
): Effect.Effect<Pull<ReadonlyArray<PresenceEntry<A>>>, never, Scope.Scope> =>
  Effect.map(
    Stream.toPull(stream),
    Effect.map((chunk) => {
      expect(Chunk.size(chunk)).toBe(1)
      return Chunk.unsafeHead(chunk)
    })
  )

/** Nothing more is told: what was asked for still waits, whatever can run has run. */
const isQuiet = <A>(fiber: Fiber.RuntimeFiber<A, unknown>) =>
  Effect.gen(function* () {
    for (let i = 0; i < 50; i++) yield* Effect.yieldNow()
    return fiber.unsafePoll() === null
  })

export const live = ({ check }: Subject) =>
  describe("live", () => {
    check("is the whole list at once, then after each change, the same array as list gives", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const next = yield* pulled(presence.live("room"))
        expect(yield* next).toEqual([])
        const alice = yield* presence.track("room", "alice", 1)
        expect(yield* next).toEqual([{ key: "alice", metas: [1] }])
        yield* alice.update(2)
        const updated = yield* next
        expect(updated).toEqual([{ key: "alice", metas: [2] }])
        expect(yield* presence.list("room")).toBe(updated)
        yield* presence.track("room", "bob", 3)
        const both = yield* next
        expect(both.map(({ key }) => key)).toEqual(["alice", "bob"])
        // Who did not change is the same entry.
        expect(both[0]).toBe(updated[0])
        yield* alice.release
        expect(yield* next).toEqual([{ key: "bob", metas: [3] }])
      })
    )

    check("waits for a change, and tells nothing that is none", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const next = yield* pulled(presence.live("room"))
        const lease = yield* presence.track("room", "alice", 1)
        expect(yield* next).toHaveLength(1)
        const waiting = yield* Effect.fork(next)
        yield* lease.refresh
        yield* lease.update(1)
        yield* presence.track("room:1", "bob")
        expect(yield* isQuiet(waiting)).toBe(true)
        yield* lease.update(2)
        expect(yield* Fiber.join(waiting)).toEqual([{ key: "alice", metas: [2] }])
      })
    )

    check("gives who is slow the latest list once, however much has happened", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const next = yield* pulled(presence.live("room"))
        yield* next
        const lease = yield* presence.track("room", "alice", 0)
        for (let i = 1; i <= 50; i++) yield* lease.update(i)
        yield* presence.track("room", "bob", 1)
        expect(yield* next).toEqual([
          { key: "alice", metas: [50] },
          { key: "bob", metas: [1] }
        ])
        const waiting = yield* Effect.fork(next)
        expect(yield* isQuiet(waiting)).toBe(true)
        yield* lease.release
        expect(yield* Fiber.join(waiting)).toEqual([{ key: "bob", metas: [1] }])
      })
    )

    check("who stops waiting misses nothing: the next one is told", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const next = yield* pulled(presence.live("room"))
        yield* next
        const waiting = yield* Effect.fork(next)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(waiting)
        yield* presence.track("room", "alice", 1)
        expect(yield* next).toEqual([{ key: "alice", metas: [1] }])
      })
    )

    check("serves any number of readers, each at its own pace", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const stream = presence.live("room")
        const fast = yield* pulled(stream)
        const slow = yield* pulled(stream)
        expect([yield* fast, yield* slow]).toEqual([[], []])
        yield* presence.track("room", "alice")
        const one = yield* fast
        yield* presence.track("room", "bob")
        const two = yield* fast
        expect([one.length, two.length]).toEqual([1, 2])
        expect(yield* slow).toBe(two)
      })
    )

    check("of a topic that cannot be is empty for ever", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const next = yield* pulled(presence.live(""))
        expect(yield* next).toEqual([])
        const waiting = yield* Effect.fork(next)
        yield* presence.track("room", "alice")
        expect(yield* isQuiet(waiting)).toBe(true)
      })
    )

    check("is typed, and what nobody here decodes changes nothing that is shown", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Schema.Struct({ since: Schema.Date }))
        const since = new Date(Date.UTC(2020, 0))
        const next = yield* pulled(viewers.live("room"))
        expect(yield* next).toEqual([])
        yield* viewers.track("room", "alice", { since })
        expect(yield* next).toEqual([{ key: "alice", metas: [{ since }] }])
        const waiting = yield* Effect.fork(next)
        yield* presence.track("room", "mallory", "junk")
        expect(yield* isQuiet(waiting)).toBe(true)
        yield* viewers.track("room", "bob", { since })
        expect((yield* Fiber.join(waiting)).map(({ key }) => key)).toEqual(["alice", "bob"])
      })
    )

    check("is left by who interrupts it", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const reading = yield* Effect.fork(Stream.runDrain(presence.live("room")))
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
        expect(Exit.isInterrupted(yield* Fiber.interrupt(reading))).toBe(true)
        yield* presence.track("room", "alice")
        expect(yield* Stream.runHead(presence.live("room"))).toEqual(Option.some([{ key: "alice", metas: [{}] }]))
      })
    )
  })
