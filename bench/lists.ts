/**
 * Lists of a topic with 1,000 keys, read through Effect.
 */
import { Effect } from "effect"
import type { Presence } from "effect-presence"
import { Adapter } from "socket.io-adapter"
import { check, median, type Row } from "./harness.js"
import { names, nth, perOperation, stopwatch, timed, times, withPresence } from "./measure.js"

export const KEYS = 1_000
/** Of ours; rivals, who are slower, do 1,000: samples of a like length. */
const READS = 200_000
const CHANGES = 20_000
const topic = "room:1"
const keys = names("user-", KEYS)
const meta = { role: "viewer" }

const come = (presence: Presence.Service) => times(KEYS, (i) => presence.track(topic, nth(keys, i), meta))

/** Microseconds of each read of a topic that nobody changes. */
export const readAgain = (presence: Presence.Service, topic: string) =>
  Effect.gen(function* () {
    const first = yield* presence.list(topic)
    check("keys", first.length, KEYS)
    let same = 0
    const elapsed = yield* timed(
      Effect.suspend(() => {
        let i = 0
        return Effect.whileLoop({
          while: () => i++ < READS,
          body: () => presence.list(topic),
          step: (list) => {
            if (list === first) same++
          }
        })
      })
    )
    check("the same list", same, READS)
    return perOperation(elapsed, READS, "us")
  })

export const unchanged = () => withPresence((presence) => Effect.zipRight(come(presence), readAgain(presence, topic)))

/** What `fetchSockets` and friends read: the ids of a room, collected anew each time. */
const socketIo = async () => {
  const adapter = new Adapter({ server: { encoder: undefined }, sockets: new Map(keys.map((id) => [id, { id }])) })
  for (const key of keys) adapter.addAll(key, new Set([topic]))
  const watch = stopwatch()
  let listed = 0
  for (let i = 0; i < 1_000; i++) listed += (await adapter.sockets(new Set([topic]))).size
  const elapsed = watch()
  check("listed", listed, KEYS * 1_000)
  return perOperation(elapsed, 1_000, "us")
}

/** The median of `read` after each of `changes` changes: on a busy machine a read that was interrupted says nothing. */
const afterEachChange = <E, R>(
  changes: number,
  change: (i: number) => Effect.Effect<unknown, E, R>,
  read: Effect.Effect<ReadonlyArray<{ readonly key: string }>, E, R>
) =>
  Effect.gen(function* () {
    const reads = new Float64Array(changes)
    let start = 0
    let listed = 0
    yield* times(changes, (i) =>
      Effect.zipRight(
        change(i),
        Effect.suspend(() => {
          start = performance.now()
          return Effect.map(read, (list) => {
            reads[i] = performance.now() - start
            listed += list.length
          })
        })
      )
    )
    // Every second change adds the key that the next one takes away.
    check("listed", listed, KEYS * changes + changes / 2)
    return median(reads) * 1e3
  })

const changed = () =>
  withPresence((presence) =>
    Effect.gen(function* () {
      yield* come(presence)
      let release: Effect.Effect<void> = Effect.void
      const change = (i: number) => {
        if (i % 2 === 1) return release
        return Effect.map(presence.track(topic, `${nth(keys, i)}-`, meta), (lease) => {
          release = lease.release
        })
      }
      return yield* afterEachChange(CHANGES, change, presence.list(topic))
    })
  )

const collectAndSort = () => {
  const members = new Map(keys.map((key) => [key, [meta]]))
  const change = (i: number) =>
    Effect.sync(() => {
      if (i % 2 === 0) members.set(`${nth(keys, i)}-`, [meta])
      else members.delete(`${nth(keys, i - 1)}-`)
    })
  const read = Effect.sync(() =>
    Array.from(members, ([key, metas]) => ({ key, metas: [...metas] })).sort((a, b) => (a.key < b.key ? -1 : 1))
  )
  return Effect.runPromise(afterEachChange(1_000, change, read))
}

export const lists: ReadonlyArray<Row> = [
  {
    name: "list of 1,000, unchanged",
    unit: "us",
    ours: unchanged,
    max: 1,
    rivals: [{ name: "the ids of a socket.io room", target: 0.02, run: socketIo }]
  },
  {
    name: "list of 1,000, after one join or leave",
    unit: "us",
    ours: changed,
    max: 5,
    rivals: [{ name: "collecting and sorting", target: 0.023, run: collectAndSort }]
  }
]
