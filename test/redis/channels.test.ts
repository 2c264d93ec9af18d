/** Channels on a port whose answers a test gives by hand. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { makeChannels } from "../../src/redis/channels.js"
import { FakePort, turn } from "../support/port.js"

describe("channels whose subscriber goes away again before it is subscribed", () => {
  it.scopedLive("let nobody wait once it is", () =>
    Effect.gen(function* () {
      const port = new FakePort()
      port.ready = false
      const { service, onSubscriberReady } = yield* makeChannels({
        port,
        prefix: "presence",
        timeout: 300_000,
        origin: "here",
        capacity: undefined,
        mirror: () => Effect.void
      })
      const waiting = yield* Effect.fork(service.subscribe("room"))
      yield* Effect.promise(turn)
      port.ready = true
      const failed = onSubscriberReady().catch(() => "failed")
      port.take("subscribe").fail()
      expect(yield* Effect.promise(() => failed)).toBe("failed")
      expect(waiting.unsafePoll()).toBeNull()
      const ready = onSubscriberReady()
      port.take("subscribe").answer()
      yield* Effect.promise(() => ready)
      yield* Fiber.join(waiting)
      yield* service.subscribe("room")
    })
  )
})
