import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { LongPoll } from "phoenix"
import { WebSocket } from "ws"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

describe("presence", () => {
  it.scopedLive("an update is one diff: the new ref with phx_ref_prev, and the old ref leaves", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const lease = yield* presence.track("room:1", "alice", { a: 1 })
      const client = yield* connect(phoenixUrl(url))
      client.say("1", "1", "room:1", "phx_join", {})
      yield* client.heard("presence_state")
      const before = lease.ref
      yield* lease.update({ a: 2 })
      expect((yield* client.heard("presence_diff"))[4]).toEqual({
        joins: { alice: { metas: [{ a: 2, phx_ref: lease.ref, phx_ref_prev: before }] } },
        leaves: { alice: { metas: [{ a: 1, phx_ref: before }] } }
      })
      expect(client.frames.filter(([, , , event]) => event === "presence_diff")).toHaveLength(1)
    })
  )

  it.scopedLive("a large state comes whole, in either version and by polls, whatever others were sent of it", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const meta = { text: "x".repeat(1_000) }
      const leases = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, i) => `é${i}`),
        (key) => presence.track("room:1", key, meta)
      )
      const isOf1 = (frame: unknown) => typeof frame === "object" && frame !== null && "event" in frame && frame
      for (const changed of [0, 100]) {
        yield* leases[changed]?.update({ changed }) ?? Effect.void
        const metaOf = (i: number) => (i % 100 === 0 && i <= changed ? { changed: i } : meta)
        const list = leases.map(({ key }, i) => `${key}:${JSON.stringify(metaOf(i))}`)
        for (const transport of [WebSocket, LongPoll]) {
          const watcher = yield* join(yield* phoenixSocket(url, { transport }), "room:1")
          yield* watcher.sees(...list)
        }
        const one = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
        one.ws.send(JSON.stringify({ topic: "room:1", event: "phx_join", payload: {}, ref: "1", join_ref: "1" }))
        const first = yield* one.until(() =>
          one.frames.map(isOf1).find((frame) => frame && frame.event !== "phx_reply")
        )
        expect(first).toMatchObject({ topic: "room:1", event: "presence_state", ref: null, join_ref: "1" })
        expect(first).toHaveProperty("payload.é199.metas.0.text", meta.text)
      }
    })
  )

  it.scopedLive("metas that are no objects, own phx_refs and keys such as __proto__", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      yield* presence.track("room:1", "number", 5)
      yield* presence.track("room:1", "list", [1])
      yield* presence.track("room:1", "null", null)
      yield* presence.track("room:1", "liar", { a: 1, phx_ref: "forged", phx_ref_prev: "forged" })
      yield* presence.track("room:1", "__proto__", { b: 1 })
      yield* presence.track("room:1", "constructor", JSON.parse(`{"__proto__":1}`))
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      yield* watcher.sees(
        `number:{"value":5}`,
        `list:{"value":[1]}`,
        `null:{"value":null}`,
        `liar:{"a":1}`,
        `__proto__:{"b":1}`,
        `constructor:{"__proto__":1}`
      )
    })
  )

  it.scopedLive("what happens in one window travels as one net diff, and a joiner's state stands before it", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer({ diffInterval: "300 millis" })
      const first = yield* connect(phoenixUrl(url))
      first.say("1", "1", "room:1", "phx_join", {})
      yield* first.heard("presence_state")
      const lease = yield* presence.track("room:1", "alice", { n: 1 })
      yield* Effect.scoped(presence.track("room:1", "ghost"))
      yield* lease.update({ n: 2 })
      const second = yield* connect(phoenixUrl(url))
      second.say("1", "1", "room:1", "phx_join", { key: "bob" })
      expect((yield* second.heard("presence_state"))[4]).toEqual({})
      const refs = Object.fromEntries(
        (yield* presence.snapshot("room:1")).connections.map(({ key, ref }) => [key, ref])
      )
      const diff = {
        joins: {
          alice: { metas: [{ n: 2, phx_ref: refs.alice }] },
          bob: { metas: [{ phx_ref: refs.bob }] }
        },
        leaves: {}
      }
      expect((yield* first.heard("presence_diff"))[4]).toEqual(diff)
      expect((yield* second.heard("presence_diff"))[4]).toEqual(diff)
      const before = lease.ref
      yield* lease.update({ n: 3 })
      yield* lease.update({ n: 4 })
      const [, , , , net] = yield* first.until(
        () => first.frames.filter(([, , , event]) => event === "presence_diff")[1]
      )
      expect(net).toEqual({
        joins: { alice: { metas: [{ n: 4, phx_ref: lease.ref, phx_ref_prev: before }] } },
        leaves: { alice: { metas: [{ n: 2, phx_ref: before }] } }
      })
    })
  )

  it.scopedLive("two sockets of one key are one entry with two metas", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      const first = yield* join(yield* phoenixSocket(url), "room:1", { key: "alice", meta: { tab: 1 } })
      const second = yield* join(yield* phoenixSocket(url), "room:1", { key: "alice", meta: { tab: 2 } })
      yield* watcher.sees(`alice:{"tab":1}`, `alice:{"tab":2}`)
      yield* first.leave
      yield* watcher.sees(`alice:{"tab":2}`)
      yield* second.leave
      yield* watcher.sees()
      expect(watcher.told).toEqual(["join alice 1", "more alice 1", "less alice 1", "leave alice 1"])
    })
  )
})
