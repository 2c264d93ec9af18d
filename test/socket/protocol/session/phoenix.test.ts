import { describe, expect, it } from "@effect/vitest"
import { error, failed, makeClient, ok, refusedWith } from "../../support/session.js"

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

  it("an untrack ends the connection once, and the channel stays", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    client.questions.length = 0
    expect(client.say("4", "5", "room:1", "presence", { event: "untrack" })).toEqual([ok("4", "5", "room:1")])
    expect(client.say("4", "6", "room:1", "presence", { event: "untrack" })).toEqual([ok("4", "6", "room:1")])
    expect(client.questions).toEqual([{ _tag: "Untrack", wire: "room:1" }])
    expect(client.channels).toMatchObject([{ key: "alice", tracked: false }])
  })

  it("without a ref none of them is answered", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    for (const event of ["track", "untrack", "untrack"]) {
      expect(client.say("4", null, "room:1", "presence", { event, payload: {} })).toEqual([])
    }
  })

  it("one who names a key and no meta has the one that authorize answers; else their own", () => {
    const client = makeClient(
      {},
      { authorize: ({ key }) => ({ _tag: "Granted", key: key as string | undefined, meta: { from: "authorize" } }) }
    )
    client.say("4", "4", "room:1", "phx_join", {})
    client.say("4", "5", "room:1", "presence", { key: "alice" })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", meta: { from: "authorize" } })
    client.say("4", "6", "room:1", "presence", { key: "alice", payload: { from: "client" } })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Update", meta: { from: "client" } })
    expect(client.channels).toMatchObject([{ meta: {}, clientMeta: true, tracked: true }])
  })

  it("where authorize answers no meta it is {}", () => {
    const client = makeClient({}, { authorize: () => ({ _tag: "Granted", key: "alice", clientMeta: false }) })
    client.say("4", "4", "room:1", "phx_join", {})
    client.say("4", "5", "room:1", "presence", { key: "alice", payload: { from: "client" } })
    expect(client.questions.at(-1)).toEqual({ _tag: "Update", channel: "room:1", meta: {} })
    expect(client.channels.map(({ meta, clientMeta }) => [meta, clientMeta])).toEqual([[{}, false]])
  })

  it("after an untrack the same key is tracked anew", () => {
    const client = makeClient()
    client.say("4", "4", "room:1", "phx_join", { key: "alice" })
    client.say("4", "5", "room:1", "presence", { event: "untrack" })
    client.say("4", "6", "room:1", "presence", { key: "alice" })
    expect(client.questions.at(-1)).toMatchObject({ _tag: "Track", key: "alice" })
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
