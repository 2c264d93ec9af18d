import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { check } from "../support/invariant.js"

describe("10. names are data: nothing in a topic or key is special", () => {
  check("a topic's channel is nobody else's", () =>
    Effect.gen(function* () {
      const presence = yield* Presence
      const channels = yield* Channels
      const outer = yield* channels.subscribe("presence:presence:room")
      const inner = yield* channels.subscribe("presence:room")
      yield* presence.track("presence:room", "alice")
      yield* presence.track("room", "bob")
      expect(yield* outer.take).toEqual(['{"type":"join","key":"alice","meta":{}}'])
      expect(yield* inner.take).toEqual(['{"type":"join","key":"bob","meta":{}}'])
      expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    })
  )
})
