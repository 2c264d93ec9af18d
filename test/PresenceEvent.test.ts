/**
 * Events, entries and changes as JSON: their exact texts, and that encoding then decoding is the identity.
 */
import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Effect, Either, FastCheck, ParseResult, Schema } from "effect"
import {
  InvalidMeta,
  InvalidTopic,
  Json,
  Lagged,
  LimitExceeded,
  PresenceChange,
  PresenceEntry,
  PresenceEvent,
  PresenceHealth,
  PresenceUnavailable,
  TrackError,
  Unauthorized
} from "../src/index.js"
import { seedOf } from "./support/seed.js"

const text = <A, I>(schema: Schema.Schema<A, I>) => Schema.encodeSync(Schema.parseJson(schema))

describe("events are exactly these texts", () => {
  const event = text(PresenceEvent)

  it("a join", () => {
    expect(event({ type: "join", key: "alice", meta: { role: "viewer" } })).toBe(
      '{"type":"join","key":"alice","meta":{"role":"viewer"}}'
    )
  })

  it("a leave", () => {
    expect(event({ type: "leave", key: "alice" })).toBe('{"type":"leave","key":"alice"}')
  })

  it("an update", () => {
    expect(event({ type: "update", key: "alice", meta: { role: "editor" } })).toBe(
      '{"type":"update","key":"alice","meta":{"role":"editor"}}'
    )
  })

  it("an entry", () => {
    expect(text(PresenceEntry)({ key: "alice", metas: [{ role: "viewer" }, null] })).toBe(
      '{"key":"alice","metas":[{"role":"viewer"},null]}'
    )
  })

  it("a snapshot", () => {
    expect(
      text(PresenceChange)({
        _tag: "Snapshot",
        topic: "room:1",
        epoch: "e",
        version: 3,
        connections: [{ key: "alice", ref: "r", meta: 1 }]
      })
    ).toBe(
      '{"_tag":"Snapshot","topic":"room:1","epoch":"e","version":3,"connections":[{"key":"alice","ref":"r","meta":1}]}'
    )
  })

  it("a diff", () => {
    expect(
      text(PresenceChange)({
        _tag: "Diff",
        topic: "room:1",
        epoch: "e",
        from: 3,
        version: 6,
        joins: [{ key: "a", ref: "1", meta: {} }],
        leaves: [{ key: "b", ref: "2", meta: {}, reason: "replicaLost" }],
        updates: [{ key: "c", ref: "4", previousRef: "3", meta: [] }]
      })
    ).toBe(
      '{"_tag":"Diff","topic":"room:1","epoch":"e","from":3,"version":6,"joins":[{"key":"a","ref":"1","meta":{}}],' +
        '"leaves":[{"key":"b","ref":"2","meta":{},"reason":"replicaLost"}],' +
        '"updates":[{"key":"c","ref":"4","previousRef":"3","meta":[]}]}'
    )
  })
})

describe("encoding then decoding is the identity", () => {
  const runs = 300

  const roundTrips = <A, I>(name: string, schema: Schema.Schema<A, I>) =>
    it(name, () => {
      const encode = text(schema)
      const decode = Schema.decodeSync(Schema.parseJson(schema))
      FastCheck.assert(
        FastCheck.property(Arbitrary.make(schema), (value) => {
          const encoded = encode(value)
          const decoded = decode(encoded)
          // As JSON says it: it knows no minus zero.
          expect(decoded).toEqual(JSON.parse(JSON.stringify(value)))
          expect(encode(decoded)).toBe(encoded)
        }),
        { seed: seedOf(name, runs), numRuns: runs }
      )
    })

  roundTrips("of an event", PresenceEvent)
  roundTrips("of an entry", PresenceEntry)
  roundTrips("of a change", PresenceChange)
  roundTrips("of a health", PresenceHealth)

  const ofDates = Schema.Struct({
    at: Schema.DateFromString.pipe(Schema.validDate()),
    tags: Schema.Array(Schema.String)
  })

  /** The same as the untyped schema says it of the encoded metas, so a reader of either kind reads what the other wrote. */
  const roundTripsTyped = <A, I, B>(name: string, schema: Schema.Schema<A, I>, untyped: Schema.Schema<B>) =>
    it(name, () => {
      const encode = text(schema)
      const decode = Schema.decodeSync(Schema.parseJson(schema))
      FastCheck.assert(
        FastCheck.property(Arbitrary.make(schema), (value) => {
          const encoded = encode(value)
          expect(decode(encoded)).toEqual(value)
          expect(text(untyped)(Schema.decodeSync(Schema.parseJson(untyped))(encoded))).toBe(encoded)
        }),
        { seed: seedOf(name, runs), numRuns: runs }
      )
    })

  roundTripsTyped("of an event with typed metas", PresenceEvent.schema(ofDates), PresenceEvent)
  roundTripsTyped("of an entry with typed metas", PresenceEntry.schema(ofDates), PresenceEntry)
  roundTripsTyped("of a change with typed metas", PresenceChange.schema(ofDates), PresenceChange)

  it("of what track may fail with", () => {
    const schema = Schema.parseJson(TrackError)
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(TrackError), (error) => {
        const encoded = Schema.encodeSync(schema)(error)
        const decoded = Schema.decodeSync(schema)(encoded)
        expect(decoded).toBeInstanceOf(error.constructor)
        expect(decoded.message).toBe(error.message)
        expect(Schema.encodeSync(schema)(decoded)).toBe(encoded)
      }),
      { seed: seedOf("of what track may fail with", runs), numRuns: runs }
    )
  })

  it("of names and metas with __proto__, lone surrogates and everything else", () => {
    const metas = ['{"__proto__":{"a":1},"constructor":{"__proto__":null}}', '"\\ud800"', "[[[]]]", "-1.5e-300", "null"]
    for (const meta of metas) {
      const source = `{"type":"join","key":"__proto__","meta":${meta}}`
      const event = Schema.decodeSync(Schema.parseJson(PresenceEvent))(source)
      expect(text(PresenceEvent)(event)).toBe(source)
    }
  })
})

describe("what is no event is refused", () => {
  const decode = Schema.decodeUnknownEither(PresenceEvent)
  const wrong: ReadonlyArray<readonly [name: string, value: unknown]> = [
    ["another type", { type: "wave", key: "alice" }],
    ["no key", { type: "leave" }],
    ["a key that is no string", { type: "leave", key: 1 }],
    ["a join without a meta", { type: "join", key: "alice" }],
    ["a meta that is no JSON", { type: "join", key: "alice", meta: { at: new Date(0) } }],
    ["nothing", null]
  ]
  for (const [name, value] of wrong) {
    it(name, () => {
      expect(decode(value)._tag).toBe("Left")
    })
  }
})

describe("typed metas", () => {
  const Cursor = Schema.Struct({ x: Schema.Number, at: Schema.DateFromString })
  const listed = { key: "alice", metas: [{ x: 1, at: "1970-01-01T00:00:00.000Z" }] }

  it("are decoded from the same JSON", () => {
    const entry = Schema.decodeUnknownSync(PresenceEntry.schema(Cursor))(listed)
    expect(entry).toEqual({ key: "alice", metas: [{ x: 1, at: new Date(0) }] })
    expect(Schema.encodeSync(PresenceEntry.schema(Cursor))(entry)).toEqual(listed)
  })

  const refused: ReadonlyArray<
    readonly [name: string, schema: Schema.Schema.AnyNoContext, value: unknown, where: string]
  > = [
    ["an entry", PresenceEntry.schema(Cursor), { key: "alice", metas: [{ x: 1 }] }, "metas.0.at"],
    ["an event", PresenceEvent.schema(Cursor), { type: "update", key: "alice", meta: null }, "meta"],
    [
      "a change",
      PresenceChange.schema(Cursor),
      {
        _tag: "Snapshot",
        topic: "t",
        epoch: "e",
        version: 1,
        connections: [{ key: "alice", ref: "r", meta: { x: "1" } }]
      },
      "connections.0.meta.x"
    ]
  ]
  for (const [name, schema, value, where] of refused) {
    it(`that do not decode fail ${name}, and the place is named`, () => {
      const refusal = Either.flip(Schema.decodeUnknownEither(schema)(value))
      const paths = ParseResult.ArrayFormatter.formatErrorSync(Either.getOrThrow(refusal)).map(({ path }) =>
        path.join(".")
      )
      expect(paths).toContain(where)
    })
  }

  it("of names such as __proto__ survive", () => {
    const source = '{"type":"join","key":"a","meta":{"__proto__":{"a":1}}}'
    const schema = Schema.parseJson(PresenceEvent.schema(Json))
    expect(Schema.encodeSync(schema)(Schema.decodeSync(schema)(source))).toBe(source)
  })

  it("that encode to what is no JSON are refused where they are encoded", () => {
    const entry = PresenceEntry.schema(Schema.Struct({ at: Schema.DateFromSelf }))
    expect(Schema.encodeEither(entry)({ key: "alice", metas: [{ at: new Date(0) }] })).toMatchObject({ _tag: "Left" })
    const optional = PresenceEvent.schema(Schema.Struct({ name: Schema.optional(Schema.String) }))
    expect(Schema.encodeEither(optional)({ type: "join", key: "a", meta: { name: undefined } })._tag).toBe("Left")
    expect(Schema.encodeSync(optional)({ type: "join", key: "a", meta: {} })).toEqual({
      type: "join",
      key: "a",
      meta: {}
    })
  })
})

describe("Json", () => {
  const isJson = Schema.is(Json)

  it("is any JSON value", () => {
    for (const value of [null, true, 0, "", [], {}, [{ a: [null] }]]) expect(isJson(value)).toBe(true)
  })

  it("is nothing else", () => {
    for (const value of [undefined, 1n, Number.NaN, () => 1, new Map(), { a: undefined }, Symbol("s"), new Date(0)]) {
      expect(isJson(value)).toBe(false)
    }
  })
})

describe("errors can be read at 3 at night", () => {
  it("each names the thing and what was allowed", () => {
    const errors = [
      new InvalidTopic({ topic: "", reason: "is empty" }),
      new InvalidMeta({ topic: "room", key: "alice", path: "$.at[0]", reason: "is a bigint" }),
      new LimitExceeded({ limit: "metaDepth", max: 64, actual: 65, value: "$[0]" }),
      new Lagged({ topic: "room", missed: 3 }),
      new PresenceUnavailable({ reason: "redis://localhost:6379 did not answer within 5 seconds" })
    ]
    for (const error of errors) {
      const { _tag, ...fields }: Record<string, unknown> = { ...error }
      expect(_tag).toBe(error._tag)
      for (const value of Object.values(fields)) {
        if (typeof value === "string" || typeof value === "number") expect(error.message).toContain(String(value))
      }
    }
    expect(new Unauthorized({ reason: "no token" })).toMatchObject({ status: 403, message: "no token" })
  })

  it("what is none of them is refused by the schema of what track may fail with", () => {
    for (const wrong of [
      { _tag: "Lagged", topic: "room", missed: 3 },
      { _tag: "InvalidTopic", topic: 1 },
      "InvalidTopic",
      null
    ]) {
      expect(Schema.decodeUnknownEither(TrackError)(wrong)._tag).toBe("Left")
    }
  })

  it.effect("they are caught by their tags", () =>
    Effect.gen(function* () {
      const caught = yield* Effect.fail(new Lagged({ topic: "room", missed: 3 })).pipe(
        Effect.catchTag("Lagged", ({ missed }) => Effect.succeed(missed))
      )
      expect(caught).toBe(3)
    })
  )
})
