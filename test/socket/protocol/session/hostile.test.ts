import { describe, expect, it } from "@effect/vitest"
import { error, makeClient, ok } from "../../support/session.js"

describe("what hostile clients get", () => {
  it("a payload that is no object: an error that echoes the topic whole", () => {
    const client = makeClient()
    const topic = "t".repeat(100_000)
    for (const payload of [null, "text", 5, true, [], [{}], undefined]) {
      expect(client.say("1", "2", topic, "phx_join", payload)).toEqual([
        error("1", "2", topic, "payload must be an object")
      ])
    }
    expect(client.say("1", "2", "t", "phx_join", Uint8Array.of(1))).toEqual([
      error("1", "2", "t", "payload must be an object")
    ])
  })

  it("a key that is no string", () => {
    for (const key of [5, null, {}, ["a"], true]) {
      expect(makeClient().say("1", "2", "t", "phx_join", { key })).toEqual([
        error("1", "2", "t", `key is no string but ${typeof key}`)
      ])
      // Supabase's clients say null while they have none.
      if (key === null) continue
      const client = makeClient({ protocol: "supabase" })
      expect(client.say("1", "2", "realtime:t", "phx_join", { config: { presence: { key } } })).toEqual([
        error("1", "2", "realtime:t", `key is no string but ${typeof key}`)
      ])
    }
  })

  it("a key that is empty or too long, at a join and in a push", () => {
    const client = makeClient({ keyBytes: 10 })
    client.say("1", "1", "t", "phx_join", {})
    for (const [key, reason] of [
      ["", "key is empty"],
      ["k".repeat(11), "key has more than 10 bytes"],
      ["a\udc00", "key holds a lone surrogate"]
    ] as const) {
      expect(client.say("1", "2", "u", "phx_join", { key })).toEqual([error("1", "2", "u", reason)])
      expect(client.say("1", "2", "t", "presence", { key })).toEqual([error("1", "2", "t", reason)])
    }
    expect(client.questions).toHaveLength(1)
  })

  it("bytes on a topic not joined, and bytes that speak for the server", () => {
    const client = makeClient()
    const bytes = Uint8Array.of(1)
    expect(client.say("1", "2", "t", "file", bytes)).toEqual([error(null, "2", "t", "unmatched topic")])
    client.say("1", "1", "t", "phx_join", {})
    for (const event of ["presence", "access_token", "system"]) {
      expect(client.say("1", "2", "t", event, bytes)).toEqual([error("1", "2", "t", "payload must be an object")])
    }
    expect(client.say("1", "2", "phoenix", "file", bytes)).toEqual([
      error("1", "2", "phoenix", "payload must be an object")
    ])
    expect(client.channels).toHaveLength(1)
  })

  it("a Supabase config whose parts are none is one without them", () => {
    const nothing = { self: false, ack: false, watches: true, madeUp: true, key: "made" }
    for (const payload of [
      {},
      { config: null },
      { config: { broadcast: null, presence: null } },
      { config: { broadcast: "yes", presence: 5 } },
      { config: { broadcast: { self: "yes", ack: 1 }, presence: { enabled: "no" } } }
    ]) {
      const client = makeClient({ protocol: "supabase" })
      client.say("1", "1", "realtime:t", "phx_join", payload)
      expect(client.channels).toMatchObject([nothing])
    }
  })

  it("a topic that is empty, too long, or holds a lone surrogate", () => {
    const client = makeClient()
    const long = "t".repeat(256)
    expect(client.say("1", "2", "", "phx_join", {})).toEqual([error("1", "2", "", "topic is empty")])
    expect(client.say("1", "2", long, "phx_join", {})).toEqual([error("1", "2", long, "topic has more than 255 bytes")])
    expect(client.say("1", "2", "a\ud800", "phx_join", {})).toEqual([
      error("1", "2", "a\ud800", "topic holds a lone surrogate")
    ])
    expect(client.questions).toEqual([])
    for (const topic of ["__proto__", "constructor", "}", "*", "🦊", "t".repeat(255)]) {
      expect(client.say("1", "2", topic, "phx_join", {})[0]).toEqual(ok("1", "2", topic))
    }
  })

  it("a join_ref that is too long: it would be kept as long as the channel", () => {
    const client = makeClient()
    const long = "4".repeat(256)
    const reason = "join_ref has more than 255 bytes"
    expect(client.say(long, "4", "t", "phx_join", {})).toEqual([error(long, "4", "t", reason)])
    expect(client.say(null, long, "t", "phx_join", {})).toEqual([error(null, long, "t", reason)])
    expect(client.questions).toEqual([])
    const fits = "4".repeat(255)
    expect(client.say(fits, fits, "t", "phx_join", {})[0]).toEqual(ok(fits, fits, "t"))
  })

  it("a meta that is never looked at is not kept", () => {
    const meta = { text: "x".repeat(1_000_000) }
    const supabase = makeClient({ protocol: "supabase" })
    supabase.say("1", "1", "realtime:t", "phx_join", { meta })
    const phoenix = makeClient()
    phoenix.say("1", "1", "t", "phx_join", {})
    phoenix.say("1", "2", "t", "presence", { key: "a", meta, payload: {} })
    for (const client of [supabase, phoenix]) {
      expect(client.channels).toHaveLength(1)
      expect(JSON.stringify(client.channels).length).toBeLessThan(1_000)
    }
  })

  it("a meta nested deeper than 64, wherever it comes", () => {
    const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`)
    const reason = "payload is nested deeper than 64"
    const client = makeClient()
    expect(client.say("1", "1", "t", "phx_join", { key: "a", meta: nested(65) })).toEqual([
      error("1", "1", "t", reason)
    ])
    expect(client.say("1", "1", "t", "phx_join", { key: "a", meta: nested(64) })[0]).toEqual(ok("1", "1", "t"))
    for (const event of ["presence", "hello", "access_token"]) {
      expect(client.say("1", "2", "t", event, { payload: nested(100_000) })).toEqual([error("1", "2", "t", reason)])
    }
    expect(client.channels).toHaveLength(1)
  })

  it("more channels than allowed, though a rejoin is none more", () => {
    const client = makeClient({ channels: 2 })
    client.say("1", "1", "a", "phx_join", {})
    client.say("2", "2", "b", "phx_join", {})
    expect(client.say("3", "3", "c", "phx_join", {})).toEqual([error("3", "3", "c", "too many channels joined")])
    expect(client.say("4", "4", "b", "phx_join", {})[0]).toEqual(ok("4", "4", "b"))
    client.say("1", "5", "a", "phx_leave", {})
    expect(client.say("6", "6", "c", "phx_join", {})[0]).toEqual(ok("6", "6", "c"))
  })
})
