import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Unauthorized } from "../../../src/PresenceError.js"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

const isState = (frame: unknown): boolean =>
  typeof frame === "object" && frame !== null && "event" in frame && frame.event === "presence_state"

describe("joining", () => {
  it.scopedLive("who joins is tracked and sees who is here, others see them come and go", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const alice = yield* join(yield* phoenixSocket(url), "room:1", { key: "alice", meta: { color: "blue" } })
      yield* alice.sees(`alice:{"color":"blue"}`)
      const bob = yield* join(yield* phoenixSocket(url), "room:1", { key: "bob" })
      yield* bob.sees(`alice:{"color":"blue"}`, "bob:{}")
      yield* alice.sees(`alice:{"color":"blue"}`, "bob:{}")
      expect(yield* presence.list("room:1")).toEqual([
        { key: "alice", metas: [{ color: "blue" }] },
        { key: "bob", metas: [{}] }
      ])
      yield* bob.leave
      yield* alice.sees(`alice:{"color":"blue"}`)
      expect(yield* presence.count("room:1")).toEqual({ keys: 1, connections: 1 })
      expect(alice.told.filter((line) => line.includes("bob"))).toEqual(["join bob 1", "leave bob 1"])
    })
  )

  it.scopedLive("without a key one watches: joined, told, not tracked, even where nobody is", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      const states: Array<unknown> = []
      watcher.channel.on("presence_state", (state) => states.push(state))
      yield* presence.track("room:1", "alice", { a: 1 })
      yield* watcher.sees(`alice:{"a":1}`)
      expect(yield* presence.count("room:1")).toEqual({ keys: 1, connections: 1 })
    })
  )

  it.scopedLive("a watcher may be tracked later by a presence push that names a key", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const client = yield* join(yield* phoenixSocket(url), "room:1")
      expect(yield* client.push("presence", { key: "alice", meta: { a: 1 } })).toEqual(["ok", {}])
      yield* client.sees(`alice:{"a":1}`)
      expect(yield* client.push("presence", { type: "presence", event: "track", payload: { a: 2 } })).toEqual([
        "ok",
        {}
      ])
      yield* client.sees(`alice:{"a":2}`)
      expect(yield* client.push("presence", { type: "presence", event: "untrack" })).toEqual(["ok", {}])
      yield* client.sees()
    })
  )

  it.scopedLive("a refused join hears the reason and tries again by itself", () =>
    Effect.gen(function* () {
      let refusals = 0
      const { url } = yield* makeServer({
        authorize: ({ on }) =>
          on === "join" && refusals++ < 1
            ? Effect.fail(new Unauthorized({ reason: "not yet" }))
            : Effect.succeed({ key: "alice" })
      })
      const socket = yield* phoenixSocket(url, { rejoinAfterMs: () => 10 })
      const reasons: Array<unknown> = []
      const channel = socket.channel("room:1", {})
      yield* Effect.async<void>((resume) => {
        channel
          .join()
          .receive("error", (response) => reasons.push(response))
          .receive("ok", () => resume(Effect.void))
      })
      expect(reasons).toEqual([{ reason: "not yet" }])
    })
  )

  it.scopedLive("a topic not joined is unmatched", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const client = yield* connect(phoenixUrl(url))
      client.say(null, "5", "room:1", "hello", {})
      expect(yield* client.heard("phx_reply")).toEqual([
        null,
        "5",
        "room:1",
        "phx_reply",
        { status: "error", response: { reason: "unmatched topic" } }
      ])
    })
  )

  it.scopedLive("the frames of a join, a leave and a heartbeat are those of the protocol, in version 2 and 1", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      yield* presence.track("room:1", "alice", { color: "blue" })
      const ref = (yield* presence.snapshot("room:1")).connections[0]?.ref
      const two = yield* connect(phoenixUrl(url))
      two.say("4", "4", "room:1", "phx_join", {})
      two.say("4", "6", "room:1", "phx_leave", {})
      two.say(null, "7", "phoenix", "heartbeat", {})
      yield* two.reply("7")
      expect(two.frames.filter(([, , , event]) => event !== "presence_state")).toEqual([
        ["4", "4", "room:1", "phx_reply", { status: "ok", response: {} }],
        ["4", "6", "room:1", "phx_reply", { status: "ok", response: {} }],
        ["4", "4", "room:1", "phx_close", {}],
        [null, "7", "phoenix", "phx_reply", { status: "ok", response: {} }]
      ])
      two.say("8", "8", "room:1", "phx_join", {})
      expect(yield* two.heard("presence_state", undefined, 4)).toEqual([
        "8",
        null,
        "room:1",
        "presence_state",
        { alice: { metas: [{ color: "blue", phx_ref: ref }] } }
      ])
      const one = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
      one.ws.send(JSON.stringify({ topic: "room:1", event: "phx_join", payload: {}, ref: 1, join_ref: 1 }))
      // The test client reads lists; version 1 sends objects.
      const state = yield* one.until(() => one.frames.map((frame) => frame as unknown).find(isState))
      expect(state).toEqual({
        topic: "room:1",
        event: "presence_state",
        payload: { alice: { metas: [{ color: "blue", phx_ref: ref }] } },
        ref: null,
        join_ref: 1
      })
    })
  )
})
