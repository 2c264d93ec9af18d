/**
 * Memory: what a lease takes, and that one released early leaves nothing behind. Names and metas are the caller's.
 */
import { Effect } from "effect"
import type { Presence } from "effect-presence"
import { check, collectGarbage, type Row } from "./harness.js"
import { million, names, nth, times, withPresence } from "./measure.js"

const COUNT = 100_000
const RELEASES = million ? 1_000_000 : 100_000
const topics = names("room:", 100)
const keys = names("user-", COUNT)

const bytes = Effect.sync(() => {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
})

/** Bytes that `effect` has added to what is reachable, for each of `count`. */
const growth = <E, R>(effect: Effect.Effect<unknown, E, R>, count: number) =>
  Effect.gen(function* () {
    const before = yield* bytes
    yield* effect
    return ((yield* bytes) - before) / count
  })

const crowd = (presence: Presence.Service) => times(COUNT, (i) => presence.track(nth(topics, i), nth(keys, i)))

const ofALease = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      const size = yield* growth(crowd(presence), COUNT)
      check("connections", (yield* presence.health).connections, COUNT)
      return size
    })
  )

const withLists = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      const size = yield* growth(
        Effect.zipRight(
          crowd(presence),
          times(topics.length, (i) => presence.list(nth(topics, i)))
        ),
        COUNT
      )
      check("keys of a list", (yield* presence.list(nth(topics, 0))).length, COUNT / topics.length)
      return size
    })
  )

const afterEarlyReleases = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      const release = (i: number) =>
        Effect.flatMap(presence.track(nth(topics, i), nth(keys, i)), (lease) => lease.release)
      yield* times(COUNT / 10, release)
      const size = yield* growth(times(RELEASES, release), RELEASES)
      check("connections", (yield* presence.health).connections, 0)
      return Math.max(0, size)
    })
  )

export const memory: ReadonlyArray<Row> = [
  { name: "memory of a lease", unit: "bytes", ours: ofALease, max: 200, rounds: 3 },
  { name: "memory of a lease, its topic listed", unit: "bytes", ours: withLists, max: 320, rounds: 3 },
  {
    name: `left on a scope by each of ${RELEASES.toLocaleString("en")} early releases`,
    unit: "bytes",
    ours: afterEarlyReleases,
    max: 1,
    rounds: 3
  }
]
