import { describe, expect, it } from "@effect/vitest"
import { isReserved } from "../../../../src/socket/protocol/session.js"
import type { ApplicationReply } from "../../../../src/socket/protocol/sessionStep.js"
import { error, makeClient, ok } from "../../support/session.js"

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

  it("a heartbeat of a topic is an event like any other", () => {
    expect(joined().say("4", "5", "room:1", "heartbeat", {})).toEqual([
      { _tag: "Relay", channel: "room:1", event: "heartbeat", payload: {}, self: false },
      ok("4", "5", "room:1")
    ])
  })

  it("a broadcast is an event like any other: that it is not answered is Supabase's", () => {
    expect(joined().say("4", "5", "room:1", "broadcast", {})).toEqual([
      { _tag: "Relay", channel: "room:1", event: "broadcast", payload: {}, self: false },
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
