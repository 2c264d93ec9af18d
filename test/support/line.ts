/** A Redis for a suite, and for each of its tests a line to it that can be cut. */
import { afterAll, beforeAll, beforeEach } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Presence } from "../../src/index.js"
import { PresenceRedis, type RedisOptions } from "../../src/redis/index.js"
import { type Proxy, startProxy } from "./proxy.js"
import { type RedisServer, startRedis } from "./redis.js"

export interface Line {
  readonly redis: RedisServer
  /** This test's. */
  readonly proxy: Proxy
  /** What the keys of this test begin with. */
  readonly prefix: string
}

/** Call it in a `describe`; what it gives is there in its tests. */
export const redisOnALine = (): Line => {
  let redis: RedisServer
  let proxy: Proxy
  let world = 0
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())
  beforeEach(async () => {
    world++
    proxy = await startProxy(redis.port)
    return () => proxy.close()
  })
  return {
    get redis() {
      return redis
    },
    get proxy() {
      return proxy
    },
    get prefix() {
      return `world ${world}`
    }
  }
}

/** Presence over the line, built in the test's scope. Its calls give up after a second and a half. */
export const buildOver = (line: Line, options: RedisOptions & Presence.Options = {}) =>
  Effect.suspend(() =>
    Layer.build(PresenceRedis.layer({ url: line.proxy.url, prefix: line.prefix, timeout: 1_500, ...options }))
  )
