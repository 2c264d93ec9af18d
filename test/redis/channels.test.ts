import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { makeChannels } from "../../src/redis/channels.js"
import { FakePort, turn } from "../support/port.js"

describe("channels on a port", () => {
  it.scoped("give a text to those here whatever Redis does, and send it once", () =>
    Effect.gen(function* () {
      const { port, service } = yield* make
      const { take } = yield* service.subscribe("presence:room")
      expect(yield* service.publish("room", "1")).toBe(0)
      expect(port.take("publish").args).toEqual(["world:c:room", '["me","room","1"]'])
      // The texts of presence are made by each replica of what it sees, so they are not sent at all.
      expect(yield* service.publish("presence:room", "2")).toBe(1)
      expect(yield* take).toEqual(["2"])
      expect(port.names).toEqual([])
    })
  )

  it.scoped("are subscribed to when the server says so, also when the subscriber was away", () =>
    Effect.gen(function* () {
      const { port, service, onSubscriberReady } = yield* make
      const subscribing = yield* Effect.fork(service.subscribe("a"))
      yield* Effect.promise(turn)
      expect(yield* Fiber.poll(subscribing)).toEqual(Option.none())
      port.take("subscribe").answer()
      yield* Fiber.join(subscribing)
      port.ready = false
      const waiting = yield* Effect.fork(service.subscribe("b"))
      yield* Effect.promise(turn)
      expect(port.names).toEqual([])
      const ready = onSubscriberReady()
      expect(yield* Fiber.poll(waiting)).toEqual(Option.none())
      const subscribe = port.take("subscribe")
      expect(subscribe.args).toEqual(["world:c:a", "world:c:b"])
      subscribe.answer()
      yield* Effect.promise(() => ready)
      yield* Fiber.join(waiting)
    })
  )
})

const make = Effect.gen(function* () {
  const port = new FakePort()
  const options = {
    port,
    prefix: "world",
    timeout: 600_000,
    origin: "me",
    capacity: undefined,
    mirror: () => Effect.void
  }
  return { port, ...(yield* makeChannels(options)) }
})
