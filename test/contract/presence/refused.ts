/** What is refused is refused whole, with a typed error that names the offending thing. */
import { describe, expect } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Option, Stream } from "effect"
import {
  InvalidKey,
  InvalidMeta,
  InvalidOption,
  InvalidTopic,
  LimitExceeded,
  Presence,
  type TrackError
} from "../../../src/index.js"
import { listen } from "../../support/listen.js"
import type { Subject } from "../Subject.js"

/** Arrays, so deep. */
const nested = (depth: number): unknown => {
  let value: unknown = []
  for (let i = 1; i < depth; i++) value = [value]
  return value
}

const cycle = (): unknown => {
  const a: Record<string, unknown> = {}
  a.b = { c: [a] }
  return a
}

class Point {
  constructor(readonly x: number) {}
}

/** Each with the place that is to blame. */
const notJson: ReadonlyArray<readonly [name: string, meta: () => unknown, path: string]> = [
  ["a cycle", cycle, "$.b.c[0]"],
  ["a BigInt", () => ({ a: [0, 1n] }), "$.a[1]"],
  ["a function", () => ({ f: () => 1 }), "$.f"],
  ["a symbol", () => [Symbol("s")], "$[0]"],
  ["undefined inside", () => ({ a: undefined }), "$.a"],
  ["undefined in an array", () => [1, undefined], "$[1]"],
  // biome-ignore lint/suspicious/noSparseArray: a hole is what this is about
  ["a hole in an array", () => [1, , 2], "$[1]"],
  ["NaN", () => ({ n: Number.NaN }), "$.n"],
  ["Infinity", () => [Number.POSITIVE_INFINITY], "$[0]"],
  ["-Infinity itself", () => Number.NEGATIVE_INFINITY, "$"],
  ["a symbol as a name", () => ({ a: { [Symbol("s")]: 1 } }), "$.a"],
  ["a method toJSON", () => ({ a: { toJSON: () => 1 } }), "$.a"],
  ["a class instance", () => ({ at: new Point(1) }), "$.at"],
  ["a Date", () => ({ at: new Date(0) }), "$.at"],
  ["a Map", () => [new Map()], "$[0]"],
  ["a typed array", () => ({ bytes: new Uint8Array(2) }), "$.bytes"],
  ["a boxed string", () => Object("text"), "$"],
  ["an array of a class", () => new (class Points extends Array {})(), "$"],
  ["an Option", () => ({ name: Option.some("alice") }), "$.name"],
  ["a promise", () => ({ later: Promise.resolve(1) }), "$.later"],
  ["a regular expression", () => /x/, "$"]
]

export const refused = ({ check, layer, test }: Subject) =>
  describe("what is refused", () => {
    /** Tracks, expects a refusal, and that nothing is stored or told. */
    const refusal = (topic: string, key: string, meta?: unknown, options?: object) =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const before = yield* presence.topics
        const snapshot = yield* presence.snapshot(topic)
        const error = yield* Effect.flip(presence.track(topic, key, meta, options))
        expect([...(yield* presence.topics)].sort()).toEqual([...before].sort())
        const after = yield* presence.snapshot(topic)
        expect([after.version, after.connections]).toEqual([snapshot.version, snapshot.connections])
        return error
      })

    const expectShort = (text: string, whole: string) => {
      expect(text.length).toBeLessThan(100)
      expect(whole.startsWith(text.replace(/…$/, ""))).toBe(true)
      expect(text.length).toBeGreaterThan(10)
    }

    check("an empty topic, and one with a lone surrogate", () =>
      Effect.gen(function* () {
        const empty = yield* refusal("", "alice")
        expect(empty).toBeInstanceOf(InvalidTopic)
        expect(empty).toMatchObject({ _tag: "InvalidTopic", topic: "" })
        for (const topic of ["\ud800", "room \udc00", "\udc00\ud800", "a\ud83dz"]) {
          const error = yield* refusal(topic, "alice")
          expect(error).toBeInstanceOf(InvalidTopic)
          expect((error as InvalidTopic).reason).toMatch(/surrogate/)
        }
      })
    )

    check("an empty key, and one with a lone surrogate", () =>
      Effect.gen(function* () {
        const heard = yield* listen("room")
        const empty = yield* refusal("room", "")
        expect(empty).toBeInstanceOf(InvalidKey)
        expect(empty).toMatchObject({ _tag: "InvalidKey", topic: "room", key: "" })
        for (const key of ["\ud800", "alice \udc00", "a\ud83dz"]) {
          const error = yield* refusal("room", key)
          expect(error).toBeInstanceOf(InvalidKey)
          expect(error).toMatchObject({ topic: "room" })
          expect((error as InvalidKey).reason).toMatch(/surrogate/)
        }
        expect(yield* heard).toEqual([])
      })
    )

    check("a topic or key that is no string, from callers without types", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const track = presence.track as unknown as (
          topic: unknown,
          key: unknown
        ) => Effect.Effect<unknown, TrackError, never>
        for (const name of [undefined, null, 1, {}, ["room"], Symbol("s")]) {
          expect(yield* Effect.flip(track(name, "alice"))).toBeInstanceOf(InvalidTopic)
          expect(yield* Effect.flip(track("room", name))).toBeInstanceOf(InvalidKey)
        }
        expect(yield* presence.topics).toEqual([])
      })
    )

    for (const [name, meta, path] of notJson) {
      check(`a meta that is not JSON: ${name}`, () =>
        Effect.gen(function* () {
          const heard = yield* listen("room")
          const error = yield* refusal("room", "alice", meta())
          expect(error).toBeInstanceOf(InvalidMeta)
          expect(error).toMatchObject({ _tag: "InvalidMeta", topic: "room", key: "alice" })
          // A method may be blamed at its own place.
          expect((error as InvalidMeta).path.replace(/\.toJSON$/, "")).toBe(path)
          expect((error as InvalidMeta).reason).toMatch(
            /, which JSON cannot say$|, not a plain object or array$|^contains itself$/
          )
          expect(error.message).toContain(path)
          expect(yield* heard).toEqual([])
        })
      )
    }

    check("a meta whose getter throws is refused at the getter's place", () =>
      Effect.gen(function* () {
        const error = yield* refusal("room", "alice", {
          a: [
            {
              get b() {
                throw new Error("broken")
              }
            }
          ]
        })
        expect(error).toMatchObject({ _tag: "InvalidMeta", path: "$.a[0].b" })
      })
    )

    check("a meta that no name can be read of is refused at its own place", () =>
      Effect.gen(function* () {
        const nameless = new Proxy(
          {},
          {
            ownKeys: () => {
              throw new Error("no names")
            }
          }
        )
        expect(yield* refusal("room", "alice", nameless)).toMatchObject({ _tag: "InvalidMeta", path: "$" })
        expect(yield* refusal("room", "alice", [1, nameless])).toMatchObject({ _tag: "InvalidMeta", path: "$[1]" })
        const list = [0]
        Object.defineProperty(list, 1, {
          get: () => {
            throw new Error("broken")
          }
        })
        expect(yield* refusal("room", "alice", list)).toMatchObject({ _tag: "InvalidMeta", path: "$[1]" })
      })
    )

    check("a proxy that throws on everything", () =>
      Effect.gen(function* () {
        const trap = () => {
          throw new Error("trap")
        }
        const handler = new Proxy({}, { get: () => trap })
        expect(yield* refusal("room", "alice", new Proxy({}, handler))).toBeInstanceOf(InvalidMeta)
        expect(yield* refusal("room", "alice", { a: new Proxy([], handler) })).toMatchObject({
          _tag: "InvalidMeta",
          path: "$.a"
        })
        const { proxy, revoke } = Proxy.revocable({}, {})
        revoke()
        expect(yield* refusal("room", "alice", { a: proxy })).toBeInstanceOf(InvalidMeta)
      })
    )

    check("a topic over topicBytes, counted in UTF-8", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("x".repeat(255), "alice")
        yield* presence.track("é".repeat(127), "alice")
        yield* presence.track("😀".repeat(63), "alice")
        for (const [topic, actual] of [
          ["x".repeat(256), 256],
          ["é".repeat(128), 256],
          ["~".repeat(128).padStart(256, "a"), 256],
          ["😀".repeat(64), 256],
          ["\uffff".repeat(86), 258]
        ] as const) {
          const error = yield* refusal(topic, "alice")
          expect(error).toBeInstanceOf(LimitExceeded)
          expect(error).toMatchObject({ _tag: "LimitExceeded", limit: "topicBytes", max: 255, actual })
          expectShort((error as LimitExceeded).value, topic)
        }
      })
    )

    check("a key over keyBytes, counted in UTF-8", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "x".repeat(255))
        const error = yield* refusal("room", "😀".repeat(64))
        expect(error).toMatchObject({ _tag: "LimitExceeded", limit: "keyBytes", max: 255, actual: 256 })
        expectShort((error as LimitExceeded).value, "😀".repeat(64))
      })
    )

    check("counting stops at the limit, however long the name", () =>
      Effect.gen(function* () {
        const error = yield* refusal("room", "y".repeat(10_000_000))
        expect(error).toMatchObject({ limit: "keyBytes", max: 255, actual: 256 })
        expectShort((error as LimitExceeded).value, "y".repeat(100))
        expect(error.message.length).toBeLessThan(300)
        const both = yield* refusal("room", "")
        expect(both.message.length).toBeLessThan(300)
      })
    )

    check("a meta over metaBytes, counted as JSON in UTF-8", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        const fits: ReadonlyArray<unknown> = [
          "x".repeat(16_382),
          "é".repeat(8_191),
          "\n".repeat(8_191),
          { a: "x".repeat(16_376) },
          Array.from({ length: 8_191 }, () => 1),
          "\u0001".repeat(2_730),
          "\ud800".repeat(2_730)
        ]
        for (const meta of fits) {
          const size = Buffer.byteLength(JSON.stringify(meta))
          expect(size).toBeLessThanOrEqual(16_384)
          expect(size).toBeGreaterThan(16_380)
          yield* presence.track("fits", "alice", meta)
        }
        for (const meta of [
          "x".repeat(16_383),
          "é".repeat(8_192),
          "\n".repeat(8_192),
          { a: "x".repeat(16_377) },
          Array.from({ length: 8_192 }, () => 1),
          "\u0001".repeat(2_731),
          "\ud800".repeat(2_731),
          "😀".repeat(4_096),
          { ["k".repeat(20_000)]: 1 },
          Array.from({ length: 1_000_000 }, () => ({ a: 1 }))
        ]) {
          const error = yield* refusal("room", "alice", meta)
          expect(error).toBeInstanceOf(LimitExceeded)
          expect(error).toMatchObject({ _tag: "LimitExceeded", limit: "metaBytes", max: 16_384 })
          const { actual, value } = error as LimitExceeded
          expect(actual).toBeGreaterThan(16_384)
          expect(actual).toBeLessThanOrEqual(Buffer.byteLength(JSON.stringify(meta)))
          expect(value.length).toBeLessThan(100)
        }
      })
    )

    check("a meta deeper than metaDepth", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("fits", "alice", nested(64))
        for (const meta of [nested(65), nested(100_000)]) {
          const error = yield* refusal("room", "alice", meta)
          expect(error).toBeInstanceOf(LimitExceeded)
          expect(error).toMatchObject({ _tag: "LimitExceeded", limit: "metaDepth", max: 64, actual: 65 })
          expect((error as LimitExceeded).value).toMatch(/^\$(\[0\])+/)
          expect((error as LimitExceeded).value.length).toBeLessThan(100)
        }
      })
    )

    check(
      "a connection over connectionsPerKey",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const heard = yield* listen("room")
          const first = yield* presence.track("room", "alice")
          yield* presence.track("room", "alice")
          expect(yield* refusal("room", "alice")).toEqual(
            new LimitExceeded({ limit: "connectionsPerKey", max: 2, actual: 3, value: "alice" })
          )
          expect(yield* heard).toHaveLength(2)
          yield* presence.track("room", "bob")
          yield* presence.track("lobby", "alice")
          yield* first.release
          yield* presence.track("room", "alice")
        }),
      { limits: { connectionsPerKey: 2 } }
    )

    check(
      "a key over keysPerTopic",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          // `listen` needs a key of its own, so what is told is read from the channel's side here.
          const alice = yield* presence.track("room", "alice")
          yield* presence.track("room", "bob")
          const { version } = yield* presence.snapshot("room")
          expect(yield* refusal("room", "carol")).toEqual(
            new LimitExceeded({ limit: "keysPerTopic", max: 2, actual: 3, value: "room" })
          )
          expect((yield* presence.snapshot("room")).version).toBe(version)
          yield* presence.track("room", "alice")
          yield* presence.track("lobby", "carol")
          yield* presence.evict("room", alice.key)
          yield* presence.track("room", "carol")
        }),
      { limits: { keysPerTopic: 2 } }
    )

    check(
      "a meta, or an update, over metaTotal",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          const lease = yield* presence.track("room", "alice", "x".repeat(476))
          const over = new LimitExceeded({ limit: "metaTotal", max: 1_000, actual: 1_001, value: "bob" })
          expect(yield* refusal("lobby", "bob", "x".repeat(477))).toEqual(over)
          yield* presence.track("lobby", "bob", "x".repeat(476))
          expect(yield* Effect.flip(lease.update("x".repeat(477)))).toMatchObject({
            limit: "metaTotal",
            value: "alice"
          })
          expect(yield* lease.update("small")).toBe("updated")
          yield* presence.track("lobby", "carol", "x".repeat(400))
        }),
      { limits: { metaTotal: 1_000 } }
    )

    check(
      "a first key, where no key is allowed",
      () =>
        Effect.gen(function* () {
          expect(yield* refusal("room", "alice")).toEqual(
            new LimitExceeded({ limit: "keysPerTopic", max: 0, actual: 1, value: "room" })
          )
        }),
      { limits: { keysPerTopic: 0 } }
    )

    check(
      "a first connection of a key, where none is allowed",
      () =>
        Effect.gen(function* () {
          expect(yield* refusal("room", "alice")).toEqual(
            new LimitExceeded({ limit: "connectionsPerKey", max: 0, actual: 1, value: "alice" })
          )
        }),
      { limits: { connectionsPerKey: 0 } }
    )

    check(
      "each limit may be raised",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          yield* presence.track("t".repeat(1_000), "alice")
          yield* presence.track("room", "k".repeat(1_000))
          yield* presence.track("room", "alice", "m".repeat(99_998))
          yield* presence.track("room", "alice", nested(200))
          yield* Effect.forEach(Array.from({ length: 1_001 }), () => presence.track("crowd", "alice"))
          expect(yield* presence.count("crowd")).toEqual({ keys: 1, connections: 1_001 })
          for (const [error, limit, max] of [
            [yield* refusal("t".repeat(1_001), "alice"), "topicBytes", 1_000],
            [yield* refusal("room", "k".repeat(1_001)), "keyBytes", 1_000],
            [yield* refusal("room", "alice", "m".repeat(99_999)), "metaBytes", 100_000],
            [yield* refusal("room", "alice", nested(201)), "metaDepth", 200],
            [yield* refusal("crowd", "alice"), "connectionsPerKey", 1_001]
          ] as const) {
            expect(error).toMatchObject({ _tag: "LimitExceeded", limit, max, actual: max + 1 })
          }
        }),
      { limits: { topicBytes: 1_000, keyBytes: 1_000, metaBytes: 100_000, metaDepth: 200, connectionsPerKey: 1_001 } }
    )

    check(
      "a meta deeper than 1,000, whatever metaDepth allows",
      () =>
        Effect.gen(function* () {
          const presence = yield* Presence
          expect(presence.limits.metaDepth).toBe(1_000)
          yield* presence.track("fits", "alice", nested(1_000))
          expect(yield* refusal("room", "alice", nested(1_001))).toMatchObject({
            _tag: "LimitExceeded",
            limit: "metaDepth",
            max: 1_000,
            actual: 1_001
          })
        }),
      { limits: { metaDepth: 100_000 } }
    )

    check("a ttl of none or less, and durations that are none at all", () =>
      Effect.gen(function* () {
        const heard = yield* listen("room")
        const wrong: ReadonlyArray<readonly [options: object, option: string, value: string]> = [
          [{ ttl: 0 }, "ttl", "0"],
          [{ ttl: Duration.zero }, "ttl", "0"],
          [{ ttl: "0 seconds" }, "ttl", '"0 seconds"'],
          [{ ttl: -1 }, "ttl", "-1"],
          [{ ttl: "-5 seconds" }, "ttl", '"-5 seconds"'],
          [{ ttl: Number.NaN }, "ttl", "NaN"],
          [{ ttl: -5n }, "ttl", "-5"],
          [{ ttl: "soon" }, "ttl", '"soon"'],
          [{ ttl: null }, "ttl", "null"],
          [{ leaveDelay: -1 }, "leaveDelay", "-1"],
          [{ leaveDelay: "-1 millis" }, "leaveDelay", '"-1 millis"'],
          [{ leaveDelay: Number.NaN }, "leaveDelay", "NaN"],
          [{ ttl: "1 second", leaveDelay: {} }, "leaveDelay", "an object"],
          [{ leaveDelay: null }, "leaveDelay", "null"]
        ]
        for (const [options, option, value] of wrong) {
          const error = yield* refusal("room", "alice", {}, options)
          expect(error).toBeInstanceOf(InvalidOption)
          expect(error).toMatchObject({ _tag: "InvalidOption", option, value })
          expect(error.message).toMatch(new RegExp(`^the option ${option} is .*, but must be a duration`))
        }
        const misspelt = yield* refusal("room", "alice", {}, { ttl: "1 second", leavedelay: "5 seconds" })
        expect(misspelt.message).toBe(
          'the option leavedelay is "5 seconds", but must be left out: there are ttl, leaveDelay'
        )
        for (const [options, value] of [
          [null, "null"],
          ["1 second", '"1 second"'],
          [[], "a list"]
        ] as const) {
          const error = yield* refusal("room", "alice", {}, options as object)
          expect(error).toMatchObject({ _tag: "InvalidOption", option: "options", value, allowed: "an object" })
        }
        expect(yield* heard).toEqual([])
        const presence = yield* Presence
        yield* presence.track("room", "alice", {}, { ttl: Duration.infinity, leaveDelay: 0 })
        yield* presence.track("room", "alice", {}, { ttl: 3_600_000, leaveDelay: Duration.infinity })
        yield* presence.track("room", "alice", {}, { ttl: undefined, leaveDelay: undefined })
        // More nanoseconds than there are numbers: for ever.
        yield* presence.track("room", "alice", {}, { ttl: Number.MAX_VALUE, leaveDelay: Number.MAX_VALUE })
        yield* presence.track("room", "alice", {}, { ttl: Duration.millis(1e303) })
        // Of no class in particular, and the same for two.
        const own = Object.assign(new (class Terms {})(), { ttl: "1 minute", other: undefined } as const)
        yield* presence.track("room", "alice", {}, Object.freeze(own))
        yield* presence.track("room", "alice", {}, own)
        const inherited = Object.create({ ttl: "1 minute", of: "a class" }) as { readonly ttl: Duration.DurationInput }
        yield* presence.track("room", "alice", {}, inherited)
        expect((yield* presence.count("room")).connections).toBe(8)
      })
    )

    test("a layer whose options make no sense, with the option and the value", () =>
      Effect.gen(function* () {
        const wrong: ReadonlyArray<readonly [options: object, option: string]> = [
          [{ ttl: 0 }, "ttl"],
          [{ ttl: "-1 second" }, "ttl"],
          [{ sweepInterval: 0 }, "sweepInterval"],
          [{ sweepInterval: Number.NaN }, "sweepInterval"],
          [{ bufferSize: 0 }, "bufferSize"],
          [{ bufferSize: 2.5 }, "bufferSize"],
          [{ bufferSize: "many" }, "bufferSize"],
          [{ keyIndex: "yes" }, "keyIndex"],
          [{ capacity: "many" }, "capacity"],
          [{ capacity: null }, "capacity"],
          [{ capacity: 5n }, "capacity"],
          [{ limits: { metaBytes: -1 } }, "limits.metaBytes"],
          [{ limits: { keysPerTopic: Number.NaN } }, "limits.keysPerTopic"],
          [{ limits: { keyByte: 3 } }, "limits.keyByte"],
          [{ limits: null }, "limits"],
          [{ tll: "1 minute" }, "tll"],
          [{ patience: "1 second" }, "patience"],
          [{ authorize: () => {} }, "authorize"]
        ]
        for (const [options, option] of wrong) {
          const cause = yield* Effect.flip(Effect.sandbox(Effect.scoped(Layer.build(layer(options)))))
          expect(Cause.squash(cause)).toMatchObject({ _tag: "InvalidOption", option })
        }
      }))

    check("where changes are to begin, if that is no place or has another name", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        for (const [options, option] of [
          [{ from: { epoch: "e", version: 1 } }, "from"],
          [null, "options"],
          [{ since: "e" }, "since"],
          [{ since: null }, "since"]
        ] as const) {
          const exit = yield* Effect.exit(Stream.runHead(presence.changes("room", options as never)))
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ _tag: "InvalidOption", option })
        }
        expect(yield* Stream.runHead(presence.changes("room", { since: undefined }))).toMatchObject({ _tag: "Some" })
      })
    )

    test("the default of connectionsPerKey is 1,000", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* Effect.forEach(Array.from({ length: 1_000 }), () => presence.track("room", "alice"))
        expect(yield* Effect.flip(presence.track("room", "alice"))).toEqual(
          new LimitExceeded({ limit: "connectionsPerKey", max: 1_000, actual: 1_001, value: "alice" })
        )
      }).pipe(Effect.scoped, Effect.provide(layer())))

    check("reads never fail for a name: an unusable topic is an empty one", () =>
      Effect.gen(function* () {
        const presence = yield* Presence
        yield* presence.track("room", "alice")
        for (const name of ["", "\ud800", "x".repeat(256), "y".repeat(100_000)]) {
          expect(yield* presence.list(name)).toEqual([])
          expect(yield* presence.get(name, "alice")).toEqual(Option.none())
          expect(yield* presence.get("room", name)).toEqual(Option.none())
          expect(yield* presence.count(name)).toEqual({ keys: 0, connections: 0 })
          expect((yield* presence.snapshot(name)).connections).toEqual([])
          expect(yield* presence.evict(name, "alice")).toBe(0)
          expect(yield* presence.evict("room", name)).toBe(0)
        }
        expect(yield* presence.topics).toEqual(["room"])
      })
    )
  })
