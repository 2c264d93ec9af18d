import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Scope } from "effect"
import { Channels, Presence } from "../../../src/index.js"
import { buildOver, redisOnALine } from "../../support/line.js"
import { redisIsOff } from "../../support/redis.js"
import { finalizersOf } from "../../support/scope.js"

describe.skipIf(redisIsOff())("following while Redis is away", () => {
  const line = redisOnALine()

  const build = Effect.map(buildOver(line), (context) => ({
    presence: Context.get(context, Presence),
    channels: Context.get(context, Channels)
  }))

  it.scopedLive("fails and leaves nothing behind, also in a scope that lives on", () =>
    Effect.gen(function* () {
      const { presence } = yield* build
      const scope = yield* Scope.make()
      line.proxy.cut()
      const failed = yield* Effect.flip(Scope.extend(presence.subscribe("room"), scope))
      expect(failed).toMatchObject({ _tag: "PresenceUnavailable" })
      expect(finalizersOf(scope)).toBe(0)
      line.proxy.mend()
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ status }) => status === "ok" })
      // Subscribing to another topic, once the subscriber is back, and nothing is left that subscribed before it.
      yield* presence.subscribe("lobby")
      const channels = yield* Effect.repeat(
        Effect.promise(() => line.redis.command("PUBSUB", "CHANNELS", `${line.prefix}:*:t:*`)),
        { until: (channels) => channels.includes("lobby") }
      )
      expect(channels).toMatch(/^\*1\r\n[^*]*:lobby\r\n$/)
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.scopedLive("the channel of a topic, subscribed to meanwhile, speaks when Redis is back", () =>
    Effect.gen(function* () {
      const { presence, channels } = yield* build
      line.proxy.cut()
      const { take } = yield* channels.subscribe("presence:room")
      line.proxy.mend()
      yield* Effect.repeat(Effect.delay(presence.health, 5), { until: ({ status }) => status === "ok" })
      // Who comes before the topic was read is no news.
      const comeAndGo = Effect.zipRight(Effect.scoped(presence.track("room", "alice")), Effect.sleep("20 millis"))
      const [first] = yield* Effect.raceFirst(take, Effect.forever(comeAndGo))
      // The topic may have been read while alice was there: then the first news is that she left.
      expect(JSON.parse(String(first))).toMatchObject({ key: "alice" })
    })
  )
})
