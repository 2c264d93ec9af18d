/** The published Phoenix clients where no WebSocket comes through, and what hostile ones get who poll. */
import { connect as connectTcp } from "node:net"
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { LongPoll as LongPoll18, Socket as Socket18 } from "phoenix"
import { LongPoll as LongPoll16, Socket as Socket16 } from "phoenix-1.6"
import { LongPoll as LongPoll17, Socket as Socket17 } from "phoenix-1.7"
import { Unauthorized } from "../../src/PresenceError.js"
import { connect, phoenixUrl } from "./support/client.js"
import { join } from "./support/phoenix.js"
import { makeServer, type TestServer } from "./support/server.js"

const clients = [
  ["1.6", Socket16, LongPoll16],
  ["1.7", Socket17, LongPoll17],
  ["1.8", Socket18, LongPoll18]
] as const

const polling = ([, Socket, transport]: (typeof clients)[number], url: string, options: Record<string, unknown> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = new Socket(`${url}/socket`, { transport, ...options })
      socket.connect()
      return socket
    }),
    (socket) => Effect.sync(() => socket.disconnect())
  )

interface Answer {
  readonly http: number
  readonly status: number
  readonly token: string
  readonly messages: ReadonlyArray<string>
  readonly error?: string
  readonly headers: Headers
}

/** A request as no client makes it. */
const ask = (server: Pick<TestServer, "url">, token?: string, init: RequestInit = {}): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const query = token === undefined ? "" : `&token=${token}`
    const url = `${server.url.replace("ws:", "http:")}/socket/longpoll?vsn=2.0.0${query}`
    const response = await fetch(url, { signal, ...init })
    const text = await response.text()
    return { ...(text === "" ? {} : JSON.parse(text)), http: response.status, headers: response.headers }
  })

const say = (server: TestServer, token: string, body: string, type = "application/x-ndjson") =>
  ask(server, token, { method: "POST", body, headers: { "content-type": type } })

const frame = (...fields: [unknown, unknown, string, string, unknown]): string => JSON.stringify(fields)

/** Polls until one of the messages has the event. */
const hear = (server: TestServer, token: string, event: string): Effect.Effect<ReadonlyArray<unknown>> =>
  Effect.gen(function* () {
    for (;;) {
      const { status, messages } = yield* ask(server, token)
      if (status !== 200 && status !== 204) return yield* Effect.dieMessage(`a poll was answered ${status}`)
      const found = messages.map((text) => JSON.parse(text)).find((message) => message[3] === event)
      if (found !== undefined) return found
    }
  })

const begin = (server: TestServer): Effect.Effect<string> => Effect.map(ask(server), ({ token }) => token)

const joinAs = (server: TestServer, key: string) =>
  Effect.gen(function* () {
    const token = yield* begin(server)
    expect((yield* say(server, token, frame("1", "1", "room", "phx_join", { key }))).status).toBe(200)
    yield* hear(server, token, "presence_state")
    return token
  })

const isGone = ({ presence }: TestServer, key: string) =>
  Effect.gen(function* () {
    while (Option.isSome(yield* presence.get("room", key))) yield* Effect.sleep(10)
  })

describe.each(clients)("phoenix %s by long polling", (...client) => {
  it.scopedLive("joins, is told the state and diffs, updates, untracks, and leaves at once when it disconnects", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const watcher = yield* join(yield* polling(client, server.url), "room", {}, ["hello"])
      const socket = yield* polling(client, server.url)
      const alice = yield* join(socket, "room", { key: "alice", meta: { a: 1 } })
      yield* watcher.sees(`alice:{"a":1}`)
      yield* alice.sees(`alice:{"a":1}`)
      expect(yield* alice.push("presence", { event: "track", payload: { a: 2 } })).toEqual(["ok", {}])
      yield* watcher.sees(`alice:{"a":2}`)
      expect(yield* alice.push("presence", { event: "untrack" })).toEqual(["ok", {}])
      yield* watcher.sees()
      expect(yield* alice.push("presence", { event: "track", payload: { a: 3 } })).toEqual(["ok", {}])
      yield* watcher.sees(`alice:{"a":3}`)
      for (let i = 0; i < 20; i++) alice.channel.push("hello", { i })
      for (let i = 0; i < 20; i++) yield* watcher.isTold(`hello {"i":${i}}`)
      // Once each.
      expect(watcher.told.filter((line) => line.startsWith("hello")).length).toBe(20)
      socket.disconnect()
      yield* watcher.sees()
    })
  )

  it.scopedLive("stays between polls without a leave", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { idleTimeout: "5 seconds" } })
      const watcher = yield* join(yield* polling(client, server.url), "room")
      yield* join(yield* polling(client, server.url), "room", { key: "alice" })
      yield* watcher.sees("alice:{}")
      // Longer than the idle timeout, so over several polls, each of half of it.
      yield* Effect.sleep(6_500)
      expect(watcher.told.filter((line) => line !== "join alice 1")).toEqual([])
      expect(watcher.list).toEqual(["alice:{}"])
    })
  )

  it.scopedLive("begins anew, and its channels join again, when its session is not known", () =>
    Effect.gen(function* () {
      // Polls are answered twice as soon as its client gives them up.
      const limits = { idleTimeout: "6 seconds" } as const
      const first = yield* makeServer({ limits })
      const socket = yield* polling(client, first.url, {
        reconnectAfterMs: () => 50,
        rejoinAfterMs: () => 50,
        longpollerTimeout: 6_000
      })
      const alice = yield* join(socket, "room", { key: "alice" })
      yield* alice.sees("alice:{}")
      // Another replica, at the same address: it knows nothing of the session.
      const other = yield* makeServer({ limits })
      const conn = socket.conn as unknown as { pollEndpoint: string }
      const moved = other.url.replace("ws:", "http:")
      conn.pollEndpoint = conn.pollEndpoint.replace(/^http:\/\/[^/]+/, moved)
      Object.assign(socket, { endPoint: `${other.url}/socket/websocket` })
      yield* first.stop
      while (Option.isNone(yield* other.presence.get("room", "alice"))) yield* Effect.sleep(10)
      yield* alice.sees("alice:{}")
      expect(alice.told.includes("error")).toBe(true)
      expect(yield* alice.push("hello", {})).toEqual(["ok", {}])
    })
  )

  it.scopedLive("hears why it is refused, and comes in with the parameters that it has then", () =>
    Effect.gen(function* () {
      let good = false
      const server = yield* makeServer({
        authorize: ({ on, payload }) =>
          on === "connect" && payload.ticket !== "good"
            ? Effect.fail(new Unauthorized({ reason: "no ticket" }))
            : Effect.succeed({ key: "alice" })
      })
      const socket = yield* polling(client, server.url, {
        params: () => ({ ticket: good ? "good" : "bad" }),
        reconnectAfterMs: () => 50,
        rejoinAfterMs: () => 50
      })
      expect(yield* Effect.flip(join(socket, "room"))).toEqual({ reason: "no ticket" })
      good = true
      while (Option.isNone(yield* server.presence.get("room", "alice"))) yield* Effect.sleep(10)
    })
  )
})

describe("a session", () => {
  it.scopedLive(
    "opens with 410 and a token, hears frames with 200, nothing with 204, and is gone elsewhere with 410",
    () =>
      Effect.gen(function* () {
        const server = yield* makeServer({ limits: { idleTimeout: "2 seconds" } })
        const opened = yield* ask(server)
        expect(opened).toMatchObject({ http: 200, status: 410, messages: [] })
        expect(opened.token.length).toBeGreaterThan(32)
        expect(yield* ask(server, opened.token)).toMatchObject({ status: 204, token: opened.token, messages: [] })
        expect((yield* say(server, opened.token, frame(null, "1", "phoenix", "heartbeat", {}))).status).toBe(200)
        const { status, messages } = yield* ask(server, opened.token)
        expect([status, messages.map((text) => JSON.parse(text)[3])]).toEqual([200, ["phx_reply"]])
        const other = yield* makeServer()
        const gone = yield* ask(other, opened.token)
        expect(gone.status).toBe(410)
        // Who takes that for an open socket is told so as it understands it.
        expect((yield* ask(other, gone.token)).status).toBe(500)
        expect((yield* say(other, opened.token, "[]")).status).toBe(410)
      })
  )

  it.scopedLive("of two polls the newer waits, the older hears that there is nothing", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const token = yield* joinAs(server, "alice")
      const older = yield* Effect.fork(ask(server, token))
      yield* Effect.sleep(100)
      const newer = yield* Effect.fork(ask(server, token))
      expect((yield* older.await).pipe((exit) => (exit._tag === "Success" ? exit.value.status : exit))).toBe(204)
      yield* say(server, token, frame(null, "9", "phoenix", "heartbeat", {}))
      const exit = yield* newer.await
      expect(exit._tag === "Success" && exit.value.messages.length).toBe(1)
      expect(Option.isSome(yield* server.presence.get("room", "alice"))).toBe(true)
    })
  )

  it.scopedLive("ends when its client ends the poll that waits, and when it stops polling", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { idleTimeout: "1 seconds" } })
      const silent = yield* joinAs(server, "silent")
      yield* isGone(server, "silent")
      expect((yield* ask(server, silent)).status).toBe(410)
      const patient = yield* makeServer()
      const token = yield* joinAs(patient, "alice")
      const poll = yield* Effect.fork(ask(patient, token))
      yield* Effect.sleep(100)
      yield* Effect.forkDaemon(poll.interruptAsFork(poll.id()))
      yield* isGone(patient, "alice")
    })
  )

  it.scopedLive("is told to come back when the server stops, and the poll that waits is answered", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const token = yield* joinAs(server, "alice")
      const poll = yield* Effect.fork(ask(server, token))
      yield* Effect.sleep(100)
      yield* server.stop
      const exit = yield* poll.await
      expect(exit._tag === "Success" && exit.value.status).toBe(410)
    })
  )

  it.scopedLive("takes a token of the application's own where its own would stand", () =>
    Effect.gen(function* () {
      const tokens: Array<unknown> = []
      const server = yield* makeServer({
        authorize: ({ on, payload }) => {
          if (on === "connect") tokens.push(payload.token)
          return Effect.succeed({})
        }
      })
      expect((yield* ask(server, "mine")).status).toBe(410)
      expect(tokens).toEqual(["mine"])
    })
  )
})

describe("who polls in bad faith", () => {
  it.scopedLive("is told how many there may be, until one of them has ended", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { longPolls: 50, idleTimeout: "10 minutes" } })
      const answers = yield* Effect.all(
        Array.from({ length: 200 }, () => ask(server)),
        { concurrency: 20 }
      )
      const opened = answers.filter(({ status }) => status === 410)
      expect(opened.length).toBe(50)
      const refused = answers.find(({ http }) => http === 503)
      expect(refused).toMatchObject({ status: 500, error: expect.stringContaining("50") })
      // What is no message ends a session, as silence does.
      yield* say(server, opened[0]?.token ?? "", "[")
      while ((yield* ask(server)).status !== 410) yield* Effect.sleep(50)
    })
  )

  it.scopedLive("is cut off with what is too large, and answered what is allowed", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { frameBytes: 1_000 } })
      const token = yield* joinAs(server, "mallory")
      const huge = yield* say(server, token, "x".repeat(100_000))
      expect(huge).toMatchObject({ http: 413, error: expect.stringContaining("1000 bytes") })
      yield* isGone(server, "mallory")
      const second = yield* joinAs(server, "mallory")
      expect((yield* say(server, second, frame("1", "2", "room", "x", { text: "x".repeat(1_000) }))).http).toBe(413)
      yield* isGone(server, "mallory")
    })
  )

  it.scopedLive.each([
    ["no JSON", "application/json", "{"],
    ["text of another type", "text/plain", "hello"],
    ["lines that are none of ours", "application/x-ndjson", "[1,2]\n!!"],
    ["nothing", "application/json", ""]
  ] as const)("%s ends the session, and its leases", ([, type, body]) =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const token = yield* joinAs(server, "mallory")
      yield* say(server, token, body, type)
      yield* isGone(server, "mallory")
      expect((yield* ask(server, token)).status).toBe(410)
    })
  )

  it.scopedLive("a frame of bytes comes as base64, and others hear it", () =>
    Effect.gen(function* () {
      const heard: Array<unknown> = []
      const server = yield* makeServer({
        onMessage: ({ payload }) => Effect.sync(() => Option.none()).pipe(Effect.tap(() => heard.push(payload)))
      })
      const token = yield* joinAs(server, "alice")
      const push = Buffer.concat([Buffer.from([0, 1, 1, 4, 1]), Buffer.from("12roomx"), Buffer.from([1, 2, 3])])
      expect((yield* say(server, token, push.toString("base64"))).status).toBe(200)
      yield* hear(server, token, "phx_reply")
      expect(heard.map((payload) => [...(payload as Uint8Array)])).toEqual([[1, 2, 3]])
    })
  )

  it.scopedLive("holds no more unsent than a socket may, and is cut off in time", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({
        limits: { unsentBytes: 10_000, unsentFor: "1 seconds", idleTimeout: "30 seconds" }
      })
      yield* joinAs(server, "slow")
      const loud = yield* joinAs(server, "loud")
      const line = frame("1", null, "room", "shout", { text: "x".repeat(9_000) })
      for (let i = 0; i < 20; i++) expect((yield* say(server, loud, line)).status).toBe(200)
      yield* isGone(server, "slow")
      // It heard nothing, as nobody says what it said back to it.
      expect(Option.isSome(yield* server.presence.get("room", "loud"))).toBe(true)
    })
  )

  it.scopedLive("is cut off when it does not take what it was answered", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({
        limits: {
          unsentBytes: 16_000_000,
          unsentBytesMax: 64_000_000,
          messagesPerSecond: 100_000,
          unsentFor: "1 seconds",
          idleTimeout: "3 minutes"
        }
      })
      const slow = yield* joinAs(server, "slow")
      const loud = yield* joinAs(server, "loud")
      const shout = say(server, loud, frame("1", null, "room", "shout", { text: "x".repeat(900_000) }))
      for (let i = 0; i < 12; i++) yield* shout
      // More than a kernel keeps, and nobody reads it.
      const tcp = yield* Effect.acquireRelease(
        Effect.sync(() => connectTcp(Number(new URL(server.url).port), "127.0.0.1").on("error", () => {})),
        (tcp) => Effect.sync(() => tcp.destroy())
      )
      tcp.pause()
      tcp.write(`GET /socket/longpoll?vsn=2.0.0&token=${slow} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
      yield* Effect.sleep(500)
      for (let i = 0; i < 9; i++) yield* shout
      yield* isGone(server, "slow")
      expect((yield* ask(server, slow)).status).toBe(410)
    })
  )

  it.scopedLive(
    "from an origin that is not allowed gets nothing; one that is may read, and its preflight is granted",
    () =>
      Effect.gen(function* () {
        const server = yield* makeServer({ allowedOrigins: ["https://app.example"] })
        const foreign = yield* ask(server, undefined, { headers: { origin: "https://evil.example" } })
        expect(foreign).toMatchObject({ http: 403, status: 403 })
        const origin = "https://app.example"
        const own = yield* ask(server, undefined, { headers: { origin } })
        expect([own.status, own.headers.get("access-control-allow-origin")]).toEqual([410, origin])
        const preflight = yield* ask(server, undefined, {
          method: "OPTIONS",
          headers: { origin, "access-control-request-headers": "content-type" }
        })
        expect(preflight.http).toBe(204)
        expect(preflight.headers.get("access-control-allow-headers")).toBe("content-type")
        expect((yield* ask(server, undefined, { method: "PUT" })).http).toBe(405)
      })
  )
})

it.scopedLive(
  "a program that ends requests sooner than a poll does ends the session that polls, and nobody else's",
  () =>
    Effect.gen(function* () {
      const impatient = HttpLayerRouter.use((router) =>
        router.addGlobalMiddleware(
          Effect.timeoutTo({
            duration: "300 millis",
            onSuccess: (answer: HttpServerResponse.HttpServerResponse) => answer,
            onTimeout: () => HttpServerResponse.empty({ status: 504 })
          })
        )
      )
      const server = yield* makeServer({ beside: impatient })
      const innocent = yield* connect(phoenixUrl(server.url))
      innocent.say("1", "1", "room", "phx_join", { key: "innocent" })
      yield* innocent.reply("1")
      const token = yield* joinAs(server, "impatient")
      let polled = yield* ask(server, token)
      while (polled.http !== 504) polled = yield* ask(server, token)
      expect((yield* ask(server, token)).status).toBe(410)
      innocent.say("1", "2", "room", "hello", {})
      expect(yield* innocent.reply("2")).toMatchObject({ status: "ok" })
      const late = yield* connect(phoenixUrl(server.url))
      late.say("1", "1", "room", "phx_join", { key: "late" })
      expect(yield* late.reply("1")).toMatchObject({ status: "ok" })
      expect((yield* server.presence.list("room")).map(({ key }) => key)).toEqual(["innocent", "late"])
    })
)

it.scopedLive(
  "a post of more messages than clients send ends its session, and large answers come in several polls",
  () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const token = yield* joinAs(server, "alice")
      const lines = (count: number) => "x\n".repeat(count)
      expect((yield* say(server, token, lines(1_001))).http).toBe(413)
      expect((yield* ask(server, token)).status).toBe(410)
      const reader = yield* joinAs(server, "bob")
      for (let n = 0; n < 5; n++) {
        yield* server.presence.track("room", `k${n}`, "x".repeat(16_000))
      }
      let heard = 0
      while (heard < 5)
        heard += (yield* ask(server, reader)).messages?.filter((text) => text.includes("presence_diff")).length ?? 0
    })
)

it.scopedLive("a small post in pieces of a byte is taken, and one in more than a network makes ends its session", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const { port, host } = new URL(server.url)
    const post = (token: string, body: string, pieces: string) =>
      Effect.async<string>((resume) => {
        let text = ""
        const socket = connectTcp(Number(port), "127.0.0.1", () =>
          socket.write(
            `POST /socket/longpoll?vsn=2.0.0&token=${token} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n` +
              `content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n${pieces}` +
              `${body.replace(/./g, "1\r\n$&\r\n")}0\r\n\r\n`
          )
        )
        socket.on("data", (data) => {
          text += data
        })
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.succeed(text)))
      })
    const token = yield* joinAs(server, "alice")
    const long = frame("1", "2", "room", "hello", { text: "x".repeat(200) })
    expect(yield* post(token, long, "")).toContain('{"status":200}')
    expect(yield* hear(server, token, "phx_reply")).toMatchObject(["1", "2", "room", "phx_reply", { status: "ok" }])
    yield* post(token, "", "1\r\n\n\r\n".repeat(300))
    yield* isGone(server, "alice")
  })
)

it.scopedLive(
  "a post that asks for an upgrade, as some clients do for HTTP/2, is refused and not taken for an empty one",
  () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const token = yield* joinAs(server, "alice")
      const body = frame("1", "2", "room", "phx_leave", {})
      const { port, host } = new URL(server.url)
      const head =
        `POST /socket/longpoll?vsn=2.0.0&token=${token} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${body.length}\r\n` +
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
      const answered = yield* Effect.async<string>((resume) => {
        let text = ""
        const socket = connectTcp(Number(port), "127.0.0.1", () => socket.write(head + body))
        socket.on("data", (data) => {
          text += data
        })
        socket.on("close", () => resume(Effect.succeed(text)))
      })
      expect(answered).toMatch(/^HTTP\/1\.1 400 /)
      expect(answered).toContain("without an Upgrade header")
      // The session goes on.
      expect((yield* say(server, token, body)).status).toBe(200)
      yield* isGone(server, "alice")
    })
)

it.scopedLive("a large state is one for all who poll, and comes whole", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ limits: { unsentBytes: 8_000_000, unsentFor: "2 minutes" } })
    // What JSON in JSON has to escape, and characters of several bytes.
    const meta = '"\\\n\u0001ü€😀'.repeat(700)
    for (let i = 0; i < 150; i++) yield* server.presence.track("room", `k${i}`, { i, meta })
    const held = Effect.sync(() => {
      globalThis.gc?.()
      return process.memoryUsage().arrayBuffers
    })
    const tokens: Array<string> = []
    const join = Effect.gen(function* () {
      const token = yield* begin(server)
      tokens.push(token)
      yield* say(server, token, frame("1", "1", "room", "phx_join", {}))
    })
    yield* join
    const one = yield* held
    for (let i = 0; i < 30; i++) yield* join
    expect((yield* held) - one).toBeLessThan(20_000_000)

    const [, , , , state] = yield* hear(server, tokens[0] ?? "", "presence_state")
    expect(Object.keys(state as object)).toHaveLength(150)
    expect(state).toMatchObject({ k0: { metas: [{ i: 0, meta }] }, k149: { metas: [{ i: 149, meta }] } })
  })
)
