/** What authorize grants for a time: a channel ends when it is over, unless a newer token came. And the end of all. */
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, TestClock } from "effect"
import { Unauthorized } from "../../src/PresenceError.js"
import type { Authorize } from "../../src/web/Authorize.js"
import { connect, phoenixUrl, supabaseUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

// Real sockets, on machines that may be busy.
vi.setConfig({ testTimeout: 20_000 })

/** A token is who it is, and for how many seconds from the start: `alice 60`. */
const authorize: Authorize = ({ on, payload }) =>
  Effect.suspend(() => {
    if (on === "connect") return Effect.succeed({})
    const [sub, seconds] = String(payload.access_token ?? payload.token).split(" ")
    if (sub === "undefined") return Effect.fail(new Unauthorized({ reason: "unauthorized" }))
    const expires = seconds === undefined ? undefined : Number(seconds) * 1_000
    return Effect.succeed(payload.key === undefined ? { expires } : { key: sub, meta: payload.meta, expires })
  })

/** Until the messages that were sent before are dealt with. */
const settled = (client: Effect.Effect.Success<ReturnType<typeof connect>>, ref: string) =>
  Effect.sync(() => client.say(null, ref, "phoenix", "heartbeat", {})).pipe(Effect.zipRight(client.reply(ref)))

describe("a grant that expires", () => {
  it.scoped("ends its channel with phx_close and its lease, and no other channel, and the socket stays", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ authorize })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "short", "phx_join", { key: "x", token: "alice 10" })
      client.say("2", "2", "long", "phx_join", { key: "x", token: "alice 100" })
      client.say("3", "3", "ever", "phx_join", { key: "x", token: "alice" })
      yield* client.reply("3")
      yield* TestClock.adjust("9 seconds")
      yield* settled(client, "4")
      expect(client.frames.filter(([, , , event]) => event === "phx_close")).toEqual([])
      yield* TestClock.adjust("1 seconds")
      expect(yield* client.heard("phx_close")).toEqual(["1", null, "short", "phx_close", {}])
      expect(yield* server.presence.topics).toEqual(expect.arrayContaining(["long", "ever"]))
      expect(yield* server.presence.list("short")).toEqual([])
      client.say("1", "5", "short", "anything", {})
      expect(yield* client.reply("5")).toEqual({ status: "error", response: { reason: "unmatched topic" } })
      // Every now and then a sign of life, else the socket would be closed.
      for (let i = 0; i < 3; i++) {
        yield* TestClock.adjust("30 seconds")
        yield* settled(client, `beat ${i}`)
      }
      expect((yield* client.until(() => client.frames.filter(([, , , event]) => event === "phx_close")[1]))[2]).toBe(
        "long"
      )
      expect(yield* server.presence.topics).toEqual(["ever"])
    })
  )

  for (const [protocol, url, topic] of [
    ["phoenix", phoenixUrl, "room"],
    ["supabase", supabaseUrl, "realtime:room"]
  ] as const) {
    it.scoped(`${protocol}: an access_token push of the same person brings a later end; others bring none`, () =>
      Effect.gen(function* () {
        const server = yield* makeServer({ authorize })
        const client = yield* connect(url(server.url))
        client.say("1", "1", topic, "phx_join", { key: "x", access_token: "alice 10" })
        yield* client.reply("1")
        client.say("1", "2", topic, "access_token", { access_token: "alice 20" })
        // An older one, somebody else's, and what is none: neither shortens nor lengthens it.
        client.say("1", "3", topic, "access_token", { access_token: "alice 5" })
        client.say("1", "4", topic, "access_token", { access_token: "bob 90" })
        client.say("1", "5", topic, "access_token", { access_token: null })
        client.say("1", "6", topic, "access_token", {})
        yield* settled(client, "7")
        yield* TestClock.adjust("19 seconds")
        yield* settled(client, "8")
        expect(client.frames.filter(([, , , event]) => event === "phx_close")).toEqual([])
        yield* TestClock.adjust("1 seconds")
        yield* client.heard("phx_close")
        // It is never answered.
        expect(client.frames.filter(([, ref]) => ["2", "3", "4", "5", "6"].includes(String(ref)))).toEqual([])
      })
    )
  }

  it.scoped("a push that names a key is asked for with the token of the join, or a newer one, and ends with it", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ authorize })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { token: "alice 10" })
      yield* client.reply("1")
      client.say("1", "2", "room", "access_token", { access_token: "alice 20" })
      client.say("1", "3", "room", "presence", { event: "track", key: "mallory", payload: { a: 1 } })
      expect(yield* client.reply("3")).toEqual({ status: "ok", response: {} })
      expect(yield* server.presence.list("room")).toEqual([{ key: "alice", metas: [{ a: 1 }] }])
      yield* TestClock.adjust("20 seconds")
      yield* client.heard("phx_close")
      expect(yield* server.presence.list("room")).toEqual([])
    })
  )

  it.scoped("a newer token that stands in the line before the end is heard first", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const slowly = Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(go))
      const server = yield* makeServer({
        authorize: (attempt) =>
          attempt.payload.access_token === undefined ? authorize(attempt) : Effect.zipRight(slowly, authorize(attempt))
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "x", token: "alice 10" })
      yield* client.reply("1")
      client.say("1", "2", "room", "access_token", { access_token: "alice 60" })
      yield* Deferred.await(asked)
      yield* TestClock.adjust("15 seconds")
      yield* Deferred.succeed(go, undefined)
      yield* settled(client, "3")
      expect(client.frames.filter(([, , , event]) => event === "phx_close")).toEqual([])
      expect(yield* server.presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
    })
  )
})

describe("the end of all sockets", () => {
  it.scopedLive("who is told later is not told that others went first", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ drain: 300 })
      const clients = yield* Effect.forEach(["alice", "bob", "carol"], (key) =>
        Effect.gen(function* () {
          const client = yield* connect(phoenixUrl(server.url))
          client.say("1", "1", "room", "phx_join", { key })
          yield* client.heard("presence_state")
          return client
        })
      )
      const [, , last] = clients
      yield* Effect.promise(() => vi.waitFor(() => expect(last?.frames.at(-1)?.[4]).toHaveProperty("joins.carol")))
      yield* server.stop
      for (const client of clients) expect((yield* client.end).code).toBe(1012)
      expect(last?.frames.flatMap(({ 4: payload }) => Object.keys(Object(payload.leaves)))).toEqual([])
    })
  )
})
