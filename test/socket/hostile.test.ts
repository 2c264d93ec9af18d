/** What hostile and broken clients get, over real sockets, and what it costs others. */
import { connect as connectTcp, type Socket } from "node:net"
import { setTimeout } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Logger, Option, type Scope, TestClock } from "effect"
import { nextTurn } from "../../src/internal/leases/turns.js"
import { Authorize } from "../../src/socket/index.js"
import { connect, phoenixUrl, type RawClient, supabaseUrl } from "./support/client.js"
import { observing } from "./support/observer.js"
import { join, phoenixSocket } from "./support/phoenix.js"
import { makeServer, type TestServer } from "./support/server.js"

const MIB = 1_048_576

const joined = (
  { url }: TestServer,
  params: object = {},
  topic = "room"
): Effect.Effect<RawClient, number, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* connect(phoenixUrl(url))
    client.say("1", "1", topic, "phx_join", params)
    yield* client.heard("presence_state")
    return client
  })

const isGone = ({ presence }: TestServer, key: string) =>
  Effect.gen(function* () {
    // By the real clock, also where the server's is a test's.
    while (Option.isSome(yield* presence.get("room", key))) yield* Effect.promise(() => setTimeout(10))
  })

describe("what is no message closes the socket with 1007, and ends its leases", () => {
  it.scopedLive.each([
    ["malformed JSON", "[1,2"],
    ["nothing", ""],
    ["no list of five", `["1","2","room","hello"]`],
    ["a topic that is no string", `["1","2",{},"hello",{}]`],
    ["a ref that is a list", `["1",[],"room","hello",{}]`],
    ["text that is no UTF-8", Buffer.from([0x5b, 0xff, 0x5d])],
    ["a version 1 message in version 2", `{"topic":"room","event":"hello","payload":{},"ref":"1"}`]
  ] as const)("%s", ([, data]) =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const watcher = yield* join(yield* phoenixSocket(server.url), "room")
      const client = yield* joined(server, { key: "mallory" })
      yield* watcher.sees("mallory:{}")
      client.ws.send(data, { binary: false })
      expect((yield* client.end).code).toBe(1007)
      yield* watcher.sees()
    })
  )

  it.scopedLive("a binary frame whose names are no UTF-8", () =>
    Effect.gen(function* () {
      const client = yield* joined(yield* makeServer())
      client.ws.send(Buffer.from([0, 0, 0, 1, 0, 0xff]))
      expect((yield* client.end).code).toBe(1007)
    })
  )
})

it.scopedLive("what presence refuses is an error reply, and the topic and the socket go on", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const watcher = yield* join(yield* phoenixSocket(server.url), "room")
    const client = yield* joined(server, {}, "elsewhere")
    const nested = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
    const refused = function* (ref: string, topic: string, payload: string) {
      client.ws.send(`["${ref}","${ref}",${JSON.stringify(topic)},"phx_join",${payload}]`)
      const [, , echoed, , reply] = yield* client.heard("phx_reply", ref)
      expect(echoed).toBe(topic)
      expect(reply).toMatchObject({ status: "error" })
    }
    yield* refused("11", "room", `{"key":"mallory","meta":${nested}}`)
    yield* refused("2", "room", `{"key":"mallory","meta":"${"x".repeat(20_000)}"}`)
    yield* refused("3", "room", `{"key":"${"x".repeat(256)}"}`)
    yield* refused("4", "room", `{"key":""}`)
    yield* refused("5", "room", `{"key":["mallory"]}`)
    yield* refused("6", "room", `{"key":"\\ud800"}`)
    yield* refused("7", "room", `[]`)
    yield* refused("8", "x".repeat(100_000), `{}`)
    yield* refused("9", "", `{}`)
    const hello = yield* join(yield* phoenixSocket(server.url), "room", { key: "alice" })
    yield* watcher.sees("alice:{}")
    yield* hello.sees("alice:{}")
    client.say(null, "10", "phoenix", "heartbeat", {})
    yield* client.reply("10")
  })
)

it.scopedLive("nesting of more than 1,000 is refused, whatever metaDepth allows", () =>
  Effect.gen(function* () {
    const client = yield* joined(yield* makeServer({ limits: { metaDepth: 1_000_000 } }))
    client.ws.send(`["1","2","room","hello",{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}]`)
    expect((yield* client.heard("phx_reply", "2"))[4]).toEqual({
      status: "error",
      response: { reason: "payload is nested deeper than 1000" }
    })
  })
)

describe("a message over the limit closes the socket with 1009", () => {
  it.scopedLive("in one frame", () =>
    Effect.gen(function* () {
      const client = yield* joined(yield* makeServer())
      client.ws.send(`["1","2","room","hello",{"a":"${"x".repeat(MIB)}"}]`)
      expect((yield* client.end).code).toBe(1009)
    })
  )

  it.scopedLive("in fragments", () =>
    Effect.gen(function* () {
      const client = yield* joined(yield* makeServer())
      client.ws.send(`["1","2","room","hello",{"a":"`, { fin: false })
      for (let i = 0; i < 17; i++) client.ws.send("x".repeat(65_536), { fin: false })
      expect((yield* client.end).code).toBe(1009)
    })
  )

  it.scopedLive("one just below it is taken", () =>
    Effect.gen(function* () {
      const client = yield* joined(yield* makeServer())
      client.ws.send(`["1","2","room","hello",{"a":"${"x".repeat(MIB - 100)}"}]`)
      expect(yield* client.reply("2")).toEqual({ status: "ok", response: {} })
    })
  )
})

it.scopedLive("more than 100 channels: an error reply, those joined go on", () =>
  Effect.gen(function* () {
    const client = yield* connect(phoenixUrl((yield* makeServer()).url))
    for (let i = 0; i <= 100; i++) client.say(`${i}`, `${i}`, `room ${i}`, "phx_join", {})
    expect(yield* client.reply("100")).toEqual({ status: "error", response: { reason: "too many channels joined" } })
    expect(yield* client.reply("99")).toEqual({ status: "ok", response: {} })
  })
)

it.scopedLive("unknown kinds of binary frames and cut-off ones are ignored", () =>
  Effect.gen(function* () {
    const client = yield* joined(yield* makeServer())
    for (const bytes of [[], [0], [0, 9, 9, 9, 9, 1], [1, 0, 0, 0, 0], [3, 1], [9, 9], [255]]) {
      client.ws.send(Buffer.from(bytes))
    }
    client.say(null, "2", "phoenix", "heartbeat", {})
    yield* client.reply("2")
  })
)

describe("silence", () => {
  const limits = { idleTimeout: "300 millis" } as const

  it.scoped("closes the socket with 1001 and ends its leases; heartbeats and pings keep it open", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits })
      const silent = yield* joined(server, { key: "silent" })
      const beating = yield* joined(server, { key: "beating" })
      const pinging = yield* joined(server, { key: "pinging" })
      const pong = Effect.async<void>((resume) => {
        pinging.ws.once("pong", () => resume(Effect.void))
        pinging.ws.ping()
      })
      for (let ref = 2; silent.closed === undefined; ref++) {
        beating.say(null, `${ref}`, "phoenix", "heartbeat", {})
        yield* Effect.zipRight(beating.reply(`${ref}`), pong)
        yield* TestClock.adjust("100 millis")
      }
      expect(silent.closed.code).toBe(1001)
      yield* isGone(server, "silent")
      expect((yield* server.presence.list("room")).map(({ key }) => key)).toEqual(["beating", "pinging"])
      expect([beating.closed, pinging.closed]).toEqual([undefined, undefined])
    })
  )

  it.scopedLive("one that goes unnoticed, behind more than is read while authorize hangs, does not stay", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({
        limits,
        authorize: (attempt) => (attempt.topic === "stuck" ? Effect.never : Authorize.allowAll(attempt))
      })
      const client = yield* joined(server, { key: "mallory" })
      client.say("2", "2", "stuck", "phx_join", {})
      // More than one read from the socket brings.
      for (let i = 0; i < 300; i++) client.say(null, `${i}`, "phoenix", "heartbeat", { text: "x".repeat(1_000) })
      client.ws.close()
      yield* isGone(server, "mallory")
    })
  )

  it.scopedLive("a frame that never ends is silence too", () =>
    Effect.gen(function* () {
      const client = yield* joined(yield* makeServer({ limits }))
      client.ws.send("[", { fin: false })
      const drip = setInterval(() => client.ws.send("1,", { fin: false }), 20)
      const { code } = yield* client.end
      clearInterval(drip)
      expect(code).toBe(1001)
    })
  )
})

it.scopedLive("a defect while handling a message closes that socket with 1011 and no other, and is logged", () =>
  Effect.gen(function* () {
    const logged: Array<unknown> = []
    const server = yield* makeServer({
      onMessage: ({ event }) =>
        event === "bug" ? Effect.die("a bug in the application") : Effect.succeed(Option.none())
    }).pipe(
      Effect.provide(
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ message, cause }) => void logged.push([message, Cause.pretty(cause)]))
        )
      )
    )
    const other = yield* joined(server, { key: "other" })
    const client = yield* joined(server, { key: "mallory" })
    client.say("1", "2", "room", "bug", {})
    expect((yield* client.end).code).toBe(1011)
    expect(logged).toEqual([[["a defect ended a socket"], expect.stringContaining("a bug in the application")]])
    other.say("1", "2", "room", "hello", {})
    yield* other.reply("2")
    yield* isGone(server, "mallory")
  })
)

it.scoped("an authorize that dies refuses that join, and the socket goes on with what it has", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({
      authorize: (attempt) => (attempt.topic === "bug" ? Effect.die("a bug") : Authorize.allowAll(attempt))
    })
    const client = yield* joined(server, { key: "alice" })
    client.say("2", "2", "bug", "phx_join", { key: "alice" })
    expect(yield* client.reply("2")).toEqual({ status: "error", response: { reason: "authorization failed" } })
    client.say("1", "3", "room", "hello", {})
    expect(yield* client.reply("3")).toMatchObject({ status: "ok" })
  })
)

describe("more messages a second than allowed", () => {
  it.scoped("are slowed by reading them later: none is refused, none is lost, none comes early", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { messagesPerSecond: 200, messageBurst: 20 } })
      const client = yield* connect(phoenixUrl(server.url))
      const other = yield* connect(phoenixUrl(server.url))
      for (let i = 0; i < 120; i++) client.say(null, String(i), "phoenix", "heartbeat", {})
      yield* client.reply("19")
      other.say(null, "1", "phoenix", "heartbeat", {})
      yield* other.reply("1")
      expect(client.frames).toHaveLength(20)
      let millis = 0
      for (; client.frames.length < 120; millis += 10) {
        yield* TestClock.adjust("10 millis")
        yield* nextTurn
      }
      expect(millis).toBeGreaterThanOrEqual(490)
      expect(client.frames.map(([, ref]) => ref)).toEqual(Array.from({ length: 120 }, (_, i) => String(i)))
    })
  )

  it.scopedLive.each([
    ["pings", (client: RawClient) => client.ws.ping()],
    ["pongs that nobody asked for", (client: RawClient) => client.ws.pong()],
    ["frames of no known kind", (client: RawClient) => client.ws.send(Uint8Array.of(9))]
  ] as const)("%s count too", ([, flood]) =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { messagesPerSecond: 200, messageBurst: 20 } })
      const client = yield* connect(phoenixUrl(server.url))
      const started = performance.now()
      for (let i = 0; i < 119; i++) flood(client)
      client.say(null, "last", "phoenix", "heartbeat", {})
      yield* client.reply("last")
      expect(performance.now() - started).toBeGreaterThan(450)
    })
  )

  it.scopedLive("updates coalesce and the latest wins; others are answered meanwhile", () =>
    Effect.gen(function* () {
      // So many are told as there are windows while it lasts, which may be long.
      const server = yield* makeServer({ diffInterval: "1 second" })
      const watcher = yield* joined(server)
      const client = yield* joined(server, { key: "mallory" })
      const [, observed] = yield* observing(
        server.url,
        Effect.gen(function* () {
          for (let i = 0; i < 5_000; i++) {
            client.say("1", String(i), "room", "presence", { event: "track", payload: { i } })
            // The attack itself must not hold this process up.
            if (i % 100 === 0) yield* nextTurn
          }
          yield* client.reply("4999")
          yield* watcher.until(() =>
            watcher.frames.find(([, , , , { joins }]) => JSON.stringify(joins)?.includes(`"i":4999,`))
          )
        })
      )
      expect(watcher.frames.length).toBeLessThan(1_000)
      expect(observed.answers).toBeGreaterThan(5)
      expect(observed.slowest).toBeLessThan(60_000)
    })
  )
})

it.scopedLive("a large message of who has joined nothing is not read, nor one in more parts than clients make", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const large = yield* connect(phoenixUrl(server.url))
    large.say("1", "1", "room", "hello", { text: "x".repeat(140_000) })
    expect(yield* large.end).toMatchObject({ code: 1009 })
    const member = yield* joined(server)
    member.say("1", "2", "room", "hello", { text: "x".repeat(140_000) })
    yield* member.reply("2")
    for (const [parts, isLetIn] of [
      [64, true],
      [66, false]
    ] as const) {
      const text = '["1","3","room","hello",{}]'
      for (let n = 1; n < parts; n++) member.ws.send("", { fin: false, binary: false })
      member.ws.send(text, { fin: true, binary: false })
      if (isLetIn) yield* member.reply("3")
      else expect(yield* member.end).toMatchObject({ code: 1008 })
    }
  })
)

/** A socket whose bytes nobody reads: it answers nothing, not even a close. */
const deaf = (client: RawClient): void => client.ws.pause()

describe("one that does not read", () => {
  const limits = { unsentBytes: 65_536, unsentBytesMax: 262_144, unsentFor: "700 millis" } as const

  it.scopedLive("gets no more, costs no memory, delays nobody, and is cut off; its leases end", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { ...limits, messagesPerSecond: 100_000, messageBurst: 100_000 } })
      const client = yield* joined(server, { key: "mallory" })
      const talker = yield* joined(server, { key: "talker" })
      deaf(client)
      const text = "x".repeat(100_000)
      const [, observed] = yield* observing(
        server.url,
        Effect.gen(function* () {
          for (let i = 2; i < 600; i++) {
            talker.say("1", String(i), "room", "hello", { text })
            yield* talker.reply(String(i))
          }
          yield* isGone(server, "mallory")
        })
      )
      expect(observed.growth).toBeLessThan(60 * MIB)
      expect(observed.slowest).toBeLessThan(60_000)
      client.ws.resume()
      yield* client.end
    })
  )

  it.scopedLive("when it reads again in time it gets the state anew, and then the diffs", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { ...limits, unsentFor: "1 minute", messagesPerSecond: 100_000 } })
      const slow = yield* join(yield* phoenixSocket(server.url), "room", { key: "slow" })
      yield* slow.sees("slow:{}")
      const states: Array<unknown> = []
      slow.channel.on("presence_state", (state) => states.push(state))
      const socket = yield* phoenixSocket(server.url)
      const talker = yield* join(socket, "room")
      const conn = (
        slow as unknown as {
          readonly channel: { readonly socket: { readonly conn: { pause(): void; resume(): void } } }
        }
      ).channel.socket.conn
      conn.pause()
      for (let i = 0; i < 200; i++) yield* talker.push("hello", { text: "x".repeat(100_000) })
      yield* server.presence.track("room", "late", { n: 1 })
      yield* talker.sees("slow:{}", `late:{"n":1}`)
      conn.resume()
      yield* slow.sees("slow:{}", `late:{"n":1}`)
      expect(states.length).toBe(1)
      yield* server.presence.track("room", "later")
      yield* slow.sees("slow:{}", `late:{"n":1}`, "later:{}")
    })
  )

  it.scopedLive("a state over the most that may be unsent reaches who reads, and cuts off who does not", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits })
      const crowd = Array.from({ length: 100 }, (_, i) =>
        server.presence.track("crowd", `user ${i}`, { text: "x".repeat(15_000) })
      )
      yield* Effect.all(crowd)
      const reader = yield* joined(server, { key: "reader" }, "crowd")
      const [, , , , state] = yield* reader.heard("presence_state")
      expect(JSON.stringify(state).length).toBeGreaterThan(4 * limits.unsentBytesMax)
      const client = yield* joined(server, { key: "mallory" })
      client.say("2", "2", "crowd", "phx_join", {})
      deaf(client)
      // More than the kernel's buffers hold, so that the last of them stays with the server.
      for (let i = 3; i < 20; i++) client.say(`${i}`, `${i}`, "crowd", "phx_join", {})
      yield* isGone(server, "mallory")
      reader.say(null, "2", "phoenix", "heartbeat", {})
      yield* reader.reply("2")
    })
  )

  const floods: ReadonlyArray<readonly [string, (client: RawClient, i: number) => void]> = [
    [
      "its own echoes",
      (client, i) => client.say("1", `${i}`, "realtime:room", "broadcast", { text: "x".repeat(50_000) })
    ],
    ["answers that echo a long topic", (client, i) => client.say("1", `${i}`, "x".repeat(50_000), "hello", {})],
    ["pongs", (client) => client.ws.ping("x".repeat(125))],
    ["states, by joining again and again", (client, i) => client.say(`${i}`, `${i}`, "realtime:other", "phx_join", {})]
  ]

  it.scopedLive.each(floods)("%s count too", ([, flood]) =>
    Effect.gen(function* () {
      const server = yield* makeServer({
        limits: { ...limits, messagesPerSecond: 1_000_000, messageBurst: 1_000_000 }
      })
      // A large state.
      const crowd = Array.from({ length: 200 }, (_, i) =>
        server.presence.track("other", `user ${i}`, { text: "x".repeat(200) })
      )
      yield* Effect.all(crowd)
      const client = yield* connect(supabaseUrl(server.url))
      const config = { broadcast: { self: true }, presence: { key: "mallory" } }
      client.say("1", "1", "realtime:room", "phx_join", { config })
      client.say("1", "2", "realtime:room", "presence", { event: "track", payload: {} })
      yield* client.reply("2")
      deaf(client)
      let i = 3
      const [, observed] = yield* observing(
        server.url,
        Effect.gen(function* () {
          // As long as the server takes it, and no more than a moment after.
          while (client.ws.bufferedAmount < 4 * MIB && client.closed === undefined && i < 2_000_000) {
            for (let n = 0; n < 20; n++) flood(client, i++)
            yield* Effect.sleep(1)
            if (Option.isNone(yield* server.presence.get("room", "mallory"))) break
          }
          yield* isGone(server, "mallory")
        })
      )
      expect(observed.growth).toBeLessThan(60 * MIB)
      expect(observed.slowest).toBeLessThan(60_000)
    })
  )
})

describe("below the WebSocket", () => {
  const tcp = ({ url }: TestServer): Effect.Effect<Socket, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.async<Socket>((resume) => {
        const socket = connectTcp(Number(new URL(url).port), "127.0.0.1", () => resume(Effect.succeed(socket)))
        socket.on("error", () => undefined)
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )

  const handshake = (extra = "") =>
    `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra}\r\n`

  it.scopedLive("one who is refused and does not hang up is hung up on, and holds the stop back no longer", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const socket = yield* tcp(server)
      const answered = Effect.async<string>((resume) => {
        socket.once("data", (data) => resume(Effect.succeed(String(data))))
      })
      socket.write(handshake("origin: https://evil.example\r\n"))
      expect(yield* answered).toContain("403")
      // It would hold the stop back for ever.
      yield* server.stop
    })
  )

  it.scopedLive("frames that are not masked, reserved bits and garbage end that socket only", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const other = yield* joined(server)
      for (const bytes of [
        [0x81, 0x01, 0x5b],
        [0xf1, 0x80, 0, 0, 0, 0],
        [0xff, 0xff, 0xff, 0xff],
        [0x83, 0x80, 0, 0, 0, 0]
      ]) {
        const socket = yield* tcp(server)
        const closed = yield* Effect.fork(
          Effect.async<void>((resume) => void socket.on("close", () => resume(Effect.void)))
        )
        socket.write(handshake())
        yield* Effect.async<void>((resume) => void socket.once("data", () => resume(Effect.void)))
        socket.write(Buffer.from(bytes))
        yield* closed
      }
      other.say(null, "2", "phoenix", "heartbeat", {})
      yield* other.reply("2")
    })
  )
})
