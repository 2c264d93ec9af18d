/**
 * One room over several replicas: who joins at one is listed at all, and is gone everywhere once she has left.
 */
import { Effect, Schedule, Schema } from "effect"
import { PresenceEntry } from "effect-presence"

const ROOM = "room%3A1"

const decodeList = Schema.decodeUnknown(Schema.Array(PresenceEntry.schema(Schema.Struct({ role: Schema.String }))))

/** Who is in the room, as a replica sees it. */
const list = (url: string) =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(`${url}/presence/${ROOM}`, { signal })
    return response.json() as Promise<unknown>
  }).pipe(Effect.flatMap(decodeList))

/** Until a replica lists so many: what one is told reaches the others in a few milliseconds. */
const listed = (url: string, people: number) =>
  list(url).pipe(
    Effect.repeat({ until: (entries) => entries.length === people, schedule: Schedule.spaced("20 millis") }),
    Effect.andThen(list(url)),
    Effect.timeout("60 seconds")
  )

/** Present at a replica for as long as the scope is open: the response of an event stream. */
const join = (url: string, key: string, role: string) =>
  Effect.acquireRelease(
    Effect.tryPromise(async () => {
      const left = new AbortController()
      const meta = encodeURIComponent(JSON.stringify({ role }))
      await fetch(`${url}/presence/${ROOM}/events?key=${key}&meta=${meta}`, { signal: left.signal })
      return left
    }),
    (left) => Effect.sync(() => left.abort())
  )

/** Those of `npm run cluster`, unless others are named. */
export const program = (urls: ReadonlyArray<string> = [4000, 4001, 4002].map((port) => `http://127.0.0.1:${port}`)) =>
  Effect.gen(function* () {
    const [first = ""] = urls
    const whileThere = yield* Effect.scoped(
      Effect.zipRight(
        join(first, "alice", "editor"),
        Effect.forEach(urls, (url) => listed(url, 1))
      )
    )
    const afterwards = yield* Effect.forEach(urls, (url) => listed(url, 0))
    return { whileThere, afterwards } // of each replica: [{ key: "alice", metas: [{ role: "editor" }] }], and then []
  })
