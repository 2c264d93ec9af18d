import { describe, expect } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { check } from "../support/invariant.js"
import { expectGrowthBelow, isCollected } from "../support/memory.js"

describe("12. after the last connection and subscriber of a topic go, its memory goes", () => {
  check("of very many topics, each tracked, listed, followed and left", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      let n = 0
      yield* expectGrowthBelow(
        60_000,
        Effect.gen(function* () {
          for (let i = 0; i < 200; i++) {
            const topic = `room ${n++}`
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* channels.subscribe(`presence:${topic}`)
                const { take } = yield* presence.subscribe(topic)
                const lease = yield* presence.track(topic, "alice", { n })
                yield* take
                yield* presence.list(topic)
                yield* Stream.runHead(presence.changes(topic))
                yield* Stream.runHead(presence.live(topic))
                yield* lease.update({ n: -n })
                yield* presence.snapshot(topic)
              })
            )
          }
        })
      )
      expect(yield* presence.topics).toEqual([])
      expect((yield* channels.stats).topics.size).toBe(0)
      expect(yield* presence.health).toMatchObject({ connections: 0, topics: 0 })
    })
  )

  check("what was told goes with the last follower, and the meta with the connection", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const meta = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* presence.subscribe("room")
          yield* presence.track("room", "alice", { some: "meta" })
          return new WeakRef(Object((yield* presence.list("room"))[0]?.metas[0]))
        })
      )
      yield* Effect.yieldNow()
      expect(yield* isCollected(meta)).toBe(true)
    })
  )

  check("an unusable topic is followed without holding anything", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      let n = 0
      yield* expectGrowthBelow(
        60_000,
        Effect.gen(function* () {
          for (let i = 0; i < 300; i++) {
            const topic = `${n++}${"x".repeat(300)}`
            const { stream } = yield* presence.subscribe(topic)
            expect(stream).toBeDefined()
          }
        }).pipe(Effect.scoped)
      )
      const nothing = yield* Effect.fork(Stream.runHead(presence.events("")))
      const empty = yield* Effect.fork(Stream.runCollect(Stream.take(presence.changes("x".repeat(300)), 2)))
      yield* presence.track("room", "alice")
      for (let i = 0; i < 20; i++) yield* Effect.yieldNow()
      expect([nothing.unsafePoll(), empty.unsafePoll()]).toEqual([null, null])
      const first = yield* Stream.runHead(presence.changes("x".repeat(300)))
      expect(Option.getOrThrow(first)).toMatchObject({ _tag: "Snapshot", topic: "x".repeat(300), connections: [] })
    })
  )
})
