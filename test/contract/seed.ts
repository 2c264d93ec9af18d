/**
 * The tests of the original, under their names: `Presence` of the Autumn web framework, in Rust, and the rules of
 * Phoenix's Tracker. A handle that is dropped there is a scope that closes here.
 */
import { describe, expect } from "@effect/vitest"
import { Effect, Exit, Option, Schema, Scope } from "effect"
import { Channels, Presence, PresenceEvent } from "../../src/index.js"
import { join, leave, listen, update } from "../support/listen.js"
import { type MakeLayer, subject, type Time, testTime } from "./Subject.js"

const encode = Schema.encodeSync(Schema.parseJson(PresenceEvent))
const decode = Schema.decodeSync(Schema.parseJson(PresenceEvent))

export const seedContract = (name: string, layer: MakeLayer, time: Time = testTime): void => {
  const { check, pass, ticks } = subject(layer, time)
  const quiet = { ttl: ticks(3), sweepInterval: ticks(1_000_000) }

  describe(`${name}: presence of the original`, () => {
    check("track_adds_one_entry", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", { role: "viewer" })
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ role: "viewer" }] }])
      })
    )

    check("drop_handle_removes_entry", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* presence.track("room", "alice")
            expect(yield* presence.list("room")).toHaveLength(1)
          })
        )
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* presence.topics).toEqual([])
      })
    )

    check("same_key_multiple_connections_collapsed", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", { device: "phone" })
        yield* presence.track("room", "alice", { device: "laptop" })
        expect(yield* presence.list("room")).toEqual([
          { key: "alice", metas: [{ device: "phone" }, { device: "laptop" }] }
        ])
      })
    )

    check("dropping_one_connection_keeps_other", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const first = yield* Scope.make()
        yield* Scope.extend(presence.track("room", "alice", { device: "phone" }), first)
        yield* presence.track("room", "alice", { device: "laptop" })
        yield* Scope.close(first, Exit.void)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ device: "laptop" }] }])
      })
    )

    check("different_keys_are_separate_entries", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "bob", {})
        yield* presence.track("room", "alice", {})
        expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["alice", "bob"])
      })
    )

    check("list_unknown_topic_returns_empty", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        expect(yield* presence.list("nowhere")).toEqual([])
      })
    )

    check(
      "sweep_removes_stale_entries",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          yield* pass(3)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* presence.list("room")).toEqual([])
        }),
      quiet
    )

    check(
      "sweep_respects_refreshed_entries",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const fresh = yield* presence.track("room", "fresh")
          yield* presence.track("room", "stale")
          yield* pass(2)
          expect(yield* fresh.refresh).toBe("renewed")
          yield* pass(1)
          expect(yield* presence.sweepExpired).toBe(1)
          expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["fresh"])
        }),
      quiet
    )

    check("presence_handle_exposes_topic_and_key", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice")
        expect(lease.topic).toBe("room")
        expect(lease.key).toBe("alice")
      })
    )

    check("no_leave_event_while_other_connections_remain", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const first = yield* presence.track("room", "alice")
        const second = yield* presence.track("room", "alice")
        yield* first.release
        expect(yield* heard).toEqual([join("alice"), join("alice")])
        yield* second.release
        expect(yield* heard).toEqual([leave("alice")])
      })
    )

    check("join_event_broadcast_on_track", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const channel = yield* (yield* Channels).subscribe("presence:room")
        yield* presence.track("room", "alice", { role: "viewer" })
        expect(yield* channel.take).toEqual(['{"type":"join","key":"alice","meta":{"role":"viewer"}}'])
      })
    )

    check("leave_event_broadcast_on_drop", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const channel = yield* (yield* Channels).subscribe("presence:room")
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* presence.track("room", "alice", { role: "viewer" })
            yield* channel.take
          })
        )
        expect(yield* channel.take).toEqual(['{"type":"leave","key":"alice"}'])
      })
    )

    check(
      "sweep_broadcasts_leave_events",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("room", "alice")
          const channel = yield* (yield* Channels).subscribe("presence:room")
          const heard = yield* listen("room")
          yield* pass(3)
          expect(yield* presence.sweepExpired).toBe(1)
          expect(yield* channel.take).toEqual(['{"type":"leave","key":"alice"}'])
          expect(yield* heard).toEqual([leave("alice")])
        }),
      quiet
    )

    check("presence_event_join_serializes_correctly", () =>
      Effect.sync(() => {
        expect(encode({ type: "join", key: "alice", meta: { role: "viewer" } })).toBe(
          '{"type":"join","key":"alice","meta":{"role":"viewer"}}'
        )
      })
    )

    check("presence_event_leave_serializes_correctly", () =>
      Effect.sync(() => {
        expect(encode({ type: "leave", key: "alice" })).toBe('{"type":"leave","key":"alice"}')
      })
    )

    check("presence_event_round_trips", () =>
      Effect.sync(() => {
        const events: ReadonlyArray<PresenceEvent> = [
          { type: "join", key: "alice", meta: { role: "viewer", tags: ["a", null, 1.5] } },
          { type: "leave", key: "alice" },
          { type: "update", key: "alice", meta: "away" }
        ]
        for (const event of events) expect(decode(encode(event))).toEqual(event)
      })
    )
  })

  describe(`${name}: rules of Phoenix's Tracker`, () => {
    check("untracking what is not tracked is fine", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        expect(yield* presence.evict("room", "nobody")).toBe(0)
        const lease = yield* presence.track("room", "alice")
        yield* lease.release
        yield* lease.release
        expect(yield* presence.evict("room", "alice")).toBe(0)
        expect(yield* heard).toEqual([join("alice"), leave("alice")])
      })
    )

    check("an update replaces the meta and is one event", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { role: "viewer", name: "Alice" })
        const heard = yield* listen("room")
        expect(yield* lease.update({ role: "editor" })).toBe("updated")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ role: "editor" }] }])
        expect(yield* heard).toEqual([update("alice", { role: "editor" })])
      })
    )

    check("an update can be a function of the meta", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const lease = yield* presence.track("room", "alice", { clicks: 1 })
        expect(yield* lease.update((meta) => ({ before: meta }))).toBe("updated")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ before: { clicks: 1 } }] }])
      })
    )

    check("get answers one key with all its metas", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice", 1)
        yield* presence.track("room", "bob", 2)
        yield* presence.track("room", "alice", 3)
        expect(yield* presence.get("room", "alice")).toEqual(Option.some({ key: "alice", metas: [1, 3] }))
        expect(yield* presence.get("room", "carol")).toEqual(Option.none())
        expect(yield* presence.get("other", "alice")).toEqual(Option.none())
      })
    )

    check("keys are strings, also those that look like numbers", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (const key of ["10", "9", "1", "01"]) yield* presence.track("room", key)
        expect((yield* presence.list("room")).map((entry) => entry.key)).toEqual(["01", "1", "10", "9"])
      })
    )
  })
}
