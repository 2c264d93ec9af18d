import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Channels } from "../src/index.js"
import { channelsContract } from "./contract/channels.js"

channelsContract("in process", Channels.layer)

describe("in process only", () => {
  it.scoped("stats never suspends", () =>
    Effect.gen(function* () {
      const channels = yield* Channels
      yield* channels.subscribe("room")
      expect(Effect.runSync(channels.stats).total.subscribers).toBe(1)
    }).pipe(Effect.provide(Channels.layer()))
  )

  it.scoped("publish never suspends, however far behind a subscriber is", () =>
    Effect.gen(function* () {
      const channels = yield* Channels
      yield* channels.subscribe("room")
      for (let i = 0; i < 100; i++) expect(Effect.runSync(channels.publish("room", String(i)))).toBe(1)
    }).pipe(Effect.provide(Channels.layer({ capacity: 2 })))
  )

  it.scoped("unsafePublish makes a text only when somebody reads it", () =>
    Effect.gen(function* () {
      const channels = yield* Channels
      const text = () => {
        throw new Error("nobody reads it")
      }
      expect(channels.unsafePublish("room", text)).toBe(0)
    }).pipe(Effect.provide(Channels.layer()))
  )

  it.scoped("two layers are two worlds", () =>
    Effect.gen(function* () {
      const first = yield* Effect.provide(Channels, Channels.layer())
      const second = yield* Effect.provide(Channels, Channels.layer())
      expect(first).not.toBe(second)
    })
  )
})
