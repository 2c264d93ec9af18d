import { describe, expect, it } from "@effect/vitest"
import { error, makeClient, ok } from "../../support/session.js"

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

  it("a made up key is one that nobody comes back under, until somebody has another", () => {
    const madeUp = (permission: object, key?: string) => {
      const client = makeSupabase({ authorize: () => ({ _tag: "Granted", ...permission }) })
      client.say("1", "1", "realtime:room", "phx_join", config(key === undefined ? {} : { key }))
      return client.channels[0]?.madeUp
    }
    expect(madeUp({ key: "made" })).toBe(true)
    expect(madeUp({ key: "alice" })).toBe(false)
    expect(madeUp({ key: "made" }, "made")).toBe(false)
    const client = makeSupabase()
    client.say("1", "1", "realtime:room", "phx_join", config({}))
    client.say("1", "2", "realtime:room", "presence", { event: "track", key: "made", payload: {} })
    expect(client.channels).toMatchObject([{ key: "made", madeUp: true }])
    client.say("1", "3", "realtime:room", "presence", { event: "track", key: "alice", payload: {} })
    expect(client.channels).toMatchObject([{ key: "alice", madeUp: false }])
    client.say("1", "4", "realtime:room", "presence", { event: "track", key: "made", payload: {} })
    expect(client.channels).toMatchObject([{ key: "made", madeUp: false }])
  })

  it("whoever says that presence is not enabled does not watch", () => {
    const client = makeSupabase()
    client.say("1", "1", "realtime:a", "phx_join", config({ key: "alice", enabled: false }))
    client.say("2", "2", "realtime:b", "phx_join", config({ key: "alice" }))
    expect(client.channels).toMatchObject([{ watches: false }, { watches: true }])
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
    expect(client.say("1", null, "realtime:room", "broadcast", payload)).toHaveLength(1)
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
