/** `forSchema`: the same members with typed metas, which one bad client cannot break. */
import { describe, expect } from "@effect/vitest"
import { Cause, Effect, Exit, Metric, MetricState, Option, Schema, Stream } from "effect"
import { InvalidMeta, Presence, type PresenceChange } from "../../../src/index.js"
import type { Subject } from "../Subject.js"

const Viewer = Schema.Struct({ role: Schema.Literal("viewer", "editor"), since: Schema.Date })

const at = (year: number) => new Date(Date.UTC(year, 0))
const viewer = (year: number) => ({ role: "viewer" as const, since: at(year) })
const editor = (year: number) => ({ role: "editor" as const, since: at(year) })
const stored = (year: number, role = "viewer") => ({ role, since: at(year).toISOString() })

export const typed = ({ check, pass, ticks }: Subject) =>
  describe("forSchema", () => {
    check("what is tracked is stored encoded and read decoded", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const lease = yield* viewers.track("room", "alice", viewer(2020))
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [stored(2020)] }])
        expect(yield* viewers.list("room")).toEqual([{ key: "alice", metas: [viewer(2020)] }])
        expect(yield* viewers.get("room", "alice")).toEqual(Option.some({ key: "alice", metas: [viewer(2020)] }))
        expect(yield* viewers.get("room", "bob")).toEqual(Option.none())
        expect((yield* viewers.snapshot("room")).connections).toEqual([
          { key: "alice", ref: lease.ref, meta: viewer(2020) }
        ])
        expect(yield* viewers.count("room")).toEqual({ keys: 1, connections: 1 })
        expect(yield* viewers.topics).toEqual(["room"])
        expect(yield* viewers.health).toMatchObject({ status: "ok", connections: 1 })
      })
    )

    check("a typed lease updates with typed metas, and its function gets one", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const lease = yield* viewers.track("room", "alice", viewer(2020))
        const ref = lease.ref
        expect([lease.topic, lease.key]).toEqual(["room", "alice"])
        expect(yield* lease.update(viewer(2020))).toBe("updated")
        expect(lease.ref).toBe(ref)
        expect(yield* lease.update((meta) => ({ ...meta, since: at(meta.since.getUTCFullYear() + 1) }))).toBe("updated")
        expect(lease.ref).not.toBe(ref)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [stored(2021)] }])
        expect(yield* lease.refresh).toBe("renewed")
        yield* lease.release
        expect(yield* lease.ended).toBe("released")
        expect(yield* lease.update(viewer(2022))).toBe("released")
      })
    )

    check("a typed function that throws is a defect and changes nothing", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const lease = yield* viewers.track("room", "alice", viewer(2020))
        const broken = new Error("broken")
        const exit = yield* Effect.exit(
          lease.update(() => {
            throw broken
          })
        )
        expect(Exit.isFailure(exit) && [...Cause.defects(exit.cause)]).toEqual([broken])
        expect(yield* viewers.list("room")).toEqual([{ key: "alice", metas: [viewer(2020)] }])
      })
    )

    check("a meta that does not encode is InvalidMeta with its place, and nothing is stored", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Schema.Struct({ name: Schema.Struct({ first: Schema.NonEmptyString }) }))
        const error = yield* Effect.flip(viewers.track("room", "alice", { name: { first: "" } }))
        expect(error).toBeInstanceOf(InvalidMeta)
        expect(error).toMatchObject({ topic: "room", key: "alice", path: "$.name.first" })
        expect(yield* presence.topics).toEqual([])
        const lease = yield* viewers.track("room", "alice", { name: { first: "Alice" } })
        expect(yield* Effect.flip(lease.update({ name: { first: "" } }))).toBeInstanceOf(InvalidMeta)
        expect(yield* Effect.flip(lease.update(() => ({ name: { first: "" } })))).toBeInstanceOf(InvalidMeta)
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ name: { first: "Alice" } }] }])
      })
    )

    check("a schema whose encoded side is no JSON is InvalidMeta", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const dates = presence.forSchema(Schema.Struct({ at: Schema.DateFromSelf }))
        expect(yield* Effect.flip(dates.track("room", "alice", { at: at(2020) }))).toMatchObject({
          _tag: "InvalidMeta",
          path: "$.at"
        })
      })
    )

    check("a schema that encodes to undefined is InvalidMeta, and not a track without a meta", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const names = presence.forSchema(Schema.UndefinedOr(Schema.String))
        expect(yield* Effect.flip(names.track("room", "alice", undefined))).toMatchObject({
          _tag: "InvalidMeta",
          path: "$",
          reason: "is undefined, which JSON cannot say"
        })
        expect(yield* presence.topics).toEqual([])
        const lease = yield* names.track("room", "alice", "Alice")
        expect(yield* Effect.flip(lease.update(undefined))).toMatchObject({ _tag: "InvalidMeta", path: "$" })
        expect(yield* names.list("room")).toEqual([{ key: "alice", metas: ["Alice"] }])
      })
    )

    check(
      "what a transformation of the schema throws at does not decode, and breaks neither who reads nor who joins",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const paths = presence.forSchema(
            Schema.transform(Schema.String, Schema.String, { decode: decodeURIComponent, encode: encodeURIComponent })
          )
          // It falls behind: what it lost is counted by the step of whoever joins.
          yield* paths.subscribe("room")
          for (let i = 0; i < 9; i++) yield* presence.track("room", `mallory ${i}`, "%")
          yield* paths.track("room", "alice", "a b")
          expect(yield* paths.list("room")).toEqual([{ key: "alice", metas: ["a b"] }])
          expect((yield* paths.snapshot("room")).connections.map(({ meta }) => meta)).toEqual(["a b"])
          expect(yield* paths.get("room", "mallory 1")).toEqual(Option.none())
          expect((yield* paths.count("room")).keys).toBe(10)
        }),
      { bufferSize: 2 }
    )

    check("stored metas that do not decode are left out, an entry with none left too; count counts all", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        yield* presence.track("room", "alice", { role: "admin" })
        yield* presence.track("room", "alice", stored(2020))
        yield* presence.track("room", "alice", "junk")
        yield* presence.track("room", "bob", "junk")
        yield* presence.track("room", "carol", stored(2021, "editor"))
        expect(yield* viewers.list("room")).toEqual([
          { key: "alice", metas: [viewer(2020)] },
          { key: "carol", metas: [editor(2021)] }
        ])
        expect(yield* viewers.get("room", "bob")).toEqual(Option.none())
        expect(yield* viewers.get("room", "alice")).toEqual(Option.some({ key: "alice", metas: [viewer(2020)] }))
        expect((yield* viewers.snapshot("room")).connections.map((connection) => connection.key)).toEqual([
          "alice",
          "carol"
        ])
        expect(yield* viewers.count("room")).toEqual({ keys: 3, connections: 5 })
        expect(yield* viewers.evict("room", "bob")).toBe(1)
        expect(yield* presence.count("room")).toEqual({ keys: 2, connections: 4 })
      })
    )

    check("those left out are counted by presence_undecodable_metas_total", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const count = Effect.map(Metric.snapshot, (pairs) => {
          const found = pairs.find(({ metricKey }) => metricKey.name === "presence_undecodable_metas_total")
          return found !== undefined && MetricState.isCounterState(found.metricState)
            ? Number(found.metricState.count)
            : 0
        })
        const before = yield* count
        yield* presence.track("room", "mallory", "junk")
        yield* viewers.list("room")
        expect(yield* count).toBeGreaterThan(before)
      })
    )

    check("what is tracked again is encoded again", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const counters = presence.forSchema(Schema.Struct({ n: Schema.mutable(Schema.Array(Schema.Number)) }))
        const meta = { n: [1] }
        const track = counters.track("room", "alice", meta)
        yield* track
        meta.n = [2]
        yield* track
        expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ n: [1] }, { n: [2] }] }])
      })
    )

    check("events that do not decode are left out; leaves always pass", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const { take } = yield* viewers.subscribe("room")
        const bad = yield* presence.track("room", "mallory", "junk")
        const good = yield* viewers.track("room", "alice", viewer(2020))
        yield* good.update(editor(2020))
        yield* bad.release
        yield* good.release
        const heard: Array<unknown> = []
        while (heard.length < 4) heard.push(...(yield* take))
        expect(heard).toEqual([
          { type: "join", key: "alice", meta: viewer(2020) },
          { type: "update", key: "alice", meta: editor(2020) },
          { type: "leave", key: "mallory" },
          { type: "leave", key: "alice" }
        ])
      })
    )

    check(
      "in a diff, a change into a meta that decodes is a join, out of one a leave, between two others nothing",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const viewers = presence.forSchema(Viewer)
          const pull = yield* Stream.toPull(viewers.changes("room"))
          const read: Array<PresenceChange<typeof Viewer.Type>> = []
          const readTo = (version: number) =>
            Effect.gen(function* () {
              while ((read.at(-1)?.version ?? -1) < version) read.push(...(yield* pull))
            })
          const start = (yield* presence.snapshot("room")).version
          yield* readTo(start)
          const lease = yield* presence.track("room", "alice", "junk")
          const refs = [lease.ref]
          for (const meta of ["more junk", stored(2020), stored(2021), "junk again", "junk still"]) {
            yield* lease.update(meta)
            refs.push(lease.ref)
          }
          yield* lease.update(stored(2022))
          const last = lease.ref
          yield* lease.release
          yield* readTo(start + 8)
          const diffs = read.flatMap((change) => (change._tag === "Diff" ? [change] : []))
          const [, , good, better] = refs
          expect(diffs.flatMap((diff) => diff.joins)).toEqual([
            { key: "alice", ref: good, meta: viewer(2020) },
            { key: "alice", ref: last, meta: viewer(2022) }
          ])
          expect(diffs.flatMap((diff) => diff.updates)).toEqual([
            { key: "alice", ref: better, previousRef: good, meta: viewer(2021) }
          ])
          expect(diffs.flatMap((diff) => diff.leaves)).toMatchObject([
            { key: "alice", ref: better, meta: viewer(2021) },
            { key: "alice", ref: last, meta: viewer(2022), reason: "released" }
          ])
          // Versions go on without a gap, whether or not anything is left of a diff.
          let version = start
          for (const diff of diffs) {
            expect(diff.from).toBe(version)
            version = diff.version
          }
          expect(version).toBe(start + 8)
        })
    )

    check("in events, a change into a meta that decodes is a join", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const { take } = yield* viewers.subscribe("room")
        const lease = yield* presence.track("room", "alice", "junk")
        yield* lease.update(stored(2020))
        expect(yield* take).toEqual([{ type: "join", key: "alice", meta: viewer(2020) }])
      })
    )

    check("in events, a change out of a meta that decodes is a leave", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        const lease = yield* presence.track("room", "alice", stored(2020))
        const { take } = yield* viewers.subscribe("room")
        yield* lease.update("junk")
        expect(yield* take).toEqual([{ type: "leave", key: "alice" }])
      })
    )

    check("events is the typed subscription as a stream", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const viewers = presence.forSchema(Viewer)
        yield* Effect.fork(
          Effect.forever(
            Effect.zipRight(Effect.scoped(viewers.track("room", "alice", viewer(2020))), Effect.yieldNow())
          )
        )
        const events = yield* Stream.runCollect(Stream.take(viewers.events("room"), 2))
        for (const event of events) {
          expect(event).toEqual(
            event.type === "join" ? { type: "join", key: "alice", meta: viewer(2020) } : { type: "leave", key: "alice" }
          )
        }
      })
    )

    check(
      "a typed lease expires and rejoins like any other",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const viewers = presence.forSchema(Viewer)
          const lease = yield* viewers.track("room", "alice", viewer(2020), { ttl: ticks(1) })
          yield* pass(1)
          expect(yield* viewers.sweepExpired).toBe(1)
          expect(yield* lease.update(editor(2020))).toBe("rejoined")
          expect(yield* viewers.list("room")).toEqual([{ key: "alice", metas: [editor(2020)] }])
        }),
      { sweepInterval: ticks(1_000_000) }
    )
  })
