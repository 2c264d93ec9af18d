/**
 * What the rows of `redis.ts` share: a Redis of their own, started by the first that needs it, and a presence over it.
 */
import { Context, Effect, Layer, ManagedRuntime, type Scope } from "effect"
import type { Presence } from "effect-presence"
import { PresenceRedis } from "effect-presence/redis"
import { Redis } from "ioredis"
import { connect } from "../src/redis/connect.js"
import type { Keys } from "../src/redis/keys.js"
import type { Port } from "../src/redis/port.js"
import { apply } from "../src/redis/scripts.js"
import { startRedis } from "../test/support/redis.js"
import { inScope } from "./measure.js"

/** Nothing beats while something is measured. */
export const terms = { lease: 86_400_000, heartbeat: 36_000_000 }

export class Server extends Context.Tag("bench/Server")<
  Server,
  {
    readonly url: string
    readonly client: Redis
    /** As the package has it. */
    readonly port: Port
  }
>() {}

const server = Layer.scoped(
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
      Effect.promise(() => connect({ url, timeout: 30_000, name: "bench" }, handlers)),
      (port) => Effect.sync(() => port.close())
    )
    return { url, client, port }
  })
)

const presence = Layer.unwrapEffect(
  Effect.map(Server, ({ url }) => PresenceRedis.layer({ url, ttl: "1 day", sweepInterval: "1 day", ...terms }))
)

const runtime = ManagedRuntime.make(Layer.provideMerge(presence, server))

/** When all rows are done. */
export const close = (): Promise<void> => runtime.dispose()

/** Runs `body` over it, in a scope of its own. */
export const withRedis = <A, E>(
  body: (presence: Presence.Service) => Effect.Effect<A, E, Scope.Scope | Server>
): Promise<A> => runtime.runPromise(inScope(body))

/** Milliseconds that Redis has worked. */
const worked = Effect.flatMap(Server, ({ client }) =>
  Effect.promise(async () => {
    const info = await client.info("cpu")
    return 1e3 * (Number(/^used_cpu_user:(.*)$/m.exec(info)?.[1]) + Number(/^used_cpu_sys:(.*)$/m.exec(info)?.[1]))
  })
)

/**
 * Runs an effect and answers with its milliseconds: by the clock, or of the processor where that is less, as
 * `stopwatch` does. What Redis works for it counts as well: it is part of the price.
 */
export const timed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R | Server> =>
  Effect.gen(function* () {
    const theirs = yield* worked
    const start = performance.now()
    const before = process.cpuUsage()
    yield* effect
    const elapsed = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    return Math.min(elapsed, (user + system) / 1e3 + (yield* worked) - theirs)
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

/** Forgets topics and what a replica holds there. */
export const forget = (
  keys: Keys,
  replica: string,
  topics: ReadonlyArray<string>
): Effect.Effect<void, never, Server> =>
  Effect.flatMap(Server, ({ client }) =>
    Effect.promise(() =>
      client.unlink(
        keys.versions,
        keys.index(replica),
        ...topics.flatMap((topic) => [keys.members(topic), keys.keys(topic)])
      )
    )
  )
