/** Sockets while the wall clock of their host is set: their times go by the monotonic one. */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { connect, phoenixUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

const HOUR = 3_600_000

/** This machine's clock, whose wall time may be set. */
const settable = (): Clock.Clock & { offset: number } => {
  const real = Clock.make()
  const clock = Object.assign(Object.create(real) as Clock.Clock, { offset: 0 })
  const millis = () => real.unsafeCurrentTimeMillis() + clock.offset
  return Object.assign(clock, {
    unsafeCurrentTimeMillis: millis,
    currentTimeMillis: Effect.sync(millis)
  })
}

const served = (clock: Clock.Clock, limits: { readonly idleTimeout: number }) =>
  makeServer({ limits }).pipe(Effect.withClock(clock))

describe("a wall clock that is set", () => {
  it.scopedLive("forward by hours closes nobody who is not silent", () =>
    Effect.gen(function* () {
      const clock = settable()
      const server = yield* served(clock, { idleTimeout: 600_000 })
      const client = yield* connect(phoenixUrl(server.url))
      client.say(null, "1", "phoenix", "heartbeat", {})
      yield* client.reply("1")
      clock.offset = HOUR
      // Longer than the server waits between two looks at its sockets.
      yield* Effect.sleep(2_500)
      expect(client.closed).toBeUndefined()
      client.say(null, "2", "phoenix", "heartbeat", {})
      yield* client.reply("2")
    })
  )

  it.scopedLive("back by hours keeps nobody who is silent", () =>
    Effect.gen(function* () {
      const clock = settable()
      const server = yield* served(clock, { idleTimeout: 500 })
      const client = yield* connect(phoenixUrl(server.url))
      clock.offset = -HOUR
      expect((yield* client.end).code).toBe(1001)
    })
  )

  it.scopedLive("back by hours keeps nobody who does not read", () =>
    Effect.gen(function* () {
      const clock = settable()
      const limits = { unsentFor: 500, unsentBytesMax: Number.POSITIVE_INFINITY }
      const server = yield* makeServer({ limits }).pipe(Effect.withClock(clock))
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.heard("presence_state")
      client.ws.pause()
      const text = `${crypto.randomUUID()}${JSON.stringify({ event: "news", payload: { text: "x".repeat(262_144) } })}`
      for (let i = 0; i < 64; i++) yield* server.channels.publish("socket:room", text)
      // Until all of it was heard, and written.
      yield* Effect.sleep(100)
      clock.offset = -HOUR
      while ((yield* server.presence.count("room")).connections > 0) yield* Effect.sleep(10)
    })
  )
})
