import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Redis } from "ioredis"
import type { Where } from "../../src/redis/client/connection.js"
import { decodeRedis, prefixIn, type RedisOptions } from "../../src/redis/options.js"

const url = "redis://127.0.0.1:6379"

const refused = (options: RedisOptions & { readonly connect?: never }): Effect.Effect<string> =>
  decodeRedis({ url, ...options }).pipe(
    Effect.flip,
    Effect.map(({ reason }) => reason),
    Effect.orDieWith(() => "it was taken")
  )

describe("the options of Redis", () => {
  it.effect("have defaults, in milliseconds", () =>
    Effect.gen(function* () {
      expect(yield* decodeRedis({ url })).toEqual({
        where: { url },
        prefix: "presence",
        lease: 15_000,
        heartbeat: 5_000,
        timeout: 5_000,
        whenUnavailable: "fail",
        handover: false
      })
    })
  )

  it("name a database other than 0 in the prefix, as channels know of none", () => {
    expect([prefixIn(0, "presence"), prefixIn(3, "chat")]).toEqual(["presence", "chat@3"])
  })

  it.effect("refuse a url beside connections of one's own, and what makes none", () =>
    Effect.gen(function* () {
      expect(yield* refused({ connect: () => {} } as never)).toBe("of url and connect one is to be given, not both")
      const none = yield* Effect.flip(decodeRedis({ connect: "redis://cache" } as never))
      expect(none.reason).toBe("connect is no function that makes connections")
      // @ts-expect-error one of both is needed
      const neither = yield* Effect.flip(decodeRedis({ prefix: "chat" }))
      expect(neither.reason).toBe("neither url nor connect is given: one of them says where Redis is")
      // @ts-expect-error one of both is enough
      const both: Where = { url, connect: () => new Redis() }
      expect((yield* Effect.flip(decodeRedis(both))).reason).toContain("not both")
    })
  )

  it.effect("refuse a prefix that would decide the slot of every key", () =>
    Effect.gen(function* () {
      expect(yield* refused({ prefix: "a{b}" })).toContain('the prefix "a{b}" is refused: a brace')
      expect(yield* refused({ prefix: "" })).toContain("it is empty")
    })
  )

  it.effect("refuse a lease in which two heartbeats do not fit, or that never ends", () =>
    Effect.gen(function* () {
      expect(yield* refused({ lease: "9 seconds" })).toContain(
        "a lease of 9000 ms is too short for a heartbeat every 5000 ms"
      )
      expect(yield* refused({ lease: Duration.infinity })).toContain("lease")
      expect((yield* decodeRedis({ url, lease: "10 seconds" })).lease).toBe(10_000)
    })
  )

  it.effect("refuse what would be taken for something else", () =>
    Effect.gen(function* () {
      expect(yield* refused({ whenUnavailable: "lokal" as never })).toContain(
        'whenUnavailable is "lokal", and may be "fail" or "local"'
      )
      expect(yield* refused({ handover: "false" as never })).toContain('handover is "false", and may be true or false')
    })
  )

  it.effect("refuse a timeout that never comes", () =>
    Effect.gen(function* () {
      expect(yield* refused({ timeout: Duration.infinity })).toMatch(
        /the option timeout is Infinity, .* at most 24 days/
      )
      expect(yield* refused({ heartbeat: "-5 seconds" })).toMatch(/the option heartbeat is "-5 seconds", but must be/)
      expect(yield* refused({ lease: 0 })).toMatch(/the option lease is 0, but must be a duration of more than none/)
      expect((yield* decodeRedis({ url, timeout: "24 days" })).timeout).toBe(2_073_600_000)
    })
  )
})
