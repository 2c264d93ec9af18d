/** What authorize grants for a time: a channel ends when it is over, unless a newer token came. And the end of all. */
import { describe, expect, it, vi } from "@effect/vitest"
import { RealtimeClient, type WebSocketLikeConstructor } from "@supabase/realtime-js"
import { Deferred, Effect, TestClock } from "effect"
import { Socket as Socket18 } from "phoenix"
import { Socket as Socket16 } from "phoenix-1.6"
import { Socket as Socket17 } from "phoenix-1.7"
import { WebSocket } from "ws"
import { nextTurn } from "../../src/internal/leases/turns.js"
import { Unauthorized } from "../../src/PresenceError.js"
import type { Authorize } from "../../src/web/Authorize.js"
import { connect, phoenixUrl, supabaseUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

/** A token is who it is, and for how many seconds from the start: `alice 60`. */
const authorize: Authorize = ({ on, payload }) =>
  Effect.suspend(() => {
    if (on === "connect") return Effect.succeed({})
    const [sub, seconds] = String(payload.access_token ?? payload.token).split(" ")
    if (sub === "undefined") return Effect.fail(new Unauthorized({ reason: "unauthorized" }))
    const expires = seconds === undefined ? undefined : Number(seconds) * 1_000
    return Effect.succeed(payload.key === undefined ? { expires } : { key: sub, meta: payload.meta, expires })
  })

/** Waits for the thing itself; the test's own time limit is the end of it. */
const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.zipRight(nextTurn, until(holds))))

/** Until the messages that were sent before are dealt with. */
const settled = (client: Effect.Effect.Success<ReturnType<typeof connect>>, ref: string) =>
  Effect.sync(() => client.say(null, ref, "phoenix", "heartbeat", {})).pipe(Effect.zipRight(client.reply(ref)))

describe("a grant that expires", () => {
  it.scoped("at no date that can be read lets nobody in", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer({ authorize: () => Effect.succeed({ key: "x", expires: Number.NaN }) })
      const client = yield* connect(phoenixUrl(url))
      client.say("1", "1", "room", "phx_join", {})
      expect(yield* client.reply("1")).toEqual({ status: "error", response: { reason: "authorization failed" } })
    })
  )

  it.scoped("ends its channel with phx_error and its lease, and no other channel, and the socket stays", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ authorize })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "short", "phx_join", { key: "x", token: "alice 10" })
      client.say("2", "2", "long", "phx_join", { key: "x", token: "alice 100" })
      client.say("3", "3", "ever", "phx_join", { key: "x", token: "alice" })
      yield* client.reply("3")
      yield* TestClock.adjust("9 seconds")
      yield* settled(client, "4")
      expect(client.frames.filter(([, , , event]) => event === "phx_error")).toEqual([])
      yield* TestClock.adjust("1 seconds")
      expect(yield* client.heard("phx_error")).toEqual(["1", "1", "short", "phx_error", {}])
      expect(yield* server.presence.topics).toEqual(expect.arrayContaining(["long", "ever"]))
      expect(yield* server.presence.list("short")).toEqual([])
      client.say("1", "5", "short", "anything", {})
      expect(yield* client.reply("5")).toEqual({ status: "error", response: { reason: "unmatched topic" } })
      // Every now and then a sign of life, else the socket would be closed.
      for (let i = 0; i < 3; i++) {
        yield* TestClock.adjust("30 seconds")
        yield* settled(client, `beat ${i}`)
      }
      expect((yield* client.until(() => client.frames.filter(([, , , event]) => event === "phx_error")[1]))[2]).toBe(
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
        expect(client.frames.filter(([, , , event]) => event === "phx_error")).toEqual([])
        yield* TestClock.adjust("1 seconds")
        yield* client.heard("phx_error")
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
      yield* client.heard("phx_error")
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
      expect(client.frames.filter(([, , , event]) => event === "phx_error")).toEqual([])
      expect(yield* server.presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
    })
  )
})

describe("clients whose token has expired", () => {
  /** Tokens of their own clock: `good` holds, `short` ends when the test says so. */
  const making = (isOver: () => boolean, asked: Array<string>) =>
    makeServer({
      authorize: ({ on, payload }) =>
        Effect.suspend(() => {
          if (on === "connect") return Effect.succeed({})
          const token = String(payload.access_token ?? payload.token)
          asked.push(token)
          if (token === "short" && isOver()) return Effect.fail(new Unauthorized({ reason: "unauthorized" }))
          return Effect.succeed({ key: "alice", expires: token === "short" ? 10_000 : undefined })
        })
    })

  for (const [version, Socket] of [
    ["1.6", Socket16],
    ["1.7", Socket17],
    ["1.8", Socket18]
  ] as const) {
    it.scoped(`phoenix ${version} joins again, with the token that its params have then`, () =>
      Effect.gen(function* () {
        let token = "short"
        let over = false
        const asked: Array<string> = []
        const server = yield* making(() => over, asked)
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => new Socket(`${server.url}/socket`, { transport: WebSocket, rejoinAfterMs: () => 10 })),
          (socket) => Effect.sync(() => socket.disconnect())
        )
        socket.connect()
        const channel = socket.channel("room", () => ({ token }))
        const reasons: Array<unknown> = []
        let joins = 0
        channel
          .join()
          .receive("ok", () => joins++)
          .receive("error", ({ reason }) => reasons.push(reason))
        yield* until(() => joins === 1)
        over = true
        yield* TestClock.adjust("10 seconds")
        yield* until(() => reasons.length >= 2)
        expect(new Set(reasons)).toEqual(new Set(["unauthorized"]))
        expect(yield* server.presence.list("room")).toEqual([])
        token = "good"
        yield* until(() => joins === 2)
        expect(yield* server.presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
        expect(asked.at(-1)).toBe("good")
      })
    )
  }

  it.scoped("realtime-js joins again after a setAuth that came late", () =>
    Effect.gen(function* () {
      let over = false
      const asked: Array<string> = []
      const server = yield* making(() => over, asked)
      const client = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new RealtimeClient(`${server.url}/realtime/v1`, {
              params: { apikey: "k" },
              transport: WebSocket as unknown as WebSocketLikeConstructor,
              reconnectAfterMs: () => 10
            })
        ),
        (client) => Effect.promise(() => client.disconnect())
      )
      yield* Effect.promise(() => client.setAuth("short"))
      const channel = client.channel("room", { config: { presence: { key: "alice" } } })
      const statuses: Array<string> = []
      channel.subscribe((status) => statuses.push(status))
      yield* until(() => statuses.includes("SUBSCRIBED"))
      over = true
      yield* TestClock.adjust("10 seconds")
      yield* until(() => statuses.includes("CHANNEL_ERROR"))
      yield* until(() => asked.filter((token) => token === "short").length >= 2)
      yield* Effect.promise(() => client.setAuth("good"))
      yield* until(() => statuses.filter((status) => status === "SUBSCRIBED").length === 2)
      expect(asked.at(-1)).toBe("good")
    })
  )

  it.scoped("a grant that has ended already is refused, so that nobody joins and is put out for ever", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ authorize })
      yield* TestClock.adjust("20 seconds")
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "x", token: "alice 20" })
      expect(yield* client.reply("1")).toEqual({ status: "error", response: { reason: "unauthorized" } })
      client.say("2", "2", "room", "phx_join", { key: "x", token: "alice 21" })
      expect(yield* client.reply("2")).toEqual({ status: "ok", response: { key: "alice" } })
    })
  )

  it.scoped("whose end was said in seconds is refused with what it is to be said in", () =>
    Effect.gen(function* () {
      const now = Date.parse("2026-01-01")
      // Before there is anybody who would do something each second until then.
      yield* TestClock.setTime(now)
      const server = yield* makeServer({
        authorize: ({ payload }) =>
          Effect.succeed({ key: "alice", expires: Number(payload.token ?? Number.POSITIVE_INFINITY) })
      })
      const client = yield* connect(phoenixUrl(server.url))
      for (const [token, reason] of [
        [now / 1_000 + 3_600, "unauthorized: the grant ended in 1970, as its end is in milliseconds since the epoch"],
        [now - 1, "unauthorized"],
        [0, "unauthorized"],
        [1, "unauthorized"]
      ] as const) {
        client.say("1", `${token}`, "room", "phx_join", { key: "x", token })
        expect(yield* client.reply(`${token}`)).toEqual({ status: "error", response: { reason } })
      }
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
      // The state may show her already; else a diff tells of her.
      yield* Effect.promise(() => vi.waitFor(() => expect(JSON.stringify(last?.frames)).toContain('"carol"'), 300_000))
      yield* server.stop
      for (const client of clients) expect((yield* client.end).code).toBe(1012)
      expect(last?.frames.flatMap(({ 4: payload }) => Object.keys(Object(payload.leaves)))).toEqual([])
    })
  )
})
