import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import {
  type ClientMessage,
  decode,
  encodeBroadcast,
  encodeReply,
  encodeText,
  encodeUserBroadcast,
  isDeeper,
  parseVersion,
  type Ref
} from "../../../src/socket/protocol/codec.js"
import { phoenixSerializer, supabaseSerializer } from "../support/serializers.js"

const json = fc.jsonValue({ maxDepth: 4 })
const payload = fc.dictionary(fc.string(), json, { maxKeys: 5 })
const ref: fc.Arbitrary<Ref> = fc.oneof(fc.string(), fc.nat(), fc.constant(null))
const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 })
const bytes = fc.uint8Array({ maxLength: 100 })
const message = fc.record({ joinRef: ref, ref, topic: fc.string(), event: fc.string(), payload })

const buffer = (data: Uint8Array): ArrayBuffer => new Uint8Array(data).buffer
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("versions", () => {
  it("a missing vsn is 1.0.0, 2.x is 2, any other is refused", () => {
    expect(parseVersion(undefined)).toBe(1)
    expect(parseVersion(null)).toBe(1)
    expect(parseVersion("1.0.0")).toBe(1)
    expect(parseVersion("2.0.0")).toBe(2)
    expect(parseVersion("2.10.34")).toBe(2)
    for (const vsn of ["", "3.0.0", "1.1.0", "2", "20.0.0", "12.0.0", "2.0.0x", "2.x.0", "2.0.x"])
      expect(parseVersion(vsn)).toBeUndefined()
  })
})

describe("text", () => {
  it("what a version 2 client writes is read, and what is written a version 2 client reads", () => {
    fc.assert(
      fc.property(message, (m) => {
        const text = phoenixSerializer.encode({ ...m, join_ref: m.joinRef })
        expect(decode(2, String(text))).toEqual({ _tag: "Message", message: plain(m) })
        const written = encodeText(2, { ...m, payload: JSON.stringify(m.payload) })
        const { join_ref, ...rest } = phoenixSerializer.decode(written)
        expect({ joinRef: join_ref, ...rest }).toEqual(plain(m))
      })
    )
  })

  it("version 1 sends objects, in which refs may be missing", () => {
    fc.assert(
      fc.property(message, (m) => {
        const { joinRef, ...rest } = m
        expect(decode(1, JSON.stringify({ ...rest, join_ref: joinRef }))).toEqual({
          _tag: "Message",
          message: plain(m)
        })
        const written = JSON.parse(encodeText(1, { ...m, payload: JSON.stringify(m.payload) }))
        expect(written).toEqual(plain({ ...rest, join_ref: joinRef }))
      })
    )
    expect(decode(1, `{"topic":"t","event":"e","payload":{}}`)).toEqual({
      _tag: "Message",
      message: { joinRef: null, ref: null, topic: "t", event: "e", payload: {} }
    })
  })

  it.each([
    ["malformed JSON", 2, "[1,", "no JSON"],
    ["nothing", 2, "", "no JSON"],
    ["an object in version 2", 2, `{"topic":"t","event":"e","payload":{}}`, "no list of five"],
    ["an object that has five", 2, `{"length":5}`, "no list of five"],
    ["a list of four", 2, `["1","1","t","e"]`, "no list of five"],
    ["a list of six", 2, `["1","1","t","e",{},{}]`, "no list of five"],
    ["a list in version 1", 1, `["1","1","t","e",{}]`, "no object"],
    ["null in version 1", 1, "null", "no object"],
    ["a text in version 1", 1, `"text"`, "no object"],
    ["a topic that is no string", 2, `["1","1",5,"e",{}]`, "topic is no string"],
    ["an event that is no string", 2, `["1","1","t",null,{}]`, "event is no string"],
    ["an event that is missing", 1, `{"topic":"t","payload":{}}`, "event is no string"],
    ["a ref that is a list", 2, `["1",[],"t","e",{}]`, "a ref is neither string, number nor null"],
    ["a join_ref that is an object", 2, `[{},"1","t","e",{}]`, "a ref is neither string, number nor null"],
    ["a ref that is a boolean", 2, `["1",true,"t","e",{}]`, "a ref is neither string, number nor null"]
  ] as const)("%s is malformed, with the reason", (_, version, text, reason) => {
    expect(decode(version, text)).toEqual({ _tag: "Malformed", reason })
  })

  it("a payload may be any JSON, and a key like __proto__ survives", () => {
    const decoded = decode(2, `[null,"1","t","e",{"__proto__":{"a":1}}]`)
    expect(decoded._tag === "Message" && JSON.stringify(decoded.message.payload)).toBe(`{"__proto__":{"a":1}}`)
    expect(decode(2, `[null,"1","t","e",null]`)._tag).toBe("Message")
  })
})

describe("binary", () => {
  it("reads the vector of the protocol", () => {
    expect(decode(2, Uint8Array.of(0, 1, 1, 1, 1, 0x30, 0x31, 0x74, 0x65, 1))).toEqual({
      _tag: "Message",
      message: { joinRef: "0", ref: "1", topic: "t", event: "e", payload: Uint8Array.of(1) }
    })
  })

  it("refs that are empty are none", () => {
    const none = { joinRef: null, ref: null, topic: "t" }
    expect(decode(2, Uint8Array.of(0, 0, 0, 1, 1, 0x74, 0x65))).toEqual({
      _tag: "Message",
      message: { ...none, event: "e", payload: new Uint8Array() }
    })
    expect(decode(2, Uint8Array.of(3, 0, 0, 1, 1, 0, 0, 0x74, 0x65))).toEqual({
      _tag: "Message",
      message: { ...none, event: "broadcast", inner: "e", payload: new Uint8Array() }
    })
    const reply = encodeReply(null, null, "t", "ok", Uint8Array.of(9))
    expect(reply).toEqual(Uint8Array.of(1, 0, 0, 1, 2, 0x74, 0x6f, 0x6b, 9))
  })

  it("names are what was sent, to the byte: a mark of byte order at the beginning is part of them", () => {
    const topic = "\ufefft"
    const frame = Uint8Array.of(0, 0, 0, 4, 0, ...new TextEncoder().encode(topic))
    expect(decode(2, frame)).toMatchObject({ message: { topic } })
  })

  it("what Phoenix's client writes is read", () => {
    fc.assert(
      fc.property(name, name, name, name, bytes, (join_ref, ref, topic, event, data) => {
        const frame = phoenixSerializer.encode({ join_ref, ref, topic, event, payload: buffer(data) })
        expect(decode(2, new Uint8Array(frame as ArrayBuffer))).toEqual({
          _tag: "Message",
          message: { joinRef: join_ref, ref, topic, event, payload: data }
        })
      })
    )
  })

  it("what is written Phoenix's client reads: broadcasts and replies", () => {
    fc.assert(
      fc.property(name, name, name, bytes, (topic, event, ref, data) => {
        const broadcast = phoenixSerializer.decode(buffer(encodeBroadcast(topic, event, data) ?? new Uint8Array()))
        expect({ ...broadcast, payload: new Uint8Array(broadcast.payload as ArrayBuffer) }).toEqual({
          join_ref: null,
          ref: null,
          topic,
          event,
          payload: data
        })
        const reply = phoenixSerializer.decode(buffer(encodeReply(ref, 7, topic, "ok", data) ?? new Uint8Array()))
        expect(reply).toMatchObject({ join_ref: ref, ref: "7", topic, event: "phx_reply", payload: { status: "ok" } })
        expect(new Uint8Array((reply.payload as { response: ArrayBuffer }).response)).toEqual(data)
      })
    )
  })

  it("what Supabase's client writes is read: kind 3 with JSON and with bytes", () => {
    fc.assert(
      fc.property(name, name, name, name, payload, bytes, (join_ref, ref, topic, event, body, data) => {
        const push = { join_ref, ref, topic, event: "broadcast" }
        const text = supabaseSerializer.encode({ ...push, payload: { type: "broadcast", event, payload: body } })
        expect(decode(2, new Uint8Array(text as ArrayBuffer))).toEqual({
          _tag: "Message",
          message: {
            joinRef: join_ref,
            ref,
            topic,
            event: "broadcast",
            payload: { type: "broadcast", event, payload: plain(body) }
          }
        })
        const binary = supabaseSerializer.encode({
          ...push,
          payload: { type: "broadcast", event, payload: buffer(data), persist: true }
        })
        expect(decode(2, new Uint8Array(binary as ArrayBuffer))).toEqual({
          _tag: "Message",
          message: { joinRef: join_ref, ref, topic, event: "broadcast", inner: event, payload: data }
        })
      })
    )
  })

  it("what is written Supabase's client reads: kind 4 with bytes", () => {
    fc.assert(
      fc.property(name, name, bytes, (topic, event, data) => {
        const read = supabaseSerializer.decode(buffer(encodeUserBroadcast(topic, event, data) ?? new Uint8Array()))
        expect(read).toMatchObject({ topic, event: "broadcast", payload: { type: "broadcast", event } })
        expect(new Uint8Array((read.payload as { payload: ArrayBuffer }).payload)).toEqual(data)
      })
    )
  })

  it("a name over 255 bytes cannot be said in a binary frame", () => {
    const long = "ä".repeat(128)
    expect(encodeBroadcast(long, "e", Uint8Array.of(1))).toBeUndefined()
    expect(encodeUserBroadcast("t", long, Uint8Array.of(1))).toBeUndefined()
    expect(encodeReply(long, "1", "t", "ok", Uint8Array.of(1))).toBeUndefined()
    expect(encodeBroadcast(`${"ä".repeat(127)}a`, "e", Uint8Array.of(1))).toBeDefined()
  })

  it("a frame that ends early or has an unknown kind is unknown, not malformed", () => {
    const whole = Uint8Array.of(0, 1, 1, 1, 1, 0x30, 0x31, 0x74, 0x65)
    for (let length = 0; length < whole.length; length++) {
      expect(decode(2, whole.subarray(0, length))).toEqual({ _tag: "Unknown" })
    }
    const user = Uint8Array.of(3, 1, 1, 1, 1, 0, 1, 0x30, 0x31, 0x74, 0x65, 0x7b, 0x7d)
    for (let length = 0; length < 11; length++) expect(decode(2, user.subarray(0, length))).toEqual({ _tag: "Unknown" })
    expect(decode(2, user)._tag).toBe("Message")
    for (const kind of [1, 2, 4, 5, 255])
      expect(decode(2, Uint8Array.of(kind, 0, 0, 0, 0))).toEqual({ _tag: "Unknown" })
    expect(decode(2, Uint8Array.of(3, 0, 0, 0, 0, 0, 2))).toEqual({ _tag: "Unknown" })
  })

  it("text in a binary frame is read as text; version 1 has no other use for them", () => {
    const bytes = (text: string) => new TextEncoder().encode(text)
    const object = `{"topic":"t","event":"e","payload":{"ä":1},"ref":"2","join_ref":"1"}`
    const list = `["1","2","t","e",{"ä":1}]`
    const message = { joinRef: "1", ref: "2", topic: "t", event: "e", payload: { ä: 1 } }
    expect(decode(1, bytes(object))).toEqual({ _tag: "Message", message })
    expect(decode(2, bytes(list))).toEqual({ _tag: "Message", message })
    expect(decode(1, Uint8Array.of(0, 1, 1, 1, 1))).toEqual({ _tag: "Malformed", reason: "no JSON" })
    expect(decode(1, Uint8Array.of(0x7b, 255))).toEqual({ _tag: "Malformed", reason: "invalid UTF-8" })
    expect(decode(2, bytes(object))).toEqual({ _tag: "Malformed", reason: "no list of five" })
    expect(decode(2, Uint8Array.of(0x5b, 255))).toEqual({ _tag: "Malformed", reason: "invalid UTF-8" })
  })

  it("names in invalid UTF-8 and a JSON broadcast that is none are malformed", () => {
    const [invalid, none] = ["invalid UTF-8", "no JSON"].map((reason) => ({ _tag: "Malformed", reason }))
    expect(decode(2, Uint8Array.of(0, 0, 0, 1, 0, 0xff))).toEqual(invalid)
    expect(decode(2, Uint8Array.of(3, 0, 0, 1, 0, 0, 1, 0xff))).toEqual(invalid)
    expect(decode(2, Uint8Array.of(3, 0, 0, 0, 0, 0, 1, 0xff))).toEqual(invalid)
    expect(decode(2, Uint8Array.of(3, 0, 0, 0, 0, 0, 1, 0x7b))).toEqual(none)
  })
})

describe("totality", () => {
  it("no text and no bytes make it throw, and a message always has a topic, an event and refs", () => {
    const check = (version: 1 | 2, frame: string | Uint8Array) => {
      const decoded = decode(version, frame)
      if (decoded._tag !== "Message") return
      const m: ClientMessage = decoded.message
      expect(typeof m.topic).toBe("string")
      expect(typeof m.event).toBe("string")
      for (const r of [m.ref, m.joinRef]) expect(r === null || ["string", "number"].includes(typeof r)).toBe(true)
    }
    const version = fc.constantFrom<1 | 2>(1, 2)
    fc.assert(fc.property(version, fc.string({ unit: "binary" }), check))
    fc.assert(fc.property(version, fc.uint8Array({ maxLength: 300 }), check))
    fc.assert(fc.property(version, fc.json(), check))
    fc.assert(
      fc.property(
        version,
        fc.array(json, { minLength: 5, maxLength: 5 }).map((list) => JSON.stringify(list)),
        check
      )
    )
    fc.assert(
      fc.property(fc.constantFrom(0, 3), fc.uint8Array({ max: 8, minLength: 6, maxLength: 40 }), (kind, rest) =>
        check(2, Uint8Array.of(kind, ...rest))
      )
    )
  })

  it("a payload of 100,000 levels is read, and found too deep without going down", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
    const decoded = decode(2, `[null,"1","t","e",{"a":${deep}}]`)
    expect(decoded._tag).toBe("Message")
    expect(decoded._tag === "Message" && isDeeper(decoded.message.payload, 64)).toBe(true)
  })

  it("depth counts lists and objects", () => {
    expect(isDeeper("text", 0)).toBe(false)
    expect(isDeeper(null, 0)).toBe(false)
    expect(isDeeper({}, 0)).toBe(true)
    expect(isDeeper({ a: [{}] }, 3)).toBe(false)
    expect(isDeeper({ a: [{}] }, 2)).toBe(true)
    expect(isDeeper({ a: 1, b: { c: [] } }, 2)).toBe(true)
  })
})
