/** `leaveDelay`: a connection that stays a while after its scope has closed. */
import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { type Diff, Presence } from "../../../src/index.js"
import { followTopic } from "../../support/followTopic.js"
import { join, leave, listen } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const delay = ({ check, pass, ticks }: Subject) =>
  describe("leaveDelay", () => {
    const options: Presence.Options = { ttl: ticks(1_000), sweepInterval: ticks(1) }
    const delayed: Presence.TrackOptions = { leaveDelay: ticks(4) }

    check(
      "the connection stays that long after its scope has closed, then it leaves",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const lease = yield* Effect.scoped(presence.track("room", "alice", 1, delayed))
          const ended = yield* Effect.fork(lease.ended)
          yield* pass(2)
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
          expect(ended.unsafePoll()).toBeNull()
          yield* pass(4)
          expect(yield* Fiber.join(ended)).toBe("released")
          expect(yield* presence.list("room")).toEqual([])
          expect(yield* heard).toEqual([join("alice", 1), leave("alice")])
        }),
      options
    )

    check(
      "of a scope with very many leases those with a delay leave when it is over, whatever the others do",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const track = (count: number, name: string, options?: Presence.TrackOptions) =>
            Effect.forEach(
              Array.from({ length: count }),
              (_, i) => presence.track("room", `${name} ${i}`, {}, options),
              {
                concurrency: "unbounded"
              }
            )
          // The last ones are closed first, and the others are more than one step ends.
          yield* Effect.scoped(Effect.zipRight(track(1_000, "at once"), track(10, "later", delayed)))
          expect(yield* presence.count("room")).toEqual({ keys: 10, connections: 10 })
          yield* pass(5)
          expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
        }),
      options
    )

    check(
      "closing the scope does not wait for the delay",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          // Nobody lets time pass here: a close that waited would never return.
          yield* Effect.scoped(presence.track("room", "alice", {}, delayed))
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
        }),
      options
    )

    check(
      "its ttl no longer counts",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          yield* Effect.scoped(presence.track("room", "alice", {}, { ttl: ticks(1), leaveDelay: ticks(6) }))
          yield* pass(4)
          expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
          expect(yield* heard).toEqual([join("alice")])
          yield* pass(4)
          expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
          expect(yield* heard).toEqual([leave("alice")])
        }),
      options
    )

    check(
      "release ends it at once, before its scope closes and after",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const open = yield* presence.track("room", "alice", {}, delayed)
          yield* open.release
          expect(yield* presence.list("room")).toEqual([])
          const lingering = yield* Effect.scoped(presence.track("room", "alice", {}, delayed))
          expect(yield* presence.list("room")).toHaveLength(1)
          yield* lingering.release
          expect(yield* lingering.ended).toBe("released")
          expect(yield* presence.list("room")).toEqual([])
          yield* pass(6)
          expect(yield* heard).toEqual([join("alice"), leave("alice"), join("alice"), leave("alice")])
        }),
      options
    )

    check(
      "evict ends it at once and counts it",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const lease = yield* Effect.scoped(presence.track("room", "alice", {}, delayed))
          expect(yield* presence.evict("room", "alice")).toBe(1)
          expect(yield* lease.ended).toBe("evicted")
          yield* pass(6)
          expect(yield* heard).toEqual([join("alice"), leave("alice")])
        }),
      options
    )

    check(
      "tracked again meanwhile, the key never left: one join, one connection",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const first = yield* Effect.scoped(presence.track("room", "alice", 1, delayed))
          yield* pass(2)
          yield* presence.track("room", "alice", 2, delayed)
          yield* pass(6)
          expect(yield* first.ended).toBe("released")
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [2] }])
          expect(yield* heard).toEqual([join("alice", 1), join("alice", 2)])
        }),
      options
    )

    check(
      "with another connection of the key it ends without a leave event",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          yield* presence.track("room", "alice", 1)
          yield* Effect.scoped(presence.track("room", "alice", 2, delayed))
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1, 2] }])
          yield* pass(6)
          expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
          expect(yield* heard).toEqual([join("alice", 1), join("alice", 2)])
        }),
      options
    )

    check(
      "another key does not end it",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* Effect.scoped(presence.track("room", "alice", 1, delayed))
          yield* presence.track("room", "bob")
          yield* presence.track("lobby", "alice")
          expect(yield* presence.count("room")).toEqual({ keys: 2, connections: 2 })
        }),
      options
    )

    check(
      "each lease has its own delay, 0 by default",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const scope = yield* Scope.make()
          yield* Scope.extend(presence.track("room", "at once"), scope)
          yield* Scope.extend(presence.track("room", "later", {}, delayed), scope)
          yield* Scope.extend(presence.track("room", "latest", {}, { leaveDelay: ticks(20) }), scope)
          yield* Scope.close(scope, Exit.void)
          const keys = Effect.map(presence.list("room"), (list) => list.map((entry) => entry.key))
          expect(yield* keys).toEqual(["later", "latest"])
          yield* pass(6)
          expect(yield* keys).toEqual(["latest"])
          yield* pass(20)
          expect(yield* keys).toEqual([])
        }),
      options
    )

    check(
      "an expired lease has nothing left that could stay",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const lease = yield* Effect.scoped(
            Effect.gen(function* () {
              const lease = yield* presence.track("room", "alice", {}, { ttl: ticks(1), leaveDelay: ticks(50) })
              yield* pass(3)
              expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
              return lease
            })
          )
          expect(yield* lease.ended).toBe("released")
          expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
          expect(yield* heard).toEqual([join("alice"), leave("alice")])
        }),
      options
    )

    check(
      "a follower sees the one that stayed go with the reason released",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const follower = yield* followTopic("room")
          const lease = yield* Effect.scoped(presence.track("room", "alice", 1, delayed))
          const ref = lease.ref
          yield* pass(6)
          const diffs = yield* follower.until((copy) => copy.version >= follower.start.version + 2)
          expect(diffs.flatMap((change) => (change as Diff).leaves)).toEqual([
            { key: "alice", ref, meta: 1, reason: "released" }
          ])
        }),
      options
    )
  })
