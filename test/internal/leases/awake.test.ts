/** A process that stands still, suspended with its machine or blocked, and what was waited for meanwhile. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { Presence } from "../../../src/index.js"
import { nextTurn } from "../../../src/internal/leases/turns.js"
import { listen } from "../../support/listen.js"
import { hear, standStill } from "../../support/standStill.js"

const layer = Presence.layer({ ttl: "300 millis", sweepInterval: "50 millis" })

/** Presence whose sweep waits for its time. */
const swept = Effect.zipLeft(Presence, hear)

describe("while the process stood still", () => {
  it.scopedLive("nobody was silent: who is heard right after never left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      const heard = yield* listen("room")
      const lease = yield* presence.track("room", "alice")
      yield* standStill
      yield* hear
      expect(yield* lease.refresh).toBe("renewed")
      expect((yield* heard).map(({ type, key }) => `${type} ${key}`)).toEqual(["join alice"])
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("nobody was away: who comes back right after never left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      const first = yield* Scope.make()
      yield* Scope.extend(presence.track("room", "alice", {}, { leaveDelay: "300 millis" }), first)
      yield* Scope.close(first, Exit.void)
      yield* standStill
      yield* hear
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
    }).pipe(Effect.provide(layer))
  )

  it.scopedLive("who is not heard after it either has left", () =>
    Effect.gen(function* () {
      const presence = yield* swept
      yield* presence.track("room", "alice")
      yield* standStill
      while ((yield* presence.count("room")).keys > 0) yield* nextTurn
    }).pipe(Effect.provide(layer))
  )
})
