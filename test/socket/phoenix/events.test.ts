import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option } from "effect"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

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
