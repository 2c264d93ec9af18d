/**
 * The Redis of the rows in `redis.ts`, and what is asked of it.
 */
import { Context, Effect, Layer } from "effect"
import { Redis } from "ioredis"
import { open } from "../src/redis/client/ioredis.js"
import type { Port } from "../src/redis/client/port.js"
import type { Keys } from "../src/redis/protocol/keys.js"
import { apply } from "../src/redis/protocol/scripts.js"
import { startRedis } from "../test/support/redis.js"
import type { Time } from "./harness.js"
import { stopwatch } from "./measure.js"

/** Nothing beats while something is measured. */
export const terms = { lease: 86_400_000, heartbeat: 36_000_000 }

export type Joins = ReadonlyArray<{ readonly topic: string; readonly key: string }>

export class Server extends Context.Tag("bench/Server")<
  Server,
  {
    readonly url: string
    readonly client: Redis
    /** As the package has it. */
    readonly port: Port
  }
>() {}

export const server = Layer.scoped(
  Server,
  Effect.gen(function* () {
    const { url } = yield* Effect.acquireRelease(
      Effect.promise(() => startRedis()),
      (redis) => Effect.promise(redis.stop)
    )
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Redis(url)),
      (client) => Effect.sync(() => client.disconnect())
    )
    yield* Effect.promise(() => client.call("SCRIPT", "LOAD", apply.text))
    const ignore = (): void => {}
    const handlers = {
      onMessage: ignore,
      onReady: ignore,
      onSubscriberReady: ignore,
      onDown: ignore,
      onSubscriberDown: ignore
    }
    const port = yield* Effect.acquireRelease(
      Effect.promise(() => open({ where: { url }, timeout: 30_000, name: "bench" }, handlers)),
      (port) => Effect.sync(() => port.close())
    )
    return { url, client, port }
  })
)

/** Milliseconds that Redis has worked. */
const worked = Effect.flatMap(Server, ({ client }) =>
  Effect.promise(async () => {
    const info = await client.info("cpu")
    return 1e3 * (Number(/^used_cpu_user:(.*)$/m.exec(info)?.[1]) + Number(/^used_cpu_sys:(.*)$/m.exec(info)?.[1]))
  })
)

/**
 * Runs an effect and answers with its milliseconds. What Redis works for it counts as well: it is part of the price.
 */
export const timed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<Time, E, R | Server> =>
  Effect.gen(function* () {
    const theirs = yield* worked
    const elapsed = stopwatch()
    yield* effect
    const { clock, processor } = elapsed()
    return { clock, processor: processor + (yield* worked) - theirs }
  })

/** How often each command has run, in scripts too. */
export const ran = Effect.flatMap(Server, ({ client }) =>
  Effect.promise(async () => {
    const info = await client.info("commandstats")
    return new Map(
      Array.from(info.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm), ([, name = "", calls]) => [name, Number(calls)])
    )
  })
)

/** How many members topics have in Redis. */
export const members = (keys: Keys, topics: ReadonlyArray<string>): Effect.Effect<number, never, Server> =>
  Effect.flatMap(Server, ({ client }) =>
    Effect.promise(async () => {
      const pipeline = client.pipeline()
      for (const topic of topics) pipeline.hlen(keys.members(topic))
      const lengths = (await pipeline.exec()) ?? []
      return lengths.reduce((sum, [, length]) => sum + Number(length), 0)
    })
  )
