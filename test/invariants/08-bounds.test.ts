import { describe, expect } from "@effect/vitest"
import { Effect, Option, Stream, TestClock } from "effect"
import { Channels, type Lagged, Presence, type PresenceEvent } from "../../src/index.js"
import { followTopic } from "../support/followTopic.js"
import { check } from "../support/invariant.js"
import { expectGrowthBelow } from "../support/memory.js"

describe("8. no slow reader or full queue can stop somebody else's join or leave, or grow memory without a bound", () => {
  check(
    "who never reads holds up nobody, and is told how much was lost",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const stuck = yield* presence.subscribe("room")
        const quick = yield* presence.subscribe("room")
        const pull = yield* Stream.toPull(presence.changes("room"))
        yield* pull
        const heard: Array<PresenceEvent> = []
        for (let i = 0; i < 1_000; i++) {
          yield* Effect.scoped(presence.track("room", "alice", i))
          heard.push(...(yield* quick.take))
        }
        expect(heard).toHaveLength(2_000)
        const { missed } = (yield* Effect.flip(stuck.take)) as Lagged
        const kept = yield* stuck.take
        expect(missed + kept.length).toBe(2_000)
        expect(kept.length).toBeLessThanOrEqual(8)
        expect(kept).toEqual(heard.slice(missed))
        // The follower is resynced, not failed.
        const [first] = yield* pull
        expect(first?._tag).toBe("Snapshot")
      }),
    { bufferSize: 8 }
  )

  check(
    "memory does not grow with what they did not read",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const channels = yield* Channels
        yield* presence.subscribe("room")
        yield* channels.subscribe("presence:room")
        const pull = yield* Stream.toPull(presence.changes("room"))
        yield* pull
        const lease = yield* presence.track("room", "alice")
        let n = 0
        yield* expectGrowthBelow(
          500_000,
          Effect.gen(function* () {
            for (let i = 0; i < 1_000; i++) yield* lease.update(`${n++} ${"x".repeat(2_000)}`)
          })
        )
        // What was told is 2 MB, three times.
      }),
    { bufferSize: 64 }
  )

  check("what was told of a followed topic is kept for a minute, and what was made of it is not", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const follower = yield* followTopic("room")
      const lease = yield* presence.track("room", "alice", 0, { ttl: "1 hour" })
      let n = 0
      const moves = Effect.gen(function* () {
        for (let i = 0; i < 4_000; i++) yield* lease.update({ x: ++n, y: i })
        yield* follower.until((copy) => copy.version === follower.start.version + 1 + n)
      })
      yield* moves
      const { epoch, version } = follower.copy()
      const resumed = Effect.map(
        Stream.runHead(presence.changes("room", { since: { epoch, version: version - 1 } })),
        Option.map(({ _tag }) => _tag)
      )
      expect(yield* resumed).toEqual(Option.some("Diff"))
      // The past stays as large as it is.
      yield* expectGrowthBelow(500_000, moves)
      yield* TestClock.adjust("62 seconds")
      expect(yield* resumed).toEqual(Option.some("Snapshot"))
    })
  )

  check("a refused track, however large, costs the topic nothing", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const follower = yield* followTopic("room")
      const keeper = yield* presence.track("room", "keeper")
      for (let i = 0; i < 100; i++) yield* Effect.flip(presence.track("room", `user ${i}`, "x".repeat(20_000)))
      yield* keeper.update(1)
      yield* follower.until((copy) => copy.version === follower.start.version + 2)
      expect(follower.copy().connections.map((connection) => connection.key)).toEqual(["keeper"])
    })
  )
})
