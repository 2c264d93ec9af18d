/**
 * The sweep: its price when nothing is due, when some is, and how long it holds the event loop when all is.
 *
 * Time is real here: what shall expire has a ttl of a microsecond, and the layer's own sweep waits a day.
 */
import { Effect, type Scope } from "effect"
import type { Presence, TrackError } from "effect-presence"
import { check, collectGarbage, type Row, type Time } from "./harness.js"
import { million, names, nth, perOperation, stopwatch, timed, times, withPresence } from "./measure.js"

const COUNT = million ? 1_000_000 : 100_000
/** Of ours; the scan is run 20 times. */
const SWEEPS = 5_000
const topics = names("room:", 1_000)
const keys = names("user-", COUNT)

/** Tracks `COUNT` connections, of which those that are `due` are past their ttl when this is done. */
const crowd = (presence: Presence.Service, due: (i: number) => boolean): Effect.Effect<void, TrackError, Scope.Scope> =>
  times(COUNT, (i) => presence.track(nth(topics, i), nth(keys, i), undefined, due(i) ? { ttl: "1 micros" } : undefined))

const nothingDue = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      yield* crowd(presence, () => false)
      collectGarbage()
      let swept = 0
      const sweep = Effect.map(presence.sweepExpired, (count) => {
        swept += count
      })
      const elapsed = yield* timed(times(SWEEPS, () => sweep))
      check("swept", swept, 0)
      return perOperation(elapsed, SWEEPS, "ms")
    })
  )

const scanOfMaps = () => {
  const now = performance.now()
  const rooms = new Map(topics.map((topic) => [topic, new Map<string, { heartbeat: number }>()]))
  keys.forEach((key, i) => {
    rooms.get(nth(topics, i))?.set(key, { heartbeat: now })
  })
  collectGarbage()
  const watch = stopwatch()
  let seen = 0
  let due = 0
  for (let i = 0; i < 20; i++) {
    for (const members of rooms.values()) {
      for (const member of members.values()) {
        seen++
        if (now - member.heartbeat >= 86_400_000) due++
      }
    }
  }
  const elapsed = watch()
  check("seen", seen, COUNT * 20)
  check("due", due, 0)
  return perOperation(elapsed, 20, "ms")
}

/** No garbage, and none being collected: the collector's threads go on for a while. */
const calm = Effect.andThen(Effect.sync(collectGarbage), Effect.sleep("50 millis"))

const onePercentDue = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      yield* crowd(presence, (i) => i % 100 === 0)
      yield* calm
      let swept = 0
      const elapsed = yield* timed(
        Effect.map(presence.sweepExpired, (count) => {
          swept = count
        })
      )
      check("swept", swept, COUNT / 100)
      return elapsed
    })
  )

/** The lesser, so that what other programs took of a busy machine is no turn of ours. */
const least = ({ clock, processor }: Time): number => Math.min(clock, processor)

/** The longest time between two turns of the event loop while `effect` runs. */
const longestTurn = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let longest = 0
    let elapsed = stopwatch()
    let immediate = setImmediate(function turn() {
      longest = Math.max(longest, least(elapsed()))
      elapsed = stopwatch()
      immediate = setImmediate(turn)
    })
    return Effect.map(effect, () => {
      clearImmediate(immediate)
      return Math.max(longest, least(elapsed()))
    })
  })

const turnWhileAllExpire = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      yield* crowd(presence, () => true)
      yield* calm
      let swept = 0
      const turn = yield* longestTurn(
        Effect.map(presence.sweepExpired, (count) => {
          swept = count
        })
      )
      check("swept", swept, COUNT)
      return turn
    })
  )

export const sweeps: ReadonlyArray<Row> = [
  {
    name: `sweep of ${COUNT.toLocaleString("en")}, nothing due`,
    unit: "ms",
    ours: nothingDue,
    max: 2,
    rivals: [{ name: "scanning the maps", target: 0.03, run: scanOfMaps }],
    rounds: 5
  },
  { name: `sweep of ${COUNT.toLocaleString("en")}, 1 % due`, unit: "ms", ours: onePercentDue, max: 40, rounds: 5 },
  {
    name: `longest turn while ${COUNT.toLocaleString("en")} expire`,
    unit: "ms",
    ours: turnWhileAllExpire,
    max: 10,
    rounds: 5
  }
]
