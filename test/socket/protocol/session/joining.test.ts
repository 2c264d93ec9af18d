import { describe, expect, it } from "@effect/vitest"
import { error, failed, makeClient, ok, refusedWith } from "../../support/session.js"

describe("joining and leaving", () => {
  it("a join is authorized, tracked, answered, and then followed", () => {
    const client = makeClient()
    expect(client.say("4", "4", "room:1", "phx_join", { key: "alice", meta: { color: "blue" } })).toEqual([
      ok("4", "4", "room:1"),
      "follow room:1 4"
    ])
    expect(client.questions).toEqual([
      { _tag: "Authorize", topic: "room:1", payload: { key: "alice", meta: { color: "blue" } } },
      { _tag: "Track", channel: "room:1", key: "alice", meta: { color: "blue" } }
    ])
    expect(client.channels).toMatchObject([{ wire: "room:1", topic: "room:1", key: "alice", tracked: true }])
    // Of what Supabase's config says nothing holds here, and everybody watches.
    expect(client.channels).toMatchObject([{ watches: true, madeUp: false, self: false, ack: false }])
  })

  it("who is granted another key than was asked for hears it, and nobody else", () => {
    const client = makeClient({}, { authorize: () => ({ _tag: "Granted", key: "alice" }) })
    const hears = (ref: string, response: object) => [ok(ref, ref, "room:1", response), `follow room:1 ${ref}`]
    expect(client.say("4", "4", "room:1", "phx_join", { key: "me" })).toEqual(hears("4", { key: "alice" }))
    expect(client.say("4", "4", "room:1", "phx_join", {})).toEqual(hears("4", { key: "alice" }))
    expect(client.say("4", "4", "room:1", "phx_join", { key: "alice" })).toEqual(hears("4", {}))
  })

  it("who is granted no key watches, whatever they asked for, and is told no other", () => {
    const client = makeClient({}, { authorize: () => ({ _tag: "Granted" }) })
    const [answer] = client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(answer).toStrictEqual(ok("4", "4", "room:1"))
    client.say("5", "5", "room:2", "phx_join", { other: 1 })
    expect(client.questions.map(({ payload }) => payload)).toStrictEqual([{ key: "alice" }, { other: 1 }])
    expect(client.channels[0]).toMatchObject({ key: undefined, tracked: false })
  })

  it("with the grant comes its end", () => {
    const client = makeClient({}, { authorize: () => ({ _tag: "Granted", key: "alice", expires: 5 }) })
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.channels).toMatchObject([{ expires: 5 }])
  })

  it("what authorize answers is the meta, null too, and with clientMeta false it is kept for later", () => {
    const joined = (permission: object) => {
      const client = makeClient({}, { authorize: () => ({ _tag: "Granted", key: "alice", ...permission }) })
      client.say("4", "4", "room:1", "phx_join", { key: "alice", meta: "mine" })
      return [client.questions.at(-1)?.meta, client.channels[0]?.meta, client.channels[0]?.clientMeta]
    }
    expect(joined({ meta: "theirs" })).toEqual(["theirs", {}, true])
    expect(joined({ meta: "theirs", clientMeta: true })).toEqual(["theirs", {}, true])
    expect(joined({ meta: null, clientMeta: false })).toEqual([null, null, false])
    expect(joined({ clientMeta: false })).toEqual([{}, {}, false])
  })

  it("a missing meta is {}", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.questions[1]).toMatchObject({ _tag: "Track", meta: {} })
  })

  it("null is a meta like any other", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice", meta: null })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", meta: null })
    client.say("4", "5", "room:1", "presence", { event: "track", payload: null })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Update", meta: null })
    client.say("4", "6", "room:1", "presence", { key: "alice", payload: null, meta: 1 })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Update", meta: null })
  })

  it("without a key it is joined and not tracked: a watcher", () => {
    const client = makeClient()
    expect(client.say("4", "4", "room:1", "phx_join", {})).toEqual([ok("4", "4", "room:1"), "follow room:1 4"])
    expect(client.channels).toMatchObject([{ tracked: false }])
    expect(client.questions.map((question) => question._tag)).toEqual(["Authorize"])
  })

  it("a refused join says why and leaves nothing behind", () => {
    const client = makeClient({}, { authorize: () => refusedWith("forbidden topic") })
    expect(client.say("4", "4", "room:1", "phx_join", { key: "alice" })).toEqual([
      error("4", "4", "room:1", "forbidden topic")
    ])
    expect(client.questions.map((question) => question._tag)).toEqual(["Authorize"])
    expect(client.channels).toEqual([])
  })

  it("one that cannot be tracked is refused", () => {
    const client = makeClient({}, { track: failed("the key is over its limit") })
    expect(client.say("4", "4", "room:1", "phx_join", { key: "alice" })).toEqual([
      error("4", "4", "room:1", "the key is over its limit")
    ])
    expect(client.channels).toEqual([])
  })

  it("a leave is answered ok, then the channel closes", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.say("4", "6", "room:1", "phx_leave", {})).toEqual([
      ok("4", "6", "room:1"),
      ["4", "4", "room:1", "phx_close", {}]
    ])
    expect(client.questions.at(-1)).toEqual({ _tag: "Leave", wire: "room:1" })
    expect(client.channels).toEqual([])
  })

  it("a leave and a heartbeat are what they are whatever they carry, which Phoenix does not read either", () => {
    const client = makeClient()
    const deep: unknown = JSON.parse(`${"[".repeat(1_000)}${"]".repeat(1_000)}`)
    for (const payload of [null, undefined, "", 0, [], deep, { deep }, Uint8Array.of(1)]) {
      expect(client.say(null, "1", "phoenix", "heartbeat", payload)).toEqual([ok(null, "1", "phoenix")])
      client.say("4", "4", "room:1", "phx_join", { key: "alice" })
      expect(client.say("4", "6", "room:1", "phx_leave", payload)).toEqual([
        ok("4", "6", "room:1"),
        ["4", "4", "room:1", "phx_close", {}]
      ])
      expect(client.say("4", "7", "room:1", "phx_leave", payload)).toEqual([ok("4", "7", "room:1")])
      expect(client.channels).toEqual([])
    }
    // There is no topic of that name to leave.
    expect(client.say("4", "8", "phoenix", "phx_leave", {})).toEqual([error(null, "8", "phoenix", "unmatched topic")])
  })

  it("a leave of a topic not joined is answered ok", () => {
    expect(makeClient().say("4", "6", "room:1", "phx_leave", {})).toEqual([ok("4", "6", "room:1")])
  })

  it("refs are echoed as they came: numbers, strings, and a missing join_ref is the ref", () => {
    const client = makeClient()
    expect(client.say(4, 5, "a", "phx_join", {})[0]).toEqual(ok(4, 5, "a"))
    expect(client.say(null, "7", "b", "phx_join", {})).toEqual([ok("7", "7", "b"), "follow b 7"])
    expect(client.say(null, "8", "b", "phx_leave", {})).toEqual([ok("7", "8", "b"), ["7", "7", "b", "phx_close", {}]])
  })

  it("each channel takes what is said on its own topic", () => {
    const client = makeClient()
    client.say("4", "4", "a", "phx_join", {})
    client.say("5", "5", "b", "phx_join", {})
    expect(client.say("4", "6", "b", "hello", {})).toEqual([])
    expect(client.say("5", "7", "b", "hello", {}).at(-1)).toEqual(ok("5", "7", "b"))
  })

  it("a heartbeat is answered, anything else on its topic is unmatched", () => {
    const client = makeClient()
    expect(client.say(null, "7", "phoenix", "heartbeat", {})).toEqual([ok(null, "7", "phoenix")])
    expect(client.say("1", "8", "phoenix", "phx_join", {})).toEqual([error(null, "8", "phoenix", "unmatched topic")])
  })

  it("a push to a topic not joined is unmatched", () => {
    expect(makeClient().say("4", "5", "room:1", "hello", {})).toEqual([error(null, "5", "room:1", "unmatched topic")])
  })
})

describe("joining twice", () => {
  const rejoin = (world: Parameters<typeof makeClient>[1] = {}) => {
    const client = makeClient({}, world)
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    client.questions.length = 0
    return client
  }

  it("the new join is answered, then the old one closes with its own join_ref", () => {
    const client = rejoin()
    expect(client.say("9", "9", "room:1", "phx_join", { key: "alice" })).toEqual([
      ok("9", "9", "room:1"),
      ["4", "4", "room:1", "phx_close", {}],
      "follow room:1 9"
    ])
    expect(client.channels).toMatchObject([{ joinRef: "9", tracked: true }])
  })

  it("a watcher has no connection to end", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", {})
    client.say("9", "9", "room:1", "phx_join", {})
    expect(client.questions.map((question) => question._tag)).toEqual(["Authorize", "Authorize"])
  })

  it("the channels beside it stay as they are", () => {
    const client = rejoin()
    client.say("5", "5", "room:2", "phx_join", { key: "alice" })
    client.say("9", "9", "room:1", "phx_join", { key: "alice" })
    expect(client.channels).toMatchObject([
      { topic: "room:1", joinRef: "9" },
      { topic: "room:2", joinRef: "5" }
    ])
    client.say("9", "10", "room:1", "phx_leave", {})
    expect(client.channels).toMatchObject([{ topic: "room:2", joinRef: "5" }])
  })

  it("as a watcher the old connection ends first", () => {
    const client = rejoin()
    client.say("9", "9", "room:1", "phx_join", {})
    expect(client.questions.map((question) => question._tag)).toEqual(["Authorize", "Untrack"])
    expect(client.channels).toMatchObject([{ joinRef: "9", tracked: false }])
  })

  it("when the new join is refused the old one ends all the same", () => {
    let joins = 0
    const client = rejoin({
      authorize: () => (joins++ === 0 ? { _tag: "Granted", key: "alice" } : refusedWith("no more"))
    })
    expect(client.say("9", "9", "room:1", "phx_join", { key: "alice" })).toEqual([
      error("9", "9", "room:1", "no more"),
      ["4", "4", "room:1", "phx_close", {}]
    ])
    expect(client.questions.at(-1)).toEqual({ _tag: "Leave", wire: "room:1" })
    expect(client.channels).toEqual([])
  })

  it("the same join_ref again does not close what it has just opened", () => {
    expect(rejoin().say("4", "4", "room:1", "phx_join", { key: "alice" })).toEqual([
      ok("4", "4", "room:1"),
      "follow room:1 4"
    ])
  })

  it("a stale join_ref is ignored, whatever it says", () => {
    const client = rejoin()
    client.say("9", "9", "room:1", "phx_join", { key: "alice" })
    expect(client.say("4", "10", "room:1", "phx_leave", {})).toEqual([])
    expect(client.say("4", "11", "room:1", "hello", {})).toEqual([])
    expect(client.say("4", "12", "room:1", "presence", { event: "untrack" })).toEqual([])
    expect(client.channels).toMatchObject([{ joinRef: "9", tracked: true }])
  })
})

describe("ended by the server", () => {
  it("put out: phx_close, the client stays away", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.end("room:1", "4", "phx_close")).toEqual([["4", null, "room:1", "phx_close", {}]])
    expect(client.questions.at(-1)).toEqual({ _tag: "Leave", wire: "room:1" })
    expect(client.channels).toEqual([])
  })

  it("failed: phx_error, the client comes back", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.end("room:1", "4", "phx_error")).toEqual([["4", "4", "room:1", "phx_error", {}]])
    expect(client.channels).toEqual([])
  })

  it("a channel that was left or joined anew since is left alone", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.end("room:1", "3", "phx_close")).toEqual([])
    expect(client.end("room:2", "4", "phx_close")).toEqual([])
    expect(client.channels).toHaveLength(1)
  })
})
