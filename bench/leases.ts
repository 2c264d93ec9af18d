/**
 * Leases: coming, staying and going, through the public API.
 */
import { Clock, Effect } from "effect"
import type { Presence } from "effect-presence"
import { check, type Row } from "./harness.js"
import { names, nth, perOperation, stopwatch, timed, times, withPresence } from "./measure.js"
import * as Naive from "./naive.js"

/** Leases at once. */
const COUNT = 10_000
/** How often a contender does it all, so that samples last some 200 ms and a busy machine disturbs them alike. */
const SCOPES = 10
/** Scopes of one lease, or of none. */
const ALONE = 20_000
const REFRESHES = 40
const topics = names("room:", 1_000)
const keys = names("user-", COUNT)

const empty = Effect.scoped(Effect.acquireRelease(Effect.void, () => Effect.void))

/** In the same surroundings as ours: `Effect.scoped` costs by the services that are there. */
const emptyScopes = () =>
  withPresence(() => Effect.map(timed(times(ALONE, () => empty)), (elapsed) => perOperation(elapsed, ALONE)))

const count = (presence: Presence.Service) => Effect.map(presence.health, ({ connections }) => connections)

const manyOnOneScope = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      const tracked = Effect.zipRight(
        times(COUNT, (i) => presence.track(nth(topics, i), nth(keys, i), { role: "viewer" })),
        Effect.tap(count(presence), (connections) => check("connections", connections, COUNT))
      )
      const elapsed = yield* timed(times(SCOPES, () => Effect.scoped(tracked)))
      check("connections after the close", yield* count(presence), 0)
      return perOperation(elapsed, COUNT * SCOPES)
    })
  )

const naive = Effect.runSync(Naive.make)

const naiveManyOnOneScope = () =>
  Effect.gen(function* () {
    const tracked = Effect.zipRight(
      times(COUNT, (i) => naive.track(nth(topics, i), nth(keys, i), { role: "viewer" })),
      Effect.tap(naive.size, (size) => check("topics", size, topics.length))
    )
    const elapsed = yield* timed(Effect.scoped(tracked))
    check("topics after the close", yield* naive.size, 0)
    return perOperation(elapsed, COUNT)
  }).pipe(Effect.runPromise)

const oneOnOneScope = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      let present = 0
      const elapsed = yield* timed(
        times(ALONE, (i) =>
          Effect.scoped(
            Effect.map(presence.track(nth(topics, i), nth(keys, i), { role: "viewer" }), (lease) => {
              if (lease.key === nth(keys, i)) present++
            })
          )
        )
      )
      check("leases", present, ALONE)
      check("connections after the closes", yield* count(presence), 0)
      return perOperation(elapsed, ALONE)
    })
  )

const refresh = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      const leases = yield* Effect.forEach(keys, (key, i) => presence.track(nth(topics, i), key))
      let renewed = 0
      const elapsed = yield* timed(
        Effect.suspend(() => {
          let i = 0
          return Effect.whileLoop({
            while: () => i < COUNT * REFRESHES,
            body: () => leases[i++ % COUNT]?.refresh ?? Effect.dieMessage("a lease is missing"),
            step: (answer) => {
              if (answer === "renewed") renewed++
            }
          })
        })
      )
      check("renewed", renewed, COUNT * REFRESHES)
      return perOperation(elapsed, COUNT * REFRESHES)
    })
  )

/** A heartbeat kept without a library: read Effect's clock, store the deadline. */
const plainStore = () => {
  const clock = Clock.make()
  const connections = keys.map((key) => ({ key, deadline: 0 }))
  const watch = stopwatch()
  for (let i = 0; i < REFRESHES; i++) {
    for (const connection of connections) connection.deadline = Number(clock.unsafeCurrentTimeNanos()) + 30e9
  }
  const elapsed = watch()
  check("stored", connections.filter(({ deadline }) => deadline > 0).length, COUNT)
  return perOperation(elapsed, COUNT * REFRESHES)
}

export const leases: ReadonlyArray<Row> = [
  {
    name: "noise: an empty scoped acquireRelease against itself",
    unit: "ns",
    ours: emptyScopes,
    rivals: [{ name: "its equal", run: emptyScopes }]
  },
  {
    name: "track and scope close, 10,000 leases on one scope",
    unit: "ns",
    ours: manyOnOneScope,
    rivals: [
      { name: "an empty scoped acquireRelease", target: 0.15, run: emptyScopes },
      { name: "the naive build", target: 0.1, run: naiveManyOnOneScope }
    ]
  },
  {
    name: "track and scope close, one lease on one scope",
    unit: "ns",
    ours: oneOnOneScope,
    rivals: [{ name: "an empty scoped acquireRelease", target: 0.9, run: emptyScopes }]
  },
  {
    name: "lease.refresh",
    unit: "ns",
    ours: refresh,
    rivals: [{ name: "a plain store of the time", target: 6, run: plainStore }]
  }
]
