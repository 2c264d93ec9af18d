/**
 * Events, entries and changes as JSON: their exact texts, and that encoding then decoding is the identity.
 */
import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Effect, FastCheck, Schema } from "effect"
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

  it.effect("they are caught by their tags", () =>
    Effect.gen(function* () {
      const caught = yield* Effect.fail(new Lagged({ topic: "room", missed: 3 })).pipe(
        Effect.catchTag("Lagged", ({ missed }) => Effect.succeed(missed))
      )
      expect(caught).toBe(3)
    })
  )
})
