/**
 * Presence over Redis, beside calling the same script by hand for each operation: the writing side alone, then leases
 * through Effect; and lists, which ask Redis nothing. What Redis has of each run is counted there.
 */
import { Effect, Layer, ManagedRuntime, type Scope } from "effect"
import type { Presence } from "effect-presence"
import { PresenceRedis } from "effect-presence/redis"
import { Keys } from "../src/redis/protocol/keys.js"
import { Batches } from "./batches.js"
import { ByHand } from "./byHand.js"
import { check, type Row, type Run } from "./harness.js"
import { KEYS, readAgain, unchanged } from "./lists.js"
import { inScope, names, nth, perOperation, times } from "./measure.js"
import { members, ran, Server, server, terms, timed } from "./redisServer.js"

/** Joins of the writing side. */
const JOINS = 10_000
/** Handlers at once, and how often the lease of each comes and goes. */
const HANDLERS = 500
const LEASES = 10
const meta = { role: "viewer" }
const keys = names("user-", JOINS)

const presence = Layer.unwrapEffect(
  Effect.map(Server, ({ url }) => PresenceRedis.layer({ url, ttl: "1 day", sweepInterval: "1 day", ...terms }))
)

/** One of each for all rows and rounds, as in `measure.ts`: the Redis is started by the first row that needs it. */
const runtime = ManagedRuntime.make(Layer.provideMerge(Layer.mergeAll(presence, Batches.layer, ByHand.layer), server))

/** When all rows are done. */
export const close = (): Promise<void> => runtime.dispose()

/** Runs `body` over them, in a scope of its own. */
const withRedis = <A, E>(
  body: (presence: Presence.Service) => Effect.Effect<A, E, Scope.Scope | Server | Batches | ByHand>
): Promise<A> => runtime.runPromise(inScope(body))

// The writing side

const joinAndEnd =
  (topics: ReadonlyArray<string>, writing: typeof Batches | typeof ByHand): Run =>
  () =>
    withRedis(() =>
      Effect.gen(function* () {
        const joins = keys.map((key, i) => ({ topic: nth(topics, i), key }))
        const writer = yield* writing
        let endAll = (): Promise<void> => Promise.resolve()
        const elapsed = yield* timed(
          Effect.promise(async () => {
            endAll = await writer.joinAll(joins, meta)
          })
        )
        check("members", yield* members(writer.keys, topics), JOINS)
        yield* Effect.promise(() => endAll())
        check("members left", yield* members(writer.keys, topics), 0)
        return perOperation(elapsed, JOINS, "us")
      })
    )

const writing = (name: string, topics: ReadonlyArray<string>): Row => ({
  name: `redis: track without Effect, 10,000 ${name}`,
  unit: "us",
  ours: joinAndEnd(topics, Batches),
  rivals: [{ name: "pipelines of 100 calls", target: 0.5, run: joinAndEnd(topics, ByHand) }]
})

// Leases

const topics = names("room:", 100)

/** Handlers at once, each with a lease for as long as it lives: microseconds for each coming and going. */
const comeAndGo = <E, R>(
  keysInRedis: Keys,
  track: (topic: string, key: string) => Effect.Effect<unknown, E, R | Scope.Scope>
) =>
  Effect.gen(function* () {
    const before = yield* ran
    const handlers = Effect.forEach(
      keys.slice(0, HANDLERS),
      (key, i) => times(LEASES, () => Effect.scoped(track(nth(topics, i), key))),
      { concurrency: "unbounded", discard: true }
    )
    const elapsed = yield* timed(handlers)
    // Two for each join, of the member and of its key, however many joins a call carries.
    const after = yield* ran
    check("joins in Redis", ((after.get("hsetnx") ?? 0) - (before.get("hsetnx") ?? 0)) / 2, HANDLERS * LEASES)
    check("members left in Redis", yield* members(keysInRedis, topics), 0)
    return perOperation(elapsed, HANDLERS * LEASES, "us")
  })

const leases = () =>
  withRedis((presence) => comeAndGo(new Keys("presence", 0), (topic, key) => presence.track(topic, key, meta)))

const leasesByHand = () =>
  withRedis(() => Effect.flatMap(ByHand, (hand) => comeAndGo(hand.keys, (topic, key) => hand.track(topic, key, meta))))

// Lists

/** What a server is asked whether or not anybody lists: are we there, and has a followed topic missed something. */
const background = ["info", "ping", "hmget"]

const commands = Effect.map(ran, (calls) => {
  let sum = 0
  for (const [name, count] of calls) if (!background.includes(name)) sum += count
  return sum
})

const listFollowed = () =>
  withRedis((presence) =>
    Effect.gen(function* () {
      yield* presence.subscribe("room:1")
      yield* Effect.forEach(keys.slice(0, KEYS), (key) => presence.track("room:1", key, meta), {
        concurrency: "unbounded",
        discard: true
      })
      const before = yield* commands
      const cost = yield* readAgain(presence, "room:1")
      check("commands", (yield* commands) - before, 0)
      return cost
    })
  )

export const redis: ReadonlyArray<Row> = [
  writing("in one topic", ["room:1"]),
  writing("over 4,000 topics", names("room:", 4_000)),
  {
    name: "redis: track and scope close, 500 handlers at once",
    unit: "us",
    ours: leases,
    rivals: [{ name: "acquireRelease and pipelines", target: 1.25, run: leasesByHand }]
  },
  {
    name: "redis: list of 1,000 of a followed topic, 0 commands",
    unit: "us",
    ours: listFollowed,
    max: 1,
    rivals: [{ name: "the same in one process", run: unchanged }],
    rounds: 5
  }
]
