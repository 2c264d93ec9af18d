/** A replica whose messages do not come: it says so, and lists are right all the same. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Presence } from "../../src/index.js"
import { reasonOf } from "../../src/redis/client/reasons.js"
import { PresenceRedis } from "../../src/redis/index.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

// Lists are polled every ten seconds.
describe.skipIf(redisIsOff())("a replica without a subscriber", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  const build = (url: string, prefix: string) =>
    Effect.map(Layer.build(PresenceRedis.layer({ url, prefix })), (context) => Context.get(context, Presence))

  const until = <A>(effect: Effect.Effect<A, unknown>, is: (value: A) => boolean) =>
    Effect.repeat(Effect.delay(effect, 20), { until: is })

  it.scopedLive("is degraded, polls what it follows, and is ok again", () =>
    Effect.gen(function* () {
      const grant = (channels: string) =>
        Effect.promise(() => redis.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", channels))
      yield* grant("allchannels")
      const presence = yield* build(`redis://app:pw@127.0.0.1:${redis.port}`, "deaf")
      const other = yield* build(redis.url, "deaf")
      yield* presence.subscribe("room")
      yield* until(presence.health, ({ status }) => status === "ok")
      // Redis ends the connections that have subscribed to what they may not any more, and refuses it from then on.
      yield* grant("resetchannels")
      yield* until(presence.health, ({ status }) => status === "degraded")
      yield* other.track("room", "alice")
      yield* until(presence.list("room"), (list) => list.length === 1)
      yield* grant("allchannels")
      yield* until(presence.health, ({ status }) => status === "ok")
      yield* other.track("room", "bob")
      yield* until(presence.list("room"), (list) => list.length === 2)
    })
  )

  it.scopedLive("who may not say what it writes is heard of all the same", () =>
    Effect.gen(function* () {
      const grant = (publish: string) =>
        Effect.promise(() => redis.command("ACL", "SETUSER", "dumb", "on", ">pw", "~*", "&*", "+@all", publish))
      yield* grant("+publish")
      const presence = yield* build(`redis://dumb:pw@127.0.0.1:${redis.port}`, "dumb")
      const other = yield* build(redis.url, "dumb")
      yield* other.track("room", "alice", undefined, { ttl: "1 hour" })
      yield* other.subscribe("room")
      yield* grant("-publish")
      yield* presence.track("room", "bob", undefined, { ttl: "1 hour" })
      yield* until(other.list("room"), (list) => list.length === 2)
    })
  )

  it.scopedLive("for want of rights does not start, and says which", () =>
    Effect.gen(function* () {
      yield* Effect.promise(() => redis.command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels"))
      const failed = yield* Effect.flip(build(`redis://mute:pw@127.0.0.1:${redis.port}`, "mute"))
      expect(failed).toMatchObject({ _tag: "PresenceUnavailable" })
      expect(String(failed.message)).toMatch(/may not use the channels of presence/)
    })
  )
})

describe("why something failed", () => {
  it("is told in words of ours", () => {
    const offline = new Error("Stream isn't writeable and enableOfflineQueue options is false")
    expect(reasonOf(offline)).toBe("there is no connection to Redis")
    expect(reasonOf(offline, "ERR max number of clients reached")).toBe("Redis takes no more connections (maxclients)")
    expect(reasonOf(new Error("Connection is closed."), "connect ECONNREFUSED 127.0.0.1:1")).toBe(
      "connect ECONNREFUSED 127.0.0.1:1"
    )
    const lua = "ERR The user executing the script can't run this command or subcommand script: 1f, on @user_script:1."
    expect(reasonOf(new Error(lua))).toBe(`the user of Redis may not do that: ${lua}`)
    expect(reasonOf(new Error("HGET got no answer within 5000 ms"))).toBe("HGET got no answer within 5000 ms")
  })
})
