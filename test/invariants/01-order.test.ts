import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, TestClock } from "effect"
import { Channels, Presence, type PresenceEvent } from "../../src/index.js"
import { followTopic } from "../support/followTopic.js"
import { atEveryOperation, interruptAt } from "../support/interruptAt.js"
import { check, openWith, quiet } from "../support/invariant.js"
import { leave, listen, update } from "../support/listen.js"
import { breakable, channelsWith } from "../support/mirrors.js"

describe("1. a topic's events are in the order of its state changes, for every subscriber", () => {
  check(
    "many fibers at once: every subscriber hears the same order, that of the versions",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const listeners = yield* Effect.replicateEffect(listen("room"), 3)
        const follower = yield* followTopic("room")
        const mirror = yield* (yield* Channels).subscribe("presence:room")
        const actor = (key: string) =>
          Effect.gen(function* () {
            for (let i = 0; i < 20; i++) {
              const lease = yield* presence.track("room", key, i)
              if ((yield* Random.nextInt) % 2 === 0) yield* Effect.yieldNow()
              yield* lease.update(`${i}`)
              if ((yield* Random.nextInt) % 3 === 0) yield* Effect.yieldNow()
              yield* lease.release
            }
          })
        // Keys of which each actor is the only one, so that every release is a leave.
        const keys = ["a", "b", "c", "d", "e", "f"]
        const reading = yield* Effect.fork(
          Effect.gen(function* () {
            const texts: Array<string> = []
            while (texts.length < keys.length * 60) texts.push(...(yield* mirror.take))
            return texts
          })
        )
        yield* Effect.forEach(keys, actor, { concurrency: "unbounded" })
        const told: Array<PresenceEvent> = []
        for (const change of yield* follower.until(
          (copy) => copy.version === follower.start.version + keys.length * 60
        )) {
          if (change._tag === "Snapshot") continue
          for (const { key, meta } of change.joins) told.push({ type: "join", key, meta })
          for (const { key, meta } of change.updates) told.push({ type: "update", key, meta })
          for (const { key } of change.leaves) told.push({ type: "leave", key })
        }
        expect(told).toHaveLength(keys.length * 60)
        for (const heard of listeners) expect(yield* heard).toEqual(told)
        expect((yield* Fiber.join(reading)).map((text) => JSON.parse(text))).toEqual(told)
      }),
    { capacity: 1_000 }
  )

  it.scoped("when an event is told, the state is already the one it speaks of, and nothing came between", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [event: string, metas: unknown]> = []
      let presence: Presence.Service | undefined
      const spy = channelsWith((usual) => (topic, text) => {
        const made = typeof text === "function" ? text() : text
        if (presence !== undefined) seen.push([made, Effect.runSync(presence.list("room"))[0]?.metas])
        return usual(topic, made)
      })
      const opened = yield* openWith(spy, quiet)
      presence = opened.presence
      const first = yield* presence.track("room", "alice", 1)
      const second = yield* presence.track("room", "alice", 2)
      yield* first.update(3)
      yield* second.release
      yield* TestClock.adjust("3 seconds")
      yield* presence.sweepExpired
      yield* first.refresh
      yield* presence.evict("room", "alice")
      expect(seen).toEqual([
        ['{"type":"join","key":"alice","meta":1}', [1]],
        ['{"type":"join","key":"alice","meta":2}', [1, 2]],
        ['{"type":"update","key":"alice","meta":3}', [3, 2]],
        ['{"type":"leave","key":"alice"}', undefined],
        ['{"type":"join","key":"alice","meta":3}', [3]],
        ['{"type":"leave","key":"alice"}', undefined]
      ])
      yield* opened.close
    })
  )

  check("a change that is interrupted at any operation is whole or has not happened", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      let operations = yield* atEveryOperation((n) =>
        Effect.scoped(
          Effect.gen(function* () {
            const lease = yield* presence.track("room", "alice", 1)
            const heard = yield* listen("room")
            const outcome = yield* interruptAt(lease.update(2), n)
            const metas = (yield* presence.list("room"))[0]?.metas
            const done = metas?.[0] === 2
            expect(yield* heard).toEqual(done ? [update("alice", 2)] : [])
            if (Exit.isSuccess(outcome.exit)) expect(done).toBe(true)
            return outcome
          })
        )
      )
      expect(operations).toBeGreaterThan(1)
      operations = yield* atEveryOperation((n) =>
        Effect.gen(function* () {
          yield* presence.track("room", "bob", 1)
          const heard = yield* listen("room")
          const outcome = yield* interruptAt(presence.evict("room", "bob"), n)
          const done = (yield* presence.list("room")).length === 0
          expect(yield* heard).toEqual(done ? [leave("bob")] : [])
          if (Exit.isSuccess(outcome.exit)) expect(done).toBe(true)
          yield* presence.evict("room", "bob")
          return outcome
        })
      )
      expect(operations).toBeGreaterThan(0)
    })
  )

  it.scoped("a mirror that throws comes between neither the state and its followers, nor two followers", () =>
    Effect.gen(function* () {
      const { state, channels } = breakable()
      const { presence, close } = yield* openWith(channels)
      yield* Effect.gen(function* () {
        const follower = yield* followTopic("room")
        const heard = yield* listen("room")
        yield* presence.track("room", "alice", 1)
        state.broken = true
        yield* Effect.exit(presence.track("room", "bob", 2))
        yield* Effect.exit(presence.evict("room", "alice"))
        state.broken = false
        yield* presence.track("room", "carol", 3)
        const now = yield* presence.snapshot("room")
        yield* follower.until((copy) => copy.version >= now.version)
        expect(follower.copy().connections).toEqual(now.connections)
        const keys = new Set(["alice", "bob", "carol"])
        const folded = new Set<string>()
        for (const event of yield* heard) {
          if (event.type === "join") folded.add(event.key)
          if (event.type === "leave") folded.delete(event.key)
        }
        expect([...folded].sort()).toEqual(
          now.connections.map((connection) => connection.key).filter((k) => keys.has(k))
        )
      }).pipe(Effect.scoped, Effect.provideService(Presence, presence), Effect.ensuring(close))
    })
  )
})
