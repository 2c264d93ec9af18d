/** The published Phoenix client, unmodified, over real sockets: the rows of the protocol. */
import { get } from "node:http"
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, TestClock } from "effect"
import type { Socket } from "phoenix"
import { Unauthorized } from "../../src/PresenceError.js"
import { connect, phoenixUrl } from "./support/client.js"
import { join, phoenixSocket } from "./support/phoenix.js"
import { makeServer } from "./support/server.js"

// Real sockets, on machines that may be busy.
vi.setConfig({ testTimeout: 120_000 })

const closeCode = (socket: Socket) =>
  Effect.async<number>((resume) => socket.onClose(({ code }) => resume(Effect.succeed(code))))

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

const isState = (frame: unknown): boolean =>
  typeof frame === "object" && frame !== null && "event" in frame && frame.event === "presence_state"

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

describe("a channel's life", () => {
  it.scopedLive("joined twice: the old channel closes, the new one goes on, and nobody sees a gap", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      const client = yield* connect(phoenixUrl(url))
      client.say("1", "1", "room:1", "phx_join", { key: "alice", meta: { n: 1 } })
      yield* client.heard("presence_state")
      yield* watcher.sees(`alice:{"n":1}`)
      client.say("2", "2", "room:1", "phx_join", { key: "alice", meta: { n: 2 } })
      expect((yield* client.heard("phx_close")).slice(0, 4)).toEqual(["1", "1", "room:1", "phx_close"])
      expect(
        (yield* client.until(() =>
          client.frames.find(([joinRef, , , event]) => event === "presence_state" && joinRef === "2")
        ))[0]
      ).toBe("2")
      yield* watcher.sees(`alice:{"n":2}`)
      client.say("1", "3", "room:1", "phx_leave", {})
      client.say("2", "4", "room:1", "hello", {})
      yield* client.reply("4")
      expect(client.frames.some(([, ref]) => ref === "3")).toBe(false)
    })
  )

  it.scopedLive("two channels of one topic in one client: the client leaves the first itself", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const socket = yield* phoenixSocket(url)
      const old = yield* join(socket, "room:1", { key: "alice" })
      const young = yield* join(socket, "room:1", { key: "alice" })
      yield* old.isTold("closed")
      yield* young.sees("alice:{}")
      expect(yield* presence.count("room:1")).toEqual({ keys: 1, connections: 1 })
      expect(young.channel.state).toBe("joined")
    })
  )

  it.scopedLive("evicted: put out, and the client stays away", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const socket = yield* phoenixSocket(url, { rejoinAfterMs: () => 10 })
      const alice = yield* join(socket, "room:1", { key: "alice" })
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      yield* watcher.sees("alice:{}")
      expect(yield* presence.evict("room:1", "alice")).toBe(1)
      yield* alice.isTold("closed")
      yield* watcher.sees()
      expect(alice.channel.state).toBe("closed")
      expect(socket.isConnected()).toBe(true)
      expect(yield* presence.count("room:1")).toEqual({ keys: 0, connections: 0 })
    })
  )

  it.scopedLive("evicted before the channel is joined: put out all the same", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer({
        change: (presence) => ({
          ...presence,
          track: (topic, key, meta, options) =>
            Effect.tap(presence.track(topic, key, meta, options), () =>
              // Those who follow the topic have heard of it before the join goes on.
              Effect.zipRight(presence.evict(topic, key), Effect.sleep(20))
            )
        })
      })
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      const alice = yield* connect(phoenixUrl(url))
      alice.say("1", "1", "room:1", "phx_join", { key: "alice" })
      expect(yield* alice.heard("phx_close")).toEqual(["1", null, "room:1", "phx_close", {}])
      yield* watcher.sees()
    })
  )

  it.scopedLive("a socket that is cut leaves, and its client comes back with its channels", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const watcher = yield* join(yield* phoenixSocket(url), "room:1")
      const socket = yield* phoenixSocket(url, { reconnectAfterMs: () => 10, rejoinAfterMs: () => 10 })
      const alice = yield* join(socket, "room:1", { key: "alice" })
      yield* watcher.isTold("join alice 1")
      yield* alice.sees("alice:{}")
      socket.conn?.terminate()
      yield* watcher.isTold("leave alice 1")
      yield* watcher.until(() => watcher.told.filter((line) => line === "join alice 1").length === 2)
      yield* alice.sees("alice:{}")
    })
  )
})

describe("events", () => {
  it.scopedLive("go to the topic's other members, not back, and are answered ok", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const alice = yield* join(yield* phoenixSocket(url), "room:1", {}, ["typing"])
      const bob = yield* join(yield* phoenixSocket(url), "room:1", {}, ["typing"])
      const eve = yield* join(yield* phoenixSocket(url), "room:2", {}, ["typing"])
      expect(yield* alice.push("typing", { on: true })).toEqual(["ok", {}])
      yield* bob.isTold(`typing {"on":true}`)
      expect(alice.told).toEqual([])
      expect(eve.told).toEqual([])
    })
  )

  it.scopedLive("nobody can speak for the server", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const alice = yield* join(yield* phoenixSocket(url), "room:1")
      for (const event of ["presence_state", "presence_diff", "system", "postgres_changes", "e".repeat(256)]) {
        expect(yield* alice.push(event, {})).toEqual(["error", { reason: "reserved event" }])
      }
    })
  )

  it.scopedLive("nor answer what others asked the server", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const answer = { status: "ok" as const, response: { from: "server" } }
      const { url } = yield* makeServer({
        onMessage: ({ event }) =>
          event === "ask" ? Effect.as(Deferred.await(go), Option.some(answer)) : Effect.succeedNone
      })
      const alice = yield* join(yield* phoenixSocket(url), "room:1")
      const mallory = yield* join(yield* phoenixSocket(url), "room:1")
      const asked = yield* Effect.fork(alice.push("ask", {}))
      // The event that the client raises within itself for the answer to its push. Refs are easily guessed.
      for (let ref = 1; ref < 10; ref++) {
        yield* mallory.push(`chan_reply_${ref}`, { status: "ok", response: { from: "mallory" } })
      }
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(asked)).toEqual(["ok", { from: "server" }])
    })
  )

  it.scopedLive("the application takes its own and answers; the rest goes on", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer({
        onMessage: ({ event, payload, key, topic }) =>
          Effect.succeed(
            event === "whoami"
              ? Option.some({ status: "ok" as const, response: { key, topic, payload } })
              : event === "never"
                ? Option.some({ status: "error" as const, response: { reason: "never" } })
                : Option.none()
          )
      })
      const alice = yield* join(yield* phoenixSocket(url), "room:1", { key: "alice" })
      const bob = yield* join(yield* phoenixSocket(url), "room:1", {}, ["whoami", "never", "hello"])
      expect(yield* alice.push("whoami", { a: 1 })).toEqual([
        "ok",
        { key: "alice", topic: "room:1", payload: { a: 1 } }
      ])
      expect(yield* alice.push("never", {})).toEqual(["error", { reason: "never" }])
      expect(yield* alice.push("hello", {})).toEqual(["ok", {}])
      yield* bob.isTold("hello {}")
      expect(bob.told.filter((line) => !line.startsWith("join"))).toEqual(["hello {}"])
    })
  )

  it.scopedLive("bytes travel as bytes, both ways", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer({
        onMessage: ({ event, payload }) =>
          Effect.succeed(
            event === "mirror" && payload instanceof Uint8Array
              ? Option.some({ status: "ok" as const, response: payload })
              : Option.none()
          )
      })
      const alice = yield* join(yield* phoenixSocket(url), "room:1")
      const bob = yield* join(yield* phoenixSocket(url), "room:1")
      const heard = Effect.async<unknown>((resume) => {
        bob.channel.on("file", (payload) => resume(Effect.succeed(payload)))
      })
      const fiber = yield* Effect.fork(heard)
      yield* Effect.yieldNow()
      expect(yield* alice.push("file", Uint8Array.of(1, 2, 3).buffer)).toEqual(["ok", {}])
      expect(new Uint8Array((yield* fiber) as ArrayBuffer)).toEqual(Uint8Array.of(1, 2, 3))
      const [status, response] = yield* alice.push("mirror", Uint8Array.of(7).buffer)
      expect(status).toBe("ok")
      expect(new Uint8Array(response as ArrayBuffer)).toEqual(Uint8Array.of(7))
    })
  )

  it.scopedLive("reach members over the other protocol, and over another replica that shares the channels", () =>
    Effect.gen(function* () {
      const { url, channels } = yield* makeServer()
      const alice = yield* join(yield* phoenixSocket(url), "room:1", {}, ["hello"])
      const other = yield* connect(`${url}/realtime/v1/websocket?vsn=2.0.0`)
      other.say("1", "1", "realtime:room:1", "phx_join", {})
      yield* other.heard("presence_state")
      expect(yield* alice.push("hello", { a: 1 })).toEqual(["ok", {}])
      expect(yield* other.heard("hello")).toEqual([null, null, "realtime:room:1", "hello", { a: 1 }])
      for (const nonsense of ["", "short", `${crypto.randomUUID()}{`, `${crypto.randomUUID()}{"event":5}`]) {
        yield* channels.publish("socket:room:1", nonsense)
      }
      yield* channels.publish("socket:room:1", `${crypto.randomUUID()}{"event":"hello","payload":{"far":1}}`)
      yield* alice.isTold(`hello {"far":1}`)
      expect(alice.told).toEqual([`hello {"far":1}`])
    })
  )

  it.scopedLive("of members on another replica come in one go, and none is lost", () =>
    Effect.gen(function* () {
      const { url, channels } = yield* makeServer()
      const alice = yield* connect(phoenixUrl(url))
      alice.say("1", "1", "room:1", "phx_join", {})
      yield* alice.heard("presence_state")
      const all = Array.from({ length: 1_000 }, (_, n) => n)
      const replica = crypto.randomUUID()
      for (const n of all) channels.unsafePublish("socket:room:1", `${replica}{"event":"hello","payload":{"n":${n}}}`)
      yield* alice.until(() => alice.frames.find(([, , , , { n }]) => n === 999))
      expect(alice.frames.filter(([, , , event]) => event === "hello").map(([, , , , { n }]) => n)).toEqual(all)
    })
  )

  it.scopedLive("reach them all, also in a burst", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const alice = yield* connect(phoenixUrl(url))
      alice.say("1", "1", "room:1", "phx_join", {})
      yield* alice.reply("1")
      const other = yield* connect(`${url}/realtime/v1/websocket?vsn=2.0.0`)
      other.say("1", "1", "realtime:room:1", "phx_join", {})
      yield* other.heard("presence_state")
      const all = Array.from({ length: 1_000 }, (_, n) => n)
      for (const n of all) alice.say("1", null, "room:1", "hello", { n })
      alice.say("1", "2", "room:1", "end", {})
      yield* other.heard("end")
      expect(other.frames.filter(([, , , event]) => event === "hello").map(([, , , , { n }]) => n)).toEqual(all)
    })
  )
})

describe("connecting", () => {
  it.scopedLive("a vsn other than 1.0.0 and 2.x is 403, a missing one is 1.0.0", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      expect(yield* Effect.flip(connect(phoenixUrl(url, "vsn=3.0.0")))).toBe(403)
      const client = yield* connect(phoenixUrl(url, ""))
      client.ws.send(JSON.stringify({ topic: "phoenix", event: "heartbeat", payload: {}, ref: "1" }))
      expect(yield* client.until(() => client.frames[0] as unknown)).toEqual({
        topic: "phoenix",
        event: "phx_reply",
        payload: { status: "ok", response: {} },
        ref: "1",
        join_ref: null
      })
    })
  )

  it.scopedLive("authorize is asked at the upgrade, with the parameters, and who is refused is told why", () =>
    Effect.gen(function* () {
      const attempts: Array<unknown> = []
      const { url } = yield* makeServer({
        authorize: ({ on, topic, payload, request }) => {
          attempts.push([on, topic, payload.token, request.headers["x-test"]])
          return payload.token === "good"
            ? Effect.succeed({})
            : Effect.fail(new Unauthorized({ status: payload.token === "bad" ? 403 : 401, reason: "no" }))
        }
      })
      expect(yield* (yield* connect(phoenixUrl(url))).end).toEqual({ code: 4401, reason: "no" })
      expect(yield* (yield* connect(phoenixUrl(url, "vsn=2.0.0&token=bad"))).end).toEqual({ code: 4403, reason: "no" })
      yield* connect(phoenixUrl(url, "vsn=2.0.0&token=good"), { headers: { "x-test": "yes" } })
      expect(attempts).toEqual([
        ["connect", undefined, undefined, undefined],
        ["connect", undefined, "bad", undefined],
        ["connect", undefined, "good", "yes"]
      ])
    })
  )

  it.scopedLive("with authToken two subprotocols are offered and phoenix is answered", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const socket = yield* phoenixSocket(url, { authToken: "secret" })
      yield* join(socket, "room:1")
      expect(socket.conn?.protocol).toBe("phoenix")
      const plain = yield* connect(phoenixUrl(url))
      expect(plain.ws.protocol).toBe("")
    })
  )

  it.scopedLive("pages of other origins are refused, those of this machine and clients that are no page get in", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      for (const origin of ["https://evil.example", "null", "http://localhost.evil.example"]) {
        expect(yield* Effect.flip(connect(phoenixUrl(url), { origin }))).toBe(403)
      }
      const host = url.replace("ws:", "http:")
      for (const origin of [host, "http://localhost:5173"]) yield* connect(phoenixUrl(url), { origin })
      yield* connect(phoenixUrl(url))
      const listed = yield* makeServer({ allowedOrigins: ["https://app.example"] })
      yield* connect(phoenixUrl(listed.url), { origin: "https://app.example" })
      expect(yield* Effect.flip(connect(phoenixUrl(listed.url), { origin: "http://localhost:5173" }))).toBe(403)
      yield* connect(phoenixUrl(listed.url))
    })
  )

  it.scopedLive("who offers other subprotocols gets in with the first of them, and a token is not sent back", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const token = "base64url.bearer.phx.c2VjcmV0"
      for (const [protocols, answered] of [
        [["foo", "bar"], "foo"],
        [["graphql-transport-ws"], "graphql-transport-ws"],
        [["foo", "phoenix"], "phoenix"],
        [[token, "foo"], "foo"],
        [[token, "phoenix"], "phoenix"]
      ] as const) {
        const client = yield* connect(phoenixUrl(url), { protocols })
        expect(client.ws.protocol).toBe(answered)
        client.say("1", "1", "room", "phx_join", {})
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: {} })
      }
    })
  )

  it.scopedLive("JSON in a binary frame is answered, whatever the version", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const old = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
      old.ws.send(Buffer.from(`{"topic":"room","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}`))
      const object = yield* old.until(() => (old.frames as ReadonlyArray<unknown>)[0])
      expect(object).toMatchObject({ topic: "room", event: "phx_reply", ref: "1", payload: { status: "ok" } })
      const list = yield* connect(phoenixUrl(url))
      list.ws.send(Buffer.from(`["1","1","room","phx_join",{}]`))
      expect(yield* list.reply("1")).toEqual({ status: "ok", response: {} })
      const none = yield* connect(phoenixUrl(url, "vsn=1.0.0"))
      none.ws.send(Buffer.from([0, 1, 2]))
      expect(yield* none.end).toEqual({ code: 1007, reason: "no JSON" })
    })
  )

  it.scopedLive("HEAD is 426 as GET is, any other method 405 with what is allowed, both as JSON", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const http = url.replace("ws:", "http:")
      for (const path of ["/socket/websocket", "/realtime/v1/websocket?vsn=2.0.0"]) {
        for (const [method, status, allow] of [
          ["GET", 426, null],
          ["HEAD", 426, null],
          ["OPTIONS", 405, "GET"],
          ["POST", 405, "GET"],
          ["DELETE", 405, "GET"]
        ] as const) {
          const response = yield* Effect.promise(() => fetch(`${http}${path}`, { method }))
          expect([method, response.status, response.headers.get("allow")]).toEqual([method, status, allow])
          const body = yield* Effect.promise(() => response.text())
          if (method === "HEAD") expect(body).toBe("")
          else
            expect(JSON.parse(body)).toEqual({ error: expect.stringContaining(status === 405 ? method : "WebSocket") })
        }
      }
    })
  )

  it.scopedLive("no query makes the server fail", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      for (const query of ["%", "%E0%A4%A", "a=%&b=%ff&&&=&=x", "__proto__=1&constructor=2", "?", "a[b]=1&a=2&a=3"]) {
        const client = yield* connect(phoenixUrl(url, `vsn=2.0.0&${query}`))
        client.say(null, "1", "phoenix", "heartbeat", {})
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: {} })
      }
    })
  )

  it.scopedLive("what is no WebSocket gets 426, an unknown path 404, a broken handshake 400", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const http = url.replace("ws:", "http:")
      const status = (path: string, headers = {}) =>
        Effect.promise(() => fetch(`${http}${path}`, { headers }).then((response) => response.status))
      expect(yield* status("/socket/websocket?vsn=2.0.0")).toBe(426)
      expect(yield* status("/socket/poll?vsn=2.0.0")).toBe(404)
      expect(yield* Effect.flip(connect(`${url}/socket/other`))).toBe(404)
      const handshake = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" }
      const broken = Effect.async<number | undefined>((resume) => {
        const headers = { ...handshake, "sec-websocket-key": "short" }
        get(`${http}/socket/websocket?vsn=2.0.0`, { headers }, (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode))
        })
      })
      expect(yield* broken).toBe(400)
    })
  )
})

describe("stopping", () => {
  it.scoped("open sockets are closed with 1012, spread over the drain, their leases end, no new one gets in", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ drain: "500 millis" })
      const clients = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) =>
          Effect.gen(function* () {
            const client = yield* connect(phoenixUrl(server.url))
            client.say("1", "1", "room:1", "phx_join", { key: `user ${i}` })
            yield* client.reply("1")
            return client
          })
      )
      const stopping = yield* Effect.fork(server.stop)
      const closed = () => clients.filter((client) => client.closed !== undefined)
      for (let times = 1; times <= clients.length; times++) {
        yield* Effect.raceAll(clients.map((client) => client.until(() => closed().length >= times)))
        expect(closed()).toHaveLength(times)
        if (times < clients.length) yield* TestClock.adjust("25 millis")
      }
      yield* stopping
      expect(new Set(clients.map(({ closed }) => closed?.code))).toEqual(new Set([1012]))
      expect(yield* server.presence.count("room:1")).toEqual({ keys: 0, connections: 0 })
      expect(yield* Effect.flip(connect(phoenixUrl(server.url)))).toBe(0)
    })
  )

  it.scopedLive("Phoenix's client comes back by itself after a 1012", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const socket = yield* phoenixSocket(server.url, { reconnectAfterMs: () => 10 })
      yield* join(socket, "room:1", { key: "alice" })
      const code = yield* Effect.fork(closeCode(socket))
      yield* Effect.yieldNow()
      yield* server.stop
      expect(yield* code).toBe(1012)
      const tried = yield* Deferred.make<void>()
      socket.onError(() => Deferred.unsafeDone(tried, Effect.void))
      yield* Deferred.await(tried)
    })
  )

  it.scopedLive("a client that does not answer the close holds nothing up for long", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room:1", "phx_join", { key: "alice" })
      yield* client.reply("1")
      client.ws.pause()
      // Long before a closing handshake is given up; this timer and the server's are late together.
      yield* Effect.timeout(server.stop, "20 seconds")
    })
  )
})
