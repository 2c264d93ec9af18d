import type { HttpServerRequest } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Fiber, FiberSet, Queue, Scope, Stream, TestClock } from "effect"
import { type EventStream, resumeFrom } from "../../src/http/eventStream.js"
import { EventStreams } from "../../src/http/eventStreams.js"
import type { Diff, PresenceChange, Snapshot } from "../../src/PresenceChange.js"
import { PresenceUnavailable } from "../../src/PresenceError.js"

// A stream only looks at where the request came from, to cut its socket.
const request = { source: {} } as HttpServerRequest.HttpServerRequest

const snapshot: Snapshot = { _tag: "Snapshot", topic: "room", epoch: "e", version: 0, connections: [] }

const joined = (from: number, meta = ""): Diff => ({
  _tag: "Diff",
  topic: "room",
  epoch: "e",
  from,
  version: from + 1,
  joins: [{ key: `k${from}`, ref: `${from}`, meta }],
  leaves: [],
  updates: []
})

type Changes = Stream.Stream<PresenceChange, PresenceUnavailable>

/** The streams of one route over given changes: those of who follows from now on, and from a position. */
const streamsOf = (
  changes: Changes,
  { interval = 50, unsentBytes = 1_000_000, unsentTotal = 1_000_000, since = Stream.never as Changes, max = 10 } = {}
) =>
  Effect.gen(function* () {
    let follows = 0
    const streams = new EventStreams({
      presence: {
        changes: (_, options) => {
          if (options?.since !== undefined) return since
          follows++
          return changes
        }
      },
      diffInterval: Duration.millis(interval),
      run: yield* FiberSet.makeRuntime<never, void, never>(),
      streams: max,
      unsentBytes,
      unsentTotal,
      onTheirWay: { bytes: 0 },
      unsentFor: 30_000
    })
    yield* Effect.forkScoped(streams.keepingAlive)
    return { streams, follows: () => follows }
  })

const open = (streams: EventStreams, version?: number) =>
  streams.open({
    request,
    topic: "room",
    since: version === undefined ? undefined : { epoch: "e", version },
    expires: undefined,
    retry: undefined
  })

/** What a stream writes, each write as a text in a queue, while it is read. */
const written = (stream: EventStream) =>
  Effect.gen(function* () {
    const writes = yield* Queue.unbounded<string>()
    const reading = yield* stream.body.pipe(
      Stream.decodeText(),
      Stream.runForEach((text) => Queue.offer(writes, text)),
      Effect.forkScoped
    )
    return { writes, reading }
  })

/** Takes one write after the other, as a client that reads when it likes. */
const reader = (stream: EventStream) =>
  Effect.map(Stream.toPull(stream.body), (pull) =>
    Effect.map(Effect.orDie(pull), (chunk) => Buffer.concat(Chunk.toReadonlyArray(chunk)).toString())
  )

const dataOf = (text: string): unknown => JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? "null")

describe("EventStream", () => {
  it.scoped("writes a comment every 15 s, however quiet the topic", () =>
    Effect.gen(function* () {
      const { streams } = yield* streamsOf(Stream.concat(Stream.make(snapshot), Stream.never))
      const { writes } = yield* written(yield* open(streams))
      expect(yield* Queue.take(writes)).toContain("event: snapshot")
      for (let n = 0; n < 3; n++) {
        yield* TestClock.adjust("14900 millis")
        expect(yield* Queue.size(writes)).toBe(0)
        yield* TestClock.adjust("100 millis")
        expect(yield* Queue.take(writes)).toMatch(/^: .*\n\n$/)
      }
    })
  )

  it.scoped("holds changes back for the length of the window, counted from the first", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes))
      const { writes } = yield* written(yield* open(streams))
      yield* Queue.take(writes)
      yield* Queue.offer(changes, joined(0))
      yield* TestClock.adjust("40 millis")
      yield* Queue.offer(changes, joined(1))
      yield* TestClock.adjust("9 millis")
      expect(yield* Queue.size(writes)).toBe(0)
      yield* TestClock.adjust("1 millis")
      const text = yield* Queue.take(writes)
      expect(text).toMatch(/^id: e\.2\nevent: diff\ndata: /)
      expect(dataOf(text)).toMatchObject({ from: 0, version: 2, joins: [{ key: "k0" }, { key: "k1" }] })
    })
  )

  it.scoped("follows a topic once and writes all its streams the same bytes", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams, follows } = yield* streamsOf(Stream.fromQueue(changes), { interval: 0 })
      const pulls = yield* Effect.replicateEffect(
        Effect.flatMap(open(streams), ({ body }) => Stream.toPull(body)),
        3
      )
      const next = Effect.forEach(pulls, (pull) => Effect.map(Effect.orDie(pull), Chunk.unsafeHead))
      for (let version = 0; version < 3; version++) {
        const [first, ...others] = yield* next
        for (const bytes of others) expect(bytes).toBe(first)
        yield* Queue.offer(changes, joined(version))
        yield* Effect.yieldNow()
      }
      expect(follows()).toBe(1)
    })
  )

  it.scoped("writes to some of very many in each turn, as what is new may be much", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), { interval: 0, max: 100 })
      let written = 0
      for (let n = 0; n < 100; n++) {
        const { body } = yield* open(streams)
        yield* Effect.forkScoped(Stream.runForEach(body, () => Effect.sync(() => written++)))
      }
      const turn = Effect.promise(() => new Promise(setImmediate))
      while (written < 100) yield* turn
      // All wait for what is new.
      yield* turn
      yield* Queue.offer(changes, joined(0))
      const inTurn: Array<number> = []
      for (let before = written; written < 200; before = written) {
        yield* turn
        inTurn.push(written - before)
      }
      expect(Math.max(...inTurn)).toBeLessThanOrEqual(8)
    })
  )

  it.scoped("sends the state to one that has more waiting than it may, then what is new", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), { interval: 0, unsentBytes: 1_000 })
      const slow = yield* reader(yield* open(streams))
      const { writes } = yield* written(yield* open(streams))
      expect(dataOf(yield* slow)).toMatchObject({ _tag: "Snapshot", version: 0 })
      yield* Queue.take(writes)
      for (let n = 0; n < 5; n++) {
        yield* Queue.offer(changes, joined(n, "m".repeat(300)))
        expect(dataOf(yield* Queue.take(writes))).toMatchObject({ _tag: "Diff", version: n + 1 })
      }
      const state = dataOf(yield* slow)
      expect(state).toMatchObject({ _tag: "Snapshot", version: 5 })
      expect(state).toHaveProperty("connections.length", 5)
      yield* Queue.offer(changes, joined(5))
      expect(dataOf(yield* slow)).toMatchObject({ _tag: "Diff", from: 5, version: 6 })
    })
  )

  it.scoped("sends the state to those for whom something waits when all together have more than they may", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), { interval: 0, unsentTotal: 3_000 })
      const one = yield* reader(yield* open(streams))
      const gone = yield* Scope.make()
      const other = yield* reader(yield* Scope.extend(open(streams), gone))
      for (const slow of [one, other]) expect(dataOf(yield* slow)).toMatchObject({ _tag: "Snapshot", version: 0 })
      const tell = (n: number) =>
        Effect.zipRight(Queue.offer(changes, joined(n, "m".repeat(300))), Effect.repeatN(Effect.yieldNow(), 20))
      yield* tell(0)
      expect(dataOf(yield* one)).toMatchObject({ _tag: "Diff", version: 1 })
      for (let n = 1; n < 5; n++) yield* tell(n)
      expect(dataOf(yield* one)).toMatchObject({ _tag: "Snapshot", version: 5 })
      // Whoever is gone has nothing on its way, so that there is room for all that one keeps waiting.
      yield* Scope.close(gone, Exit.void)
      for (let n = 5; n < 7; n++) yield* tell(n)
      const text = yield* one
      expect(text.match(/event: diff/g)).toHaveLength(2)
    })
  )

  it.scoped("sends a large state in blocks that make one event, whatever changes meanwhile", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      const connections = Array.from({ length: 50 }, (_, n) => ({
        key: `é${n}`.padEnd(9),
        ref: `r${n}`,
        meta: "m".repeat(9_999)
      }))
      const sorted = connections.toSorted((a, b) => (a.key < b.key ? -1 : 1))
      const large: Snapshot = { ...snapshot, connections: sorted }
      yield* Queue.offer(changes, large)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), { interval: 0 })
      const next = yield* reader(yield* open(streams))
      let text = yield* next
      expect(text.length).toBeLessThan(100_000)
      yield* Queue.offer(changes, joined(0))
      while (!text.endsWith("\n\n")) text += yield* next
      expect(text).toMatch(/^id: e\.0\nevent: snapshot\ndata: /)
      expect(dataOf(text)).toEqual(large)
      expect(dataOf(yield* next)).toEqual(joined(0))
    })
  )

  it.scoped("begins with a comment for a client that knows where it stands", () =>
    Effect.gen(function* () {
      const { streams } = yield* streamsOf(Stream.concat(Stream.make(snapshot), Stream.never))
      const { writes } = yield* written(yield* open(streams, 0))
      expect(yield* Queue.take(writes)).toMatch(/^: .*\n\n$/)
    })
  )

  it.scoped("resumes at what was told, whatever else is known, so that nothing is told twice", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offerAll(changes, [snapshot])
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), {
        since: Stream.fromIterable([joined(1), joined(2), joined(3)])
      })
      yield* written(yield* open(streams))
      yield* Queue.offerAll(changes, [joined(0), joined(1), joined(2)])
      yield* TestClock.adjust("50 millis")
      // Not told yet, though the history has it.
      yield* Queue.offer(changes, joined(3))
      yield* TestClock.adjust("10 millis")
      const next = yield* reader(yield* open(streams, 1))
      expect(dataOf(yield* next)).toMatchObject({ from: 1, version: 3, joins: [{ key: "k1" }, { key: "k2" }] })
      yield* TestClock.adjust("40 millis")
      expect(dataOf(yield* next)).toMatchObject({ from: 3, version: 4, joins: [{ key: "k3" }] })
    })
  )

  it.scoped("tells a client that resumes where it stands, also when what it missed cancelled out", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      const left: Diff = {
        ...joined(1),
        joins: [],
        leaves: [{ key: "k0", ref: "0", meta: "", reason: "released" }]
      }
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes), {
        interval: 0,
        since: Stream.make(joined(0), left)
      })
      const { writes } = yield* written(yield* open(streams))
      yield* Queue.take(writes)
      for (const change of [joined(0), left]) {
        yield* Queue.offer(changes, change)
        yield* Queue.take(writes)
      }
      const next = yield* reader(yield* open(streams, 0))
      expect(dataOf(yield* next)).toEqual({ ...joined(0), version: 2, joins: [] })
    })
  )

  it.scoped("sends the state to one that resumes, where what it missed is more than may wait for it or for all", () =>
    Effect.gen(function* () {
      for (const most of [{ unsentBytes: 500 }, { unsentTotal: 500 }]) {
        const changes = yield* Queue.unbounded<PresenceChange>()
        yield* Queue.offer(changes, snapshot)
        const missed = joined(0, "x".repeat(500))
        const { streams } = yield* streamsOf(Stream.fromQueue(changes), {
          interval: 0,
          since: Stream.make(missed),
          ...most
        })
        const { writes } = yield* written(yield* open(streams))
        yield* Queue.take(writes)
        yield* Queue.offer(changes, missed)
        yield* Queue.take(writes)
        const text = yield* yield* reader(yield* open(streams, 0))
        expect(text).toContain("event: snapshot")
      }
    })
  )

  it.scoped("ends when the changes end, and after what was still to be sent", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<PresenceChange>()
      yield* Queue.offer(changes, snapshot)
      const { streams } = yield* streamsOf(Stream.fromQueue(changes))
      const { writes, reading } = yield* written(yield* open(streams))
      yield* Queue.offerAll(changes, [joined(0), joined(1)])
      yield* Effect.yieldNow()
      yield* Queue.shutdown(changes)
      yield* Fiber.join(reading)
      const text = Chunk.join(yield* Queue.takeAll(writes), "")
      expect(text.match(/^(id|event): .*/gm)).toEqual(["id: e.0", "event: snapshot", "id: e.2", "event: diff"])
    })
  )

  it.scoped("ends when presence becomes unavailable, and follows anew with the next", () =>
    Effect.gen(function* () {
      const gone = new PresenceUnavailable({ reason: "no answer" })
      const changes = yield* Queue.unbounded<PresenceChange | PresenceUnavailable>()
      const { streams, follows } = yield* streamsOf(
        Stream.mapEffect(Stream.fromQueue(changes), (change) =>
          change instanceof PresenceUnavailable ? Effect.fail(change) : Effect.succeed(change)
        )
      )
      yield* Queue.offer(changes, snapshot)
      const { reading } = yield* written(yield* open(streams))
      yield* Queue.offer(changes, gone)
      yield* Fiber.join(reading)
      yield* Queue.offer(changes, gone)
      expect(yield* Effect.flip(open(streams))).toBe(gone)
      expect(follows()).toBe(2)
    })
  )

  it.scoped("ends when all are ended, and so does one that begins afterwards", () =>
    Effect.gen(function* () {
      const { streams } = yield* streamsOf(Stream.concat(Stream.make(snapshot), Stream.never))
      const { reading } = yield* written(yield* open(streams))
      yield* Effect.yieldNow()
      yield* streams.end
      yield* Fiber.join(reading)
      const late = yield* written(yield* open(streams))
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
