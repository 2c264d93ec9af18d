import { describe, expect, it } from "@effect/vitest"
import type { ClientMessage } from "../../../src/socket/protocol/codec.js"
import { end, initial, isReserved, receive } from "../../../src/socket/protocol/session.js"
import type {
  Action,
  ApplicationReply,
  Outcome,
  Permission,
  Question,
  Rules,
  SessionState,
  SessionStep
} from "../../../src/socket/protocol/sessionStep.js"

const done: Outcome = { _tag: "Done" }
const failed = (reason: string): Outcome => ({ _tag: "Failed", reason })
const refusedWith = (reason: string): Permission => ({ _tag: "Refused", reason })

/** Everybody may do what they ask, unless a test says otherwise; what was asked is written down. */
const makeClient = (
  overrides: Partial<Rules> = {},
  world: {
    readonly authorize?: (payload: Record<string, unknown>) => Permission
    readonly track?: Outcome
    readonly update?: Outcome
    readonly ask?: ApplicationReply
  } = {}
) => {
  const rules: Rules = {
    protocol: "phoenix",
    channels: 100,
    topicBytes: 255,
    keyBytes: 255,
    metaDepth: 64,
    makeKey: () => "made",
    ...overrides
  }
  let state: SessionState = initial
  const questions: Array<Record<string, unknown>> = []
  const allow = (payload: Record<string, unknown>): Permission =>
    typeof payload.key === "string"
      ? { _tag: "Granted", key: payload.key, ...("meta" in payload ? { meta: payload.meta } : {}) }
      : { _tag: "Granted" }
  const next = (question: Question, heard: Array<unknown>): SessionStep => {
    const { next: _, ...rest } = question
    const readable = "channel" in rest ? { ...rest, channel: rest.channel.wire } : rest
    if (question._tag === "Relay") heard.push(readable)
    else questions.push(readable)
    switch (question._tag) {
      case "Authorize":
        return question.next((world.authorize ?? allow)(question.payload))
      case "Track":
        return question.next(world.track ?? done)
      case "Update":
        return question.next(world.update ?? done)
      case "Ask":
        return question.next(world.ask)
      default:
        return question.next()
    }
  }
  /** What the client and the other members hear. */
  const run = (first: SessionStep): Array<unknown> => {
    const heard: Array<unknown> = first.actions.map(readable)
    let step = first
    while (step.question !== undefined) {
      step = next(step.question, heard)
      heard.push(...step.actions.map(readable))
    }
    state = step.state
    return heard
  }
  return {
    questions,
    get channels() {
      return [...state.channels.values()]
    },
    say: (
      ...[joinRef, ref, topic, event, payload]: [ClientMessage["ref"], ClientMessage["ref"], string, string, unknown]
    ) => run(receive(rules, state, { joinRef, ref, topic, event, payload })),
    receive: (message: ClientMessage) => run(receive(rules, state, message)),
    end: (wire: string, joinRef: ClientMessage["ref"], event: "phx_close" | "phx_error") =>
      run(end(state, wire, joinRef, event))
  }
}

/** Sends as frames of version 2, the rest by name. */
const readable = (action: Action): unknown => {
  switch (action._tag) {
    case "Send":
      return [action.joinRef, action.ref, action.topic, action.event, action.payload]
    case "SendBytes":
      return [action.joinRef, action.ref, action.topic, action.status, action.payload]
    case "Follow":
      return `follow ${action.channel.wire} ${action.channel.joinRef}`
  }
}

const ok = (joinRef: unknown, ref: unknown, topic: string, response: unknown = {}) => [
  joinRef,
  ref,
  topic,
  "phx_reply",
  { status: "ok", response }
]
const error = (joinRef: unknown, ref: unknown, topic: string, reason: string) => [
  joinRef,
  ref,
  topic,
  "phx_reply",
  { status: "error", response: { reason } }
]

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

  it("a leave of a topic not joined is answered ok", () => {
    expect(makeClient().say("4", "6", "room:1", "phx_leave", {})).toEqual([ok("4", "6", "room:1")])
  })

  it("refs are echoed as they came: numbers, strings, and a missing join_ref is the ref", () => {
    const client = makeClient()
    expect(client.say(4, 5, "a", "phx_join", {})[0]).toEqual(ok(4, 5, "a"))
    expect(client.say(null, "7", "b", "phx_join", {})).toEqual([ok("7", "7", "b"), "follow b 7"])
    expect(client.say(null, "8", "b", "phx_leave", {})).toEqual([ok("7", "8", "b"), ["7", "7", "b", "phx_close", {}]])
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

describe("presence pushes of a Phoenix client", () => {
  it("a watcher who names a key asks to join under it, with the push as payload", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", {})
    client.questions.length = 0
    expect(client.say("4", "5", "room:1", "presence", { key: "alice", meta: { a: 1 } })).toEqual([
      ok("4", "5", "room:1")
    ])
    expect(client.questions).toEqual([
      { _tag: "Authorize", topic: "room:1", payload: { key: "alice", meta: { a: 1 } } },
      { _tag: "Track", channel: "room:1", key: "alice", meta: { a: 1 } }
    ])
  })

  it("in Supabase's form the meta stands in payload", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", {})
    client.say("4", "5", "room:1", "presence", { type: "presence", event: "track", key: "alice", payload: { a: 1 } })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", key: "alice", meta: { a: 1 } })
    client.say("4", "6", "room:1", "presence", { type: "presence", event: "track", payload: { a: 2 } })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Update", meta: { a: 2 } })
  })

  it("without a key there is nobody to track", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", {})
    expect(client.say("4", "5", "room:1", "presence", { event: "track", payload: {} })).toEqual([
      error("4", "5", "room:1", "no key to track")
    ])
  })

  it("one whom authorize refuses is not tracked and stays a watcher", () => {
    const client = makeClient(
      {},
      { authorize: ({ key }) => (key === undefined ? { _tag: "Granted" } : refusedWith("not under that name")) }
    )
    client.say("4", "4", "room:1", "phx_join", {})
    expect(client.say("4", "5", "room:1", "presence", { key: "bob" })).toEqual([
      error("4", "5", "room:1", "not under that name")
    ])
    expect(client.channels).toMatchObject([{ tracked: false }])
  })

  it("whatever key they name, it is the one authorize answers", () => {
    const client = makeClient({}, { authorize: () => ({ _tag: "Granted", key: "alice" }) })
    client.say("4", "4", "room:1", "phx_join", {})
    client.say("4", "5", "room:1", "presence", { key: "bob", payload: { a: 1 } })
    expect(client.questions.at(-1)).toEqual({ _tag: "Update", channel: "room:1", meta: { a: 1 } })
  })

  it("another key replaces the connection, since there is one for each socket and topic", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    client.say("4", "5", "room:1", "presence", { key: "bob" })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", key: "bob" })
    expect(client.channels).toMatchObject([{ key: "bob", tracked: true }])
  })

  it("with clientMeta false a push may not replace the meta, but may track and untrack", () => {
    const client = makeClient(
      {},
      { authorize: () => ({ _tag: "Granted", key: "alice", meta: { role: "guest" }, clientMeta: false }) }
    )
    client.say("4", "4", "room:1", "phx_join", {})
    expect(client.say("4", "5", "room:1", "presence", { event: "track", payload: { role: "admin" } })).toEqual([
      error("4", "5", "room:1", "meta may not be replaced")
    ])
    client.say("4", "6", "room:1", "presence", { event: "untrack" })
    client.say("4", "7", "room:1", "presence", { event: "track", payload: { role: "admin" } })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", key: "alice", meta: { role: "guest" } })
    client.say("4", "8", "room:1", "presence", { key: "alice", payload: { role: "admin" } })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Update", meta: { role: "guest" } })
  })

  it("a key that is no string and an event that is neither track nor untrack are errors", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", {})
    expect(client.say("4", "5", "room:1", "presence", { key: 5 })).toEqual([
      error("4", "5", "room:1", "key is no string but number")
    ])
    expect(client.say("4", "6", "room:1", "presence", { event: "explode" })).toEqual([
      error("4", "6", "room:1", "event is neither track nor untrack")
    ])
  })

  it("what presence refuses is told, and the connection stays as it was", () => {
    const client = makeClient({}, { update: failed("meta is over its limit") })
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    expect(client.say("4", "5", "room:1", "presence", { event: "track", payload: {} })).toEqual([
      error("4", "5", "room:1", "meta is over its limit")
    ])
    expect(client.channels).toMatchObject([{ tracked: true }])
  })
})

describe("Supabase", () => {
  const config = (
    presence: object = { key: "alice", enabled: true },
    broadcast: object = { ack: false, self: false }
  ) => ({
    config: { broadcast, presence, postgres_changes: [], private: false },
    access_token: "token"
  })
  const makeSupabase = (world: Parameters<typeof makeClient>[1] = {}) => makeClient({ protocol: "supabase" }, world)

  it("a join is authorized under the key of its config, answered with postgres_changes, and not tracked yet", () => {
    const client = makeSupabase()
    expect(client.say("1", "1", "realtime:room", "phx_join", config())).toEqual([
      ok("1", "1", "realtime:room", { postgres_changes: [] }),
      "follow realtime:room 1"
    ])
    expect(client.questions).toEqual([{ _tag: "Authorize", topic: "room", payload: { ...config(), key: "alice" } }])
  })

  it("a topic without the prefix is unmatched, and one that is only the prefix is empty", () => {
    const client = makeSupabase()
    expect(client.say("1", "1", "room", "phx_join", config())).toEqual([error("1", "1", "room", "unmatched topic")])
    expect(client.say("1", "2", "realtime:", "phx_join", config())).toEqual([
      error("1", "2", "realtime:", "topic is empty")
    ])
  })

  it("an empty or missing key, or null, is made up by the server", () => {
    for (const presence of [{ key: "" }, { key: null }, {}]) {
      const client = makeSupabase()
      client.say("1", "1", "realtime:room", "phx_join", config(presence))
      client.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
      expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", key: "made" })
    }
    const bare = makeSupabase()
    expect(bare.say("1", "1", "realtime:room", "phx_join", { config: "nonsense" })[0]).toEqual(
      ok("1", "1", "realtime:room", { postgres_changes: [] })
    )
  })

  it("track, track again, untrack: tracked, updated, ended, each answered ok", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config())
    client.questions.length = 0
    const push = (ref: string, event: string, payload?: object) =>
      client.say("1", ref, "realtime:room", "presence", { type: "presence", event, ...(payload && { payload }) })
    expect(push("2", "track", { a: 1 })).toEqual([ok("1", "2", "realtime:room")])
    expect(push("3", "track", { a: 2 })).toEqual([ok("1", "3", "realtime:room")])
    expect(push("4", "untrack")).toEqual([ok("1", "4", "realtime:room")])
    expect(push("5", "untrack")).toEqual([ok("1", "5", "realtime:room")])
    expect(push("6", "track")).toEqual([ok("1", "6", "realtime:room")])
    expect(client.questions).toEqual([
      { _tag: "Track", channel: "realtime:room", key: "alice", meta: { a: 1 } },
      { _tag: "Update", channel: "realtime:room", meta: { a: 2 } },
      { _tag: "Untrack", wire: "realtime:room" },
      { _tag: "Track", channel: "realtime:room", key: "alice", meta: {} }
    ])
  })

  it("one without a key may watch and not track", () => {
    const client = makeSupabase({ authorize: () => ({ _tag: "Granted" }) })
    client.say("1", "1", "realtime:room", "phx_join", config())
    expect(client.say("1", "2", "realtime:room", "presence", { event: "track", payload: {} })).toEqual([
      error("1", "2", "realtime:room", "no key to track")
    ])
  })

  it("access_token is neither answered nor passed on", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config())
    expect(client.say("1", "2", "realtime:room", "access_token", { access_token: "new" })).toEqual([])
  })

  it("a broadcast goes to the others and is not answered", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config())
    const payload = { type: "broadcast", event: "cursor", payload: { x: 1 } }
    expect(client.say("1", "2", "realtime:room", "broadcast", payload)).toEqual([
      { _tag: "Relay", channel: "realtime:room", event: "broadcast", payload, self: false }
    ])
  })

  it("with self it comes back, with ack it is answered once passed on", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config(undefined, { self: true, ack: true }))
    const payload = { type: "broadcast", event: "cursor", payload: {} }
    expect(client.say("1", "2", "realtime:room", "broadcast", payload)).toEqual([
      { _tag: "Relay", channel: "realtime:room", event: "broadcast", payload, self: true },
      ok("1", "2", "realtime:room")
    ])
  })

  it("bytes in a broadcast keep the event inside it", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config())
    const payload = Uint8Array.of(1)
    expect(
      client.receive({ joinRef: "1", ref: "2", topic: "realtime:room", event: "broadcast", payload, inner: "cursor" })
    ).toEqual([{ _tag: "Relay", channel: "realtime:room", event: "broadcast", payload, inner: "cursor", self: false }])
  })

  it("any other event is answered, as with Phoenix", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config(undefined, { self: true }))
    expect(client.say("1", "2", "realtime:room", "hello", {})).toEqual([
      { _tag: "Relay", channel: "realtime:room", event: "hello", payload: {}, self: false },
      ok("1", "2", "realtime:room")
    ])
  })
})

describe("other events", () => {
  const joined = (world: Parameters<typeof makeClient>[1] = {}) => {
    const client = makeClient({}, world)
    client.say("4", "4", "room:1", "phx_join", {})
    return client
  }

  it("what the application does not take goes to the others and is answered ok", () => {
    expect(joined().say("4", "5", "room:1", "typing", { on: true })).toEqual([
      { _tag: "Relay", channel: "room:1", event: "typing", payload: { on: true }, self: false },
      ok("4", "5", "room:1")
    ])
  })

  it("without a ref it is passed on and not answered", () => {
    expect(joined().say("4", null, "room:1", "typing", {})).toHaveLength(1)
  })

  it("what the application takes it answers, and nobody else hears", () => {
    const reply: ApplicationReply = { status: "ok", response: { sum: 3 } }
    expect(joined({ ask: reply }).say("4", "5", "room:1", "add", { a: 1, b: 2 })).toEqual([
      ok("4", "5", "room:1", { sum: 3 })
    ])
    expect(joined({ ask: { status: "error", response: { reason: "no" } } }).say("4", "5", "room:1", "add", {})).toEqual(
      [error("4", "5", "room:1", "no")]
    )
    expect(joined({ ask: reply }).say("4", null, "room:1", "add", {})).toEqual([])
  })

  it("bytes go to the application and to the others as bytes", () => {
    const bytes = Uint8Array.of(1, 2)
    expect(joined().say("4", "5", "room:1", "file", bytes)).toEqual([
      { _tag: "Relay", channel: "room:1", event: "file", payload: bytes, self: false },
      ok("4", "5", "room:1")
    ])
    expect(joined({ ask: { status: "ok", response: bytes } }).say("4", "5", "room:1", "file", bytes)).toEqual([
      ["4", "5", "room:1", "ok", bytes]
    ])
  })

  it("nobody can speak for the server", () => {
    const client = joined()
    for (const event of [
      "phx_reply",
      "phx_error",
      "phx_",
      "presence_state",
      "presence_diff",
      "presencex",
      "system",
      "postgres_changes",
      "chan_reply_5",
      "PHX_CLOSE",
      "Presence_State",
      "",
      "e".repeat(256),
      "ä".repeat(128)
    ]) {
      expect(isReserved(event)).toBe(true)
      expect(client.say("4", "5", "room:1", event, {})).toEqual([error("4", "5", "room:1", "reserved event")])
    }
    expect(isReserved("e".repeat(255))).toBe(false)
    expect(client.questions.map((question) => question._tag)).toEqual(["Authorize"])
  })
})

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
    expect(client.say(null, "2", "phoenix", "heartbeat", Uint8Array.of(1))).toEqual([
      error(null, "2", "phoenix", "payload must be an object")
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
    for (const event of ["presence", "hello", "phx_leave"]) {
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
