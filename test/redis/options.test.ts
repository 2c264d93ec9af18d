import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { decodeRedis } from "../../src/redis/options.js"

const url = "redis://127.0.0.1:6379"

const refused = (options: Omit<Parameters<typeof decodeRedis>[0], "url">): Effect.Effect<string> =>
  decodeRedis({ url, ...options }).pipe(
    Effect.flip,
    Effect.map(({ reason }) => reason),
    Effect.orDieWith(() => "it was taken")
  )

describe("the options of Redis", () => {
  it.effect("have defaults, in milliseconds", () =>
    Effect.gen(function* () {
      expect(yield* decodeRedis({ url })).toEqual({
        url,
        prefix: "presence",
        lease: 15_000,
        heartbeat: 5_000,
        timeout: 5_000,
        whenUnavailable: "fail",
        handover: false
      })
    })
  )

  it.effect("name a database other than 0 in the prefix, as channels know of none", () =>
    Effect.gen(function* () {
      expect((yield* decodeRedis({ url: `${url}/0` })).prefix).toBe("presence")
      expect((yield* decodeRedis({ url: `${url}/3`, prefix: "chat" })).prefix).toBe("chat@3")
      expect((yield* decodeRedis({ url: `${url}/mymaster` })).prefix).toBe("presence")
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

  it.effect("refuse a timeout that never comes", () =>
    Effect.gen(function* () {
      const reason = "a timeout of Infinity ms is refused: at most 2147483647 ms"
      expect(yield* refused({ timeout: Duration.infinity })).toContain(reason)
      expect((yield* decodeRedis({ url, timeout: "24 days" })).timeout).toBe(2_073_600_000)
    })
  )
})
