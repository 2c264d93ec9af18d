/** Following: `subscribe`, `events`, `changes`. */
import { describe, expect } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Stream } from "effect"
import { Channels, type Diff, Presence, type PresenceChange, PresenceState } from "../../../src/index.js"
import { apply, applyAll } from "../../support/follow.js"
import { followTopic } from "../../support/followTopic.js"
import { join, leave, listen, update } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

export const following = ({ check, pass, ticks }: Subject) =>
  describe("following", () => {
    check("no event is missed once subscribe has returned, and none from before is told", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "before")
        const { take } = yield* presence.subscribe("room")
        yield* presence.track("room", "after")
        expect(yield* take).toEqual([join("after")])
      })
    )

    check("events is the same as a stream", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const subscription = yield* presence.subscribe("room")
        // Its own subscription is there when it has got its first event.
        const pull = yield* Stream.toPull(presence.events("room"))
        const first = yield* Effect.fork(pull)
        while (first.unsafePoll() === null) {
          yield* Effect.scoped(presence.track("room", "knock"))
          yield* Effect.yieldNow()
        }
        expect([...(yield* Fiber.join(first))][0]).toMatchObject({ key: "knock" })
        yield* subscription.take
        const lease = yield* presence.track("room", "alice", 1)
        yield* lease.update(2)
        yield* lease.release
        const expected = [join("alice", 1), update("alice", 2), leave("alice")]
        const told: Array<unknown> = []
        while (told.length < 3) told.push(...[...(yield* pull)].filter((event) => event.key === "alice"))
        expect(told).toEqual(expected)
        const taken: Array<unknown> = []
        while (taken.length < 3) taken.push(...(yield* subscription.take).filter((event) => event.key === "alice"))
        expect(taken).toEqual(expected)
      })
    )

    check("every subscriber hears the same, in the same order", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const first = yield* listen("room")
        const second = yield* listen("room")
        const a = yield* presence.track("room", "a")
        const b = yield* presence.track("room", "b")
        yield* a.release
        yield* b.update(1)
        const expected = [join("a"), join("b"), leave("a"), update("b", 1)]
        expect(yield* first).toEqual(expected)
        expect(yield* second).toEqual(expected)
      })
    )

    check("the state that a follower folds is what is listed, and says where to go on from", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const alice = yield* presence.track("room", "alice", 1)
        const folded = (until: string, state = PresenceState.empty()) =>
          presence.changes("room", { since: state }).pipe(
            Stream.scan(state, (state, change) => state.apply(change)),
            Stream.filter(({ entries }) => entries.some(({ key }) => key === until)),
            Stream.runHead,
            Effect.map(Option.getOrThrow)
          )
        const first = yield* Effect.fork(folded("bob"))
        yield* presence.track("room", "alice", 2)
        yield* alice.update(3)
        const bob = yield* presence.track("room", "bob", 4)
        const state = yield* Fiber.join(first)
        expect(state.entries).toEqual(yield* presence.list("room"))
        expect(state.count).toEqual(yield* presence.count("room"))
        // Somebody follows, so that the topic's past is at hand.
        yield* followTopic("room")
        yield* bob.release
        yield* presence.track("room", "carol", 5)
        const next = yield* folded("carol", state)
        expect(next.entries).toEqual(yield* presence.list("room"))
      })
    )

    check("topics do not hear each other", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        yield* presence.track("room:1", "alice")
        yield* presence.track("roo", "alice")
        expect(yield* heard).toEqual([])
      })
    )

    check("an event is a mirror: publishing on the channel forges no join", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const channels = yield* Channels
        const heard = yield* listen("room")
        yield* channels.publish("presence:room", '{"type":"join","key":"mallory","meta":{}}')
        expect(yield* heard).toEqual([])
        expect(yield* presence.list("room")).toEqual([])
      })
    )

    check("changes gives a snapshot first, then every diff, without a gap or a repeat", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const alice = yield* presence.track("room", "alice", 1)
        const follower = yield* followTopic("room")
        expect(follower.first).toEqual({
          _tag: "Snapshot",
          topic: "room",
          epoch: follower.start.epoch,
          version: follower.start.version,
          connections: [{ key: "alice", ref: alice.ref, meta: 1 }]
        })
        const { epoch, version } = follower.start
        const before = alice.ref
        const bob = yield* presence.track("room", "bob", 2)
        yield* alice.update(3)
        const after = alice.ref
        yield* alice.release
        const none = { joins: [], leaves: [], updates: [] }
        const diff = (n: number, part: Partial<Diff>): Diff => ({
          _tag: "Diff",
          topic: "room",
          epoch,
          from: version + n - 1,
          version: version + n,
          ...none,
          ...part
        })
        expect(yield* follower.until((copy) => copy.version === version + 3)).toEqual([
          diff(1, { joins: [{ key: "bob", ref: bob.ref, meta: 2 }] }),
          diff(2, { updates: [{ key: "alice", ref: after, previousRef: before, meta: 3 }] }),
          diff(3, { leaves: [{ key: "alice", ref: after, meta: 3, reason: "released" }] })
        ])
        expect(follower.copy().connections).toEqual((yield* presence.snapshot("room")).connections)
      })
    )

    check("a snapshot and the changes that begin there agree", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (const key of ["b", "a", "b"]) yield* presence.track("room", key, key)
        const follower = yield* followTopic("room")
        expect(follower.first).toEqual(yield* presence.snapshot("room"))
      })
    )

    check(
      "a leave says why",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const follower = yield* followTopic("room")
          const lease = yield* presence.track("room", "released", {}, { ttl: Duration.infinity })
          yield* lease.release
          yield* Effect.scoped(presence.track("room", "closed", {}, { ttl: Duration.infinity }))
          yield* presence.track("room", "evicted", {}, { ttl: Duration.infinity })
          yield* presence.evict("room", "evicted")
          yield* presence.track("room", "expired")
          yield* pass(3)
          yield* presence.sweepExpired
          const changes = yield* follower.until((copy) => copy.version >= follower.start.version + 8)
          expect(
            changes.flatMap((change) =>
              change._tag === "Diff" ? change.leaves.map((leave) => [leave.key, leave.reason]) : []
            )
          ).toEqual([
            ["released", "released"],
            ["closed", "released"],
            ["evicted", "evicted"],
            ["expired", "expired"]
          ])
        }),
      { ttl: ticks(3), sweepInterval: ticks(1_000_000) }
    )

    check("an evict of many connections leads to one consistent state", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (let i = 0; i < 5; i++) yield* presence.track("room", "alice", i)
        yield* presence.track("room", "bob")
        const follower = yield* followTopic("room")
        expect(yield* presence.evict("room", "alice")).toBe(5)
        const changes = yield* follower.until((copy) => copy.connections.length === 1)
        const leaves = changes.flatMap((change) => (change._tag === "Diff" ? change.leaves : []))
        expect(leaves.map((leave) => [leave.key, leave.meta, leave.reason])).toEqual(
          [0, 1, 2, 3, 4].map((i) => ["alice", i, "evicted"])
        )
        expect(follower.copy()).toMatchObject({ version: (yield* presence.snapshot("room")).version })
      })
    )

    check(
      "a follower that lags gets a new snapshot instead of a failure, and goes on from there",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const follower = yield* followTopic("room")
          const lease = yield* presence.track("room", "alice", 0)
          for (let i = 1; i <= 100; i++) yield* lease.update(i)
          yield* presence.track("room", "bob")
          const now = yield* presence.snapshot("room")
          const changes = yield* follower.until((copy) => copy.version === now.version)
          expect(changes.some((change) => change._tag === "Snapshot")).toBe(true)
          expect(changes.length).toBeLessThan(20)
          expect(follower.copy().connections).toEqual(now.connections)
          yield* lease.update("again")
          const [diff, ...more] = yield* follower.until((copy) => copy.version === now.version + 1)
          expect(diff?._tag).toBe("Diff")
          expect(more).toEqual([])
          expect(follower.copy().connections).toEqual((yield* presence.snapshot("room")).connections)
        }),
      { bufferSize: 4 }
    )

    check("changes goes on from where a follower stands, without a snapshot", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const follower = yield* followTopic("room")
        const alice = yield* presence.track("room", "alice", 1)
        yield* follower.until((copy) => copy.version === follower.start.version + 1)
        const since = follower.copy()
        yield* alice.update(2)
        yield* presence.track("room", "bob", 3)
        const now = yield* presence.snapshot("room")
        const read: Array<PresenceChange> = []
        let copy = since
        const pull = yield* Stream.toPull(presence.changes("room", { since }))
        while (copy.version < now.version) {
          for (const change of yield* pull) {
            read.push(change)
            copy = apply(copy, change)
          }
        }
        expect(read.map((change) => change._tag)).not.toContain("Snapshot")
        expect(copy.connections).toEqual(now.connections)
        yield* alice.release
        for (const change of yield* pull) copy = apply(copy, change)
        expect(copy.connections.map((connection) => connection.key)).toEqual(["bob"])
      })
    )

    check("a follower that stands at the present hears nothing until something changes", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const follower = yield* followTopic("room")
        const changes = presence.changes("room", { since: follower.start })
        const fiber = yield* Effect.fork(Stream.runHead(changes))
        for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
        expect(fiber.unsafePoll()).toBeNull()
        yield* presence.track("room", "alice")
        expect(Option.getOrThrow(yield* Fiber.join(fiber))).toMatchObject({
          _tag: "Diff",
          from: follower.start.version
        })
      })
    )

    check("a follower that stands nowhere known gets a snapshot", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const follower = yield* followTopic("room")
        yield* presence.track("room", "alice")
        const now = yield* presence.snapshot("room")
        for (const since of [
          { epoch: "no such epoch", version: now.version },
          { epoch: now.epoch, version: now.version + 1 },
          { epoch: now.epoch, version: follower.start.version - 1 },
          { epoch: now.epoch, version: -1 },
          { epoch: now.epoch, version: Number.NaN },
          { epoch: now.epoch, version: now.version - 0.5 }
        ]) {
          const first = yield* Stream.runHead(presence.changes("room", { since }))
          expect(first, JSON.stringify(since)).toEqual(Option.some(now))
        }
      })
    )

    check(
      "a follower that stands further back than the buffer gets a snapshot",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const follower = yield* followTopic("room")
          const since = follower.start
          const lease = yield* presence.track("room", "alice", 0)
          for (let i = 1; i <= 50; i++) yield* lease.update(i)
          const now = yield* presence.snapshot("room")
          expect(yield* Stream.runHead(presence.changes("room", { since }))).toEqual(Option.some(now))
        }),
      { bufferSize: 4 }
    )

    check("changes starts afresh at each run", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const changes = presence.changes("room")
        const first = yield* Stream.runCollect(Stream.take(changes, 1))
        yield* presence.track("room", "alice")
        const second = yield* Stream.runCollect(Stream.take(changes, 1))
        expect(applyAll(first)?.connections).toHaveLength(0)
        expect(applyAll(second)?.connections).toHaveLength(1)
      })
    )
  })
