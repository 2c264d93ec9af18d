import { describe, expect } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Presence } from "../../src/index.js"
import { check, quiet } from "../support/invariant.js"
import { join, leave, listen } from "../support/listen.js"

describe("5. refresh on a lease that expired rejoins; an evicted one stays out and can wait for ended", () => {
  check(
    "the sweep ends a lease, refresh brings it back; evict ends it for good",
    () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const heard = yield* listen("room")
        const lease = yield* presence.track("room", "alice", { role: "viewer" })
        const ended = yield* Effect.fork(lease.ended)
        yield* TestClock.adjust("3 seconds")
        yield* presence.sweepExpired
        expect(yield* presence.list("room")).toEqual([])
        expect(yield* lease.refresh).toBe("rejoined")
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ role: "viewer" }] }])
        expect(ended.unsafePoll()).toBeNull()
        yield* presence.evict("room", "alice")
        expect(yield* Fiber.join(ended)).toBe("evicted")
        expect(yield* lease.refresh).toBe("evicted")
        yield* TestClock.adjust("10 seconds")
        expect(yield* lease.refresh).toBe("evicted")
        expect(yield* presence.list("room")).toEqual([])
        const once = [join("alice", { role: "viewer" }), leave("alice")]
        expect(yield* heard).toEqual([...once, ...once])
      }),
    quiet
  )
})
