import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { Presence } from "../../../src/index.js"
import { followOf } from "../../../src/internal/feed/direct.js"
import { holdOf } from "../../../src/internal/leases/holding.js"

const keys = (presence: Presence.Service, topic: string) =>
  Effect.map(presence.list(topic), (list) => list.map(({ key }) => key))

describe.each([
  ["held by calls", (presence: Presence.Service) => presence],
  // A service of one's own has no door.
  ["held by a scope", (presence: Presence.Service): Presence.Service => ({ ...presence })]
])("leases %s", (_, of) => {
  it.effect("end together, and one that comes later has ended", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const holding = holdOf(of(presence))()
      for (const key of ["a", "b", "c"]) yield* holding.track("room", key, { n: key }, {})
      const another = holdOf(of(presence))()
      yield* another.track("room", "d", undefined, {})
      expect(yield* keys(presence, "room")).toEqual(["a", "b", "c", "d"])
      const left: Array<string> = []
      followOf(presence)?.("room", {
        onChange: (change) => {
          if (change._tag === "Diff") left.push(...change.leaves.map(({ key }) => key))
        },
        onEnd: () => {}
      })
      yield* holding.close()
      expect(left).toEqual(["a", "b", "c"])
      const late = yield* holding.track("room", "late", {}, {})
      expect(yield* late.refresh).toBe("released")
      expect(yield* keys(presence, "room")).toEqual(["d"])
      yield* another.close()
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.effect("linger for their leave delay", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const holding = holdOf(of(presence))()
      yield* holding.track("room", "a", {}, { leaveDelay: "10 seconds" })
      yield* holding.close()
      expect(yield* keys(presence, "room")).toEqual(["a"])
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.effect("are refused as by track", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const holding = holdOf(of(presence))()
      const refused = [
        holding.track("", "a", {}, {}),
        holding.track("room", "", {}, {}),
        holding.track("room", "a", { n: 1n }, {}),
        holding.track("room", "a", {}, { ttl: 0 })
      ]
      const tags = yield* Effect.forEach(refused, (track) => Effect.map(Effect.flip(track), ({ _tag }) => _tag))
      expect(tags).toEqual(["InvalidTopic", "InvalidKey", "InvalidMeta", "InvalidOption"])
      expect(yield* presence.topics).toEqual([])
    }).pipe(Effect.provide(Presence.layer()))
  )

  it.effect("are updated and released as by themselves", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const holding = holdOf(of(presence))()
      const lease = yield* holding.track("room", "a", { n: 1 }, {})
      expect(yield* holding.update(lease, { n: 2 })).toBe("updated")
      expect((yield* Effect.flip(holding.update(lease, { n: 1n })))._tag).toBe("InvalidMeta")
      expect(yield* presence.get("room", "a")).toEqual(Option.some({ key: "a", metas: [{ n: 2 }] }))
      yield* holding.release(lease)
      expect(yield* keys(presence, "room")).toEqual([])
      expect(yield* holding.update(lease, { n: 3 })).toBe("released")
      const evicted = yield* holding.track("room", "a", {}, {})
      yield* presence.evict("room", "a")
      expect(yield* holding.update(evicted, {})).toBe("evicted")
      const large = yield* holding.track("room", "b", {}, {})
      expect((yield* Effect.flip(holding.update(large, "x".repeat(1_000))))._tag).toBe("LimitExceeded")
      yield* holding.close()
    }).pipe(Effect.provide(Presence.layer({ limits: { metaBytes: 500 } })))
  )
})

it.effect("what is asked of a lease that is held by calls has happened as it was asked", () =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const holding = holdOf(presence)()
    const lease = yield* holding.track("room", "a", { n: 1 }, {})
    yield* holding.track("room", "b", {}, {})
    expect(Exit.isExit(holding.update(lease, { n: 2 }))).toBe(true)
    expect(yield* presence.get("room", "a")).toEqual(Option.some({ key: "a", metas: [{ n: 2 }] }))
    expect(Exit.isExit(holding.release(lease))).toBe(true)
    expect(yield* keys(presence, "room")).toEqual(["b"])
    expect(Exit.isExit(holding.close())).toBe(true)
    expect(yield* presence.topics).toEqual([])
  }).pipe(Effect.provide(Presence.layer()))
)

it.effect("a lease held by a call is there at once, unless whoever was told has put it out", () =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const holding = holdOf(presence)()
    expect(Exit.isExit(holding.track("room", "a", {}, {}))).toBe(true)
    followOf(presence)?.("room", {
      onChange: (change) => {
        if (change._tag === "Diff" && change.joins.length > 0) Effect.runSync(presence.evict("room", "mallory"))
      },
      onEnd: () => {}
    })
    const evicted = holding.track("room", "mallory", {}, {})
    expect(Exit.isExit(evicted)).toBe(false)
    expect(yield* (yield* evicted).refresh).toBe("evicted")
    yield* holding.close()
  }).pipe(Effect.provide(Presence.layer()))
)
