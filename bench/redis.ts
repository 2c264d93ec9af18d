/**
 * Presence over Redis, beside calling the same script by hand for each operation: the writing side alone, then leases
 * through Effect; and lists, which ask Redis nothing. What Redis has of each run is counted there.
 */
import { Effect, type Scope } from "effect"
import { Keys } from "../src/redis/keys.js"
import { Partition } from "../src/redis/partition.js"
import { silent } from "../test/support/port.js"
import { ByHand } from "./byHand.js"
import { check, type Row, type Run } from "./harness.js"
import { KEYS, readAgain, unchanged } from "./lists.js"
import { names, nth, perOperation, times } from "./measure.js"
import { forget, members, ran, Server, terms, timed, withRedis } from "./redisServer.js"

/** Joins of the writing side. */
const JOINS = 10_000
/** Handlers at once, and how often the lease of each comes and goes. */
const HANDLERS = 500
const LEASES = 10
const meta = { role: "viewer" }
const keys = names("user-", JOINS)
const joinsIn = (topics: ReadonlyArray<string>) => keys.map((key, i) => ({ topic: nth(topics, i), key }))

// The writing side

let replicas = 0

const unheard = silent((what, cause) => {
  throw new Error(`${what} failed`, { cause })
})

const batches =
  (topics: ReadonlyArray<string>): Run =>
  () =>
    withRedis(() =>
      Effect.gen(function* () {
        const { port } = yield* Server
        const replica = `bench-${++replicas}`
        const joins = joinsIn(topics)
        let idle = (): void => {}
        const partition = new Partition<undefined>(
          { port, keys: new Keys(replica, 0), times: { ...terms, shared: "" }, replica },
          {
            ...unheard,
            onBeaten: () => idle(),
            onWritten: () => {
              if (partition.writer.idle) idle()
            }
          }
        )
        const untilIdle = (start: () => void) =>
          Effect.async<void>((resume) => {
            idle = () => resume(Effect.void)
            start()
          })
        yield* untilIdle(() => partition.use())
        const elapsed = yield* timed(
          untilIdle(() => {
            for (const [i, { topic, key }] of joins.entries()) partition.join(topic, key, i + 1, meta, undefined)
          })
        )
        partition.stop()
        check("members", yield* members(partition.keys, topics), JOINS)
        yield* forget(partition.keys, replica, topics)
        return perOperation(elapsed, JOINS) / 1e3
      })
    )

const pipelines =
  (topics: ReadonlyArray<string>): Run =>
  () =>
    withRedis(() =>
      Effect.gen(function* () {
        const hand = yield* ByHand.make
        const joins = joinsIn(topics)
        const elapsed = yield* timed(Effect.promise(() => hand.joinAll(joins, meta)))
        check("members", yield* members(hand.keys, topics), JOINS)
        yield* forget(hand.keys, hand.replica, topics)
        return perOperation(elapsed, JOINS) / 1e3
      })
    )

const writing = (name: string, topics: ReadonlyArray<string>): Row => ({
  name: `redis: track without Effect, 10,000 ${name}`,
  unit: "us",
  ours: batches(topics),
  rivals: [{ name: "pipelines of 100 calls", target: 0.5, run: pipelines(topics) }]
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
    // One for each join, however many joins a call carries.
    const after = yield* ran
    check("joins in Redis", (after.get("hsetnx") ?? 0) - (before.get("hsetnx") ?? 0), HANDLERS * LEASES)
    check("members left in Redis", yield* members(keysInRedis, topics), 0)
    return perOperation(elapsed, HANDLERS * LEASES) / 1e3
  })

const leases = () =>
  withRedis((presence) => comeAndGo(new Keys("presence", 0), (topic, key) => presence.track(topic, key, meta)))

const leasesByHand = () =>
  withRedis(() =>
    Effect.flatMap(ByHand.make, (hand) => comeAndGo(hand.keys, (topic, key) => hand.track(topic, key, meta)))
  )

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
