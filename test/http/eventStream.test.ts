import type { HttpServerRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Deferred, Duration, Effect, Fiber, Queue, Stream, TestClock } from "effect"
import { EventStreams, resumeFrom } from "../../src/http/eventStream.js"
import type { Diff, PresenceChange } from "../../src/PresenceChange.js"
import { PresenceUnavailable } from "../../src/PresenceError.js"

// A feed only looks at where the request came from, to cut its socket.
const request = { source: {} } as HttpServerRequest.HttpServerRequest

const snapshot: PresenceChange = { _tag: "Snapshot", topic: "room", epoch: "e", version: 0, connections: [] }

const joined = (from: number): Diff => ({
  _tag: "Diff",
  topic: "room",
  epoch: "e",
  from,
  version: from + 1,
  joins: [{ key: `k${from}`, ref: `${from}`, meta: {} }],
  leaves: [],
  updates: []
})

/** What a feed writes, each write as a text in a queue, while it is read. */
const written = (feeds: EventStreams, changes: Stream.Stream<PresenceChange, PresenceUnavailable>, resumed = false) =>
  Effect.gen(function* () {
    const feed = yield* feeds.make(request, changes, resumed)
    const writes = yield* Queue.unbounded<string>()
    const reading = yield* feed.body.pipe(
      Stream.decodeText(),
      Stream.runForEach((text) => Queue.offer(writes, text)),
      Effect.forkScoped
    )
    return { writes, reading }
  })

describe("Feed", () => {
  it.scoped("writes a comment every 15 s, however quiet the topic", () =>
    Effect.gen(function* () {
      const { writes } = yield* written(
        new EventStreams(Duration.millis(50)),
        Stream.concat(Stream.make(snapshot), Stream.never)
      )
      expect(yield* Queue.take(writes)).toContain("event: snapshot")
      for (let n = 0; n < 3; n++) {
        yield* TestClock.adjust(n === 0 ? "14900 millis" : "14850 millis")
        expect(yield* Queue.size(writes)).toBe(0)
        yield* TestClock.adjust("100 millis")
        // A comment waits for the window too.
        yield* TestClock.adjust("50 millis")
        expect(yield* Queue.take(writes)).toMatch(/^: .*\n\n$/)
      }
    })
  )

  it.scoped("holds changes back for the length of the window, counted from the first", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { writes } = yield* written(new EventStreams(Duration.millis(50)), Stream.fromQueue(changes))
      yield* Queue.take(writes)
      yield* Queue.offer(changes, joined(0))
      yield* TestClock.adjust("40 millis")
      yield* Queue.offer(changes, joined(1))
      yield* TestClock.adjust("9 millis")
      expect(yield* Queue.size(writes)).toBe(0)
      yield* TestClock.adjust("1 millis")
      const [id, event, data] = (yield* Queue.take(writes)).split("\n")
      expect([id, event]).toEqual(["id: e.2", "event: diff"])
      expect(JSON.parse((data ?? "").slice("data: ".length))).toMatchObject({
        from: 0,
        version: 2,
        joins: [{ key: "k0" }, { key: "k1" }]
      })
    })
  )

  for (const interval of [0, 50]) {
    it.scoped(`takes no more changes while the reader does not read (window ${interval})`, () =>
      Effect.gen(function* () {
        let made = 0
        const endless = Stream.concat(
          Stream.make(snapshot),
          Stream.repeatEffect(
            Effect.delay(
              Effect.sync(() => joined(made++)),
              "1 millis"
            )
          )
        )
        const feed = yield* new EventStreams(Duration.millis(interval)).make(request, endless, false)
        const stuck = yield* Deferred.make<void>()
        let writes = 0
        yield* feed.body.pipe(
          Stream.runForEach(() =>
            ++writes === 3 ? Deferred.succeed(stuck, undefined).pipe(Effect.zipRight(Effect.never)) : Effect.void
          ),
          Effect.forkScoped
        )
        yield* Effect.yieldNow()
        while (!(yield* Deferred.isDone(stuck))) yield* TestClock.adjust("50 millis")
        // One take may be under way when the reader stops.
        yield* TestClock.adjust("1 second")
        const before = made
        yield* TestClock.adjust("1 minute")
        expect(made).toBe(before)
      })
    )
  }

  it.scoped("begins with a comment for a client that knows where it stands", () =>
    Effect.gen(function* () {
      const { writes } = yield* written(new EventStreams(Duration.millis(50)), Stream.never, true)
      expect(yield* Queue.take(writes)).toMatch(/^: .*\n\n$/)
    })
  )

  it.scoped("ends when the changes end, and after what was still to be sent", () =>
    Effect.gen(function* () {
      const feeds = new EventStreams(Duration.millis(50))
      const { writes, reading } = yield* written(feeds, Stream.make(snapshot, joined(0), joined(1)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(reading)
      const text = Chunk.join(yield* Queue.takeAll(writes), "")
      expect(text.match(/^event: .*/gm)).toEqual(["event: snapshot", "event: diff"])
    })
  )

  it.scoped("ends when presence becomes unavailable", () =>
    Effect.gen(function* () {
      const gone = new PresenceUnavailable({ reason: "no answer" })
      const { reading } = yield* written(
        new EventStreams(Duration.millis(50)),
        Stream.concat(Stream.make(snapshot), Stream.fail(gone))
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(reading)
    })
  )

  it.scoped("ends when all are ended, and so does one that begins afterwards", () =>
    Effect.gen(function* () {
      const feeds = new EventStreams(Duration.millis(50))
      const changes = Stream.concat(Stream.make(snapshot), Stream.never)
      const { reading } = yield* written(feeds, changes)
      yield* Effect.yieldNow()
      feeds.end()
      yield* Fiber.join(reading)
      const late = yield* written(feeds, changes)
      yield* Fiber.join(late.reading)
    })
  )
})

describe("resumeFrom", () => {
  it("reads an id back, whatever the epoch holds, and nothing else", () => {
    expect(resumeFrom("e.3")).toEqual({ epoch: "e", version: 3 })
    expect(resumeFrom("a.b.0")).toEqual({ epoch: "a.b", version: 0 })
    for (const id of [undefined, "", ".", "e", "e.", ".1", "e.x", "e.-1", "e.1.", "e.1 ", "e.9007199254740993"]) {
      expect([id, resumeFrom(id)]).toEqual([id, undefined])
    }
  })
})
