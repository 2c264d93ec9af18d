import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, phoenixUrl } from "../support/client.js"
import { join, phoenixSocket } from "../support/phoenix.js"
import { makeServer } from "../support/server.js"

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
