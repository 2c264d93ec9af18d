/** Rooms over a real server: who is there, what is said, and what each call does. */
import { describe, expect, it, vi } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import { ClientError, connect } from "../../src/client/index.js"
import type { Authorize } from "../../src/socket/index.js"
import { makeServer } from "../socket/support/server.js"
import { is, list, makeClient, sees, shows } from "./support/client.js"

/** What a call is refused for. */
const refusal = (call: () => unknown): readonly [string, string] | undefined => {
  try {
    call()
  } catch (error) {
    if (error instanceof ClientError) return [error._tag, error.message]
    throw error
  }
  return undefined
}

describe("a room", () => {
  it.scopedLive("shows everybody, the others and oneself, and what did not change is the same object", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const alice = (yield* makeClient(url)).join("lobby", { key: "alice", meta: { n: 1 } })
      expect(alice).toMatchObject({ topic: "lobby", entries: [], others: [], me: undefined, status: "connecting" })
      yield* sees(alice, 'alice {"n":1}')
      const bob = (yield* makeClient(url)).join("lobby", { key: "bob", meta: { n: 2 } })
      yield* sees(bob, 'alice {"n":1}', 'bob {"n":2}')
      const before = yield* sees(alice, 'alice {"n":1}', 'bob {"n":2}')
      expect([list(alice.others), alice.me, alice.reason]).toEqual([
        ['bob {"n":2}'],
        { key: "alice", metas: [{ n: 1 }] },
        undefined
      ])
      expect(alice.state).toBe(before)
      alice.update({ n: 3 })
      const after = yield* sees(alice, 'alice {"n":3}', 'bob {"n":2}')
      expect(after.others).toBe(before.others)
      expect(after.entries[1]).toBe(before.entries[1])
      expect(Object.isFrozen(after) && Object.isFrozen(after.entries) && Object.isFrozen(after.me)).toBe(true)
      yield* sees(bob, 'alice {"n":3}', 'bob {"n":2}')
    })
  )

  it.scopedLive("takes any name for what it is", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const watcher = (yield* makeClient(url)).join("a/b?&%2F")
      for (const key of ["__proto__", "constructor", "10", "9", "é", "phx_close"]) {
        yield* is((yield* makeClient(url)).join("a/b?&%2F", { key, meta: JSON.parse('{"__proto__":1}') }), "joined")
      }
      const { entries, others, me } = yield* shows(watcher, ({ entries }) => entries.length === 6)
      expect(entries.map(({ key }) => key)).toEqual(["10", "9", "__proto__", "constructor", "phx_close", "é"])
      expect(entries.map(({ metas }) => JSON.stringify(metas))).toEqual(Array(6).fill('[{"__proto__":1}]'))
      expect([others.length, me]).toEqual([6, undefined])
    })
  )

  it.scopedLive("that has no key watches, and what is no object comes as its value", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      yield* presence.track("lobby", "job", "running")
      const room = (yield* makeClient(url)).join("lobby")
      yield* sees(room, 'job {"value":"running"}')
      room.update({ n: 1 })
      expect((yield* shows(room, ({ reason }) => reason !== undefined)).reason).toBe("no key to track")
      expect(yield* presence.count("lobby")).toEqual({ keys: 1, connections: 1 })
    })
  )

  it.scopedLive("whom the server names is oneself, whatever key was asked for, and none", () =>
    Effect.gen(function* () {
      const authorize: Authorize.Authorize = ({ topic, payload }) =>
        Effect.succeed(topic === "watched" ? {} : { key: "alice", meta: payload.meta })
      const { url, presence } = yield* makeServer({ authorize, presence: { ttl: Duration.infinity } })
      yield* presence.track("lobby", "me")
      yield* presence.track("watched", "me")
      const client = yield* makeClient(url)
      const lobby = client.join("lobby", { key: "me", meta: { n: 1 } })
      const state = yield* sees(lobby, 'alice {"n":1}', "me {}")
      expect([state.me?.key, list(state.others)]).toEqual(["alice", ["me {}"]])
      // As by a cookie.
      const kitchen = client.join("kitchen", { meta: { n: 2 } })
      expect((yield* sees(kitchen, 'alice {"n":2}')).me?.metas).toEqual([{ n: 2 }])
      kitchen.update({ n: 3 })
      expect((yield* sees(kitchen, 'alice {"n":3}')).others).toEqual([])
      const watched = yield* sees(client.join("watched"), "me {}")
      expect([watched.me, list(watched.others)]).toEqual([undefined, ["me {}"]])
    })
  )

  it.scopedLive("two tabs of one person are two metas, and an update keeps its place", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const one = (yield* makeClient(url)).join("lobby", { key: "alice", meta: { tab: 1 } })
      yield* sees(one, 'alice {"tab":1}')
      const two = (yield* makeClient(url)).join("lobby", { key: "alice", meta: { tab: 2 } })
      yield* sees(one, 'alice {"tab":1}', 'alice {"tab":2}')
      one.update({ tab: 3 })
      yield* sees(two, 'alice {"tab":3}', 'alice {"tab":2}')
      two.leave()
      yield* sees(one, 'alice {"tab":3}')
    })
  )

  it.scopedLive("an update before the join is answered is part of it, or sent once it is", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const events = yield* presence.subscribe("lobby")
      const room = (yield* makeClient(url)).join<{ n: number }>("lobby", { key: "alice", meta: { n: 0 } })
      for (let n = 1; n <= 100; n++) room.update(({ n: before }) => ({ n: before + 1 }))
      yield* sees(room, 'alice {"n":100}')
      // It was not told of before the server had it, and of many only the last.
      expect(yield* events.take).toEqual([{ type: "join", key: "alice", meta: { n: 100 } }])
      const told = yield* Effect.fork(
        Stream.runCollect(
          Stream.takeUntil(presence.changes("lobby"), (change) => JSON.stringify(change).includes("1100"))
        )
      )
      yield* Effect.yieldNow()
      for (let n = 1; n <= 1_000; n++) room.update(({ n: before }) => ({ n: before + 1 }))
      yield* sees(room, 'alice {"n":1100}')
      expect((yield* told).length).toBeLessThan(10)
      // An equal one says nothing.
      const { state } = room
      room.update({ n: 1_100 })
      yield* Effect.promise(() => vi.waitFor(() => expect(room.state).toBe(state), 300_000))
    })
  )

  it.scopedLive("what is broadcast reaches the others, also when it was said before the join", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const heard: Array<unknown> = []
      const bob = (yield* makeClient(url)).join("lobby", { key: "bob" })
      const stop = bob.on<{ text: string }>("chat", ({ text }) => heard.push(text))
      bob.on("bare", (payload) => heard.push(payload))
      yield* is(bob, "joined")
      const alice = (yield* makeClient(url)).join("lobby", { key: "alice" })
      alice.on("chat", () => heard.push("an echo"))
      for (let n = 1; n <= 150; n++) alice.broadcast("chat", { text: `early ${n}` })
      yield* Effect.promise(() => vi.waitFor(() => expect(heard.at(-1)).toBe("early 150"), 300_000))
      expect(heard.length).toBe(100)
      alice.broadcast("bare")
      yield* Effect.promise(() => vi.waitFor(() => expect(heard.at(-1)).toEqual({}), 300_000))
      stop()
      stop()
      alice.broadcast("chat", { text: "nobody listens" })
      alice.broadcast("bare", { last: true })
      yield* Effect.promise(() => vi.waitFor(() => expect(heard.at(-1)).toEqual({ last: true }), 300_000))
      expect(heard.length).toBe(102)
    })
  )

  it.scopedLive("a listener that throws is reported and stops nobody else", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const reported = vi.spyOn(console, "error").mockReturnValue()
      yield* Effect.addFinalizer(() => Effect.sync(() => reported.mockRestore()))
      const room = (yield* makeClient(url)).join("lobby", { key: "alice" })
      const heard: Array<string> = []
      room.subscribe(() => {
        throw new Error("mine")
      })
      room.subscribe(({ status }) => heard.push(status))
      yield* sees(room, "alice {}")
      room.on("wave", () => {
        throw new Error("mine too")
      })
      room.on("wave", () => heard.push("waved"))
      const bob = (yield* makeClient(url)).join("lobby", { key: "bob" })
      bob.broadcast("wave")
      yield* Effect.promise(() => vi.waitFor(() => expect(heard.at(-1)).toBe("waved"), 300_000))
      yield* sees(room, "alice {}", "bob {}")
      expect(heard.slice(0, 2)).toEqual(["connecting", "joined"])
      const messages = reported.mock.calls.map(([error]) => (error as Error).message)
      expect(new Set(messages)).toEqual(new Set(["mine", "mine too"]))
    })
  )

  it.scopedLive("two on one socket are apart, and two on one topic share one presence", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const client = yield* makeClient(url, { leaveDelay: 0 })
      const lobby = client.join("lobby", { key: "alice", meta: { n: 1 } })
      const kitchen = client.join("kitchen", { key: "alice", meta: { n: 2 } })
      const watching = client.join("lobby")
      yield* sees(lobby, 'alice {"n":1}')
      yield* sees(kitchen, 'alice {"n":2}')
      expect(watching.state).toBe(lobby.state)
      expect(yield* presence.count("lobby")).toEqual({ keys: 1, connections: 1 })
      client.join("lobby", { meta: { n: 3 } }).leave()
      yield* sees(lobby, 'alice {"n":3}')
      lobby.leave()
      expect(lobby).toMatchObject({ status: "closed", reason: "it was left", entries: [] })
      expect(watching.status).toBe("joined")
      watching.leave()
      yield* Effect.promise(() =>
        vi.waitFor(async () => expect(await Effect.runPromise(presence.topics)).toEqual(["kitchen"]), 300_000)
      )
      expect(kitchen.status).toBe("joined")
    })
  )

  it.scopedLive("joined again within the delay nobody hears of a leave, and another key is another join", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const { take } = yield* presence.subscribe("lobby")
      const client = yield* makeClient(url)
      const first = client.join("lobby", { key: "alice", meta: { n: 1 } })
      // At once, as a component that is mounted twice.
      first.leave()
      const second = client.join("lobby", { key: "alice", meta: { n: 1 } })
      yield* sees(second, 'alice {"n":1}')
      second.leave()
      const third = client.join("lobby", { key: "bob", meta: { n: 2 } })
      yield* sees(third, 'bob {"n":2}')
      expect(third.me?.key).toBe("bob")
      third.leave()
      const watcher = client.join("lobby")
      yield* sees(watcher)
      const last = client.join("lobby", { key: "carol" })
      yield* sees(watcher, "carol {}")
      expect(last.me).toEqual(watcher.me)
      const told: Array<string> = []
      while (told.length < 5) told.push(...(yield* take).map(({ type, key }) => `${type} ${key}`))
      expect(told).toEqual(["join alice", "leave alice", "join bob", "leave bob", "join carol"])
    })
  )

  it.scopedLive("a key goes with the room that gave it, while others who watch stay", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const { take } = yield* presence.subscribe("lobby")
      const client = yield* makeClient(url)
      const header = client.join("lobby")
      yield* sees(header)
      const editor = client.join("lobby", { key: "alice", meta: { n: 1 } })
      yield* sees(header, 'alice {"n":1}')
      // As a page whose parts are taken down and put up again, in any order.
      editor.leave()
      header.leave()
      const again = client.join("lobby")
      client.join("lobby", { key: "alice" }).leave()
      yield* sees(again)
      expect(again.me).toBeUndefined()
      const two = [client.join("lobby", { key: "bob" }), client.join("lobby", { key: "bob", meta: { n: 2 } })]
      yield* sees(again, 'bob {"n":2}')
      two[0]?.leave()
      client.join("lobby", { key: "carol" }).leave()
      yield* sees(again, "bob {}")
      const told: Array<string> = []
      while (!told.includes("leave carol")) told.push(...(yield* take).map(({ type, key }) => `${type} ${key}`))
      expect(told.slice(0, 6)).toEqual([
        "join alice",
        "leave alice",
        "join bob",
        "leave bob",
        "join carol",
        "leave carol"
      ])
    })
  )

  it.scopedLive("a listener that was stopped hears nothing more, and all hear what is newest last", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const room = (yield* makeClient(url)).join("lobby", { key: "alice" })
      const heard: Array<string> = []
      const others: Array<() => void> = []
      room.subscribe(({ status }) => {
        if (status !== "joined") return
        for (const stop of others) stop()
        // This changes the state while it is told.
        room.leave()
      })
      others.push(room.subscribe(({ status }) => heard.push(status)))
      yield* Effect.promise(() => vi.waitFor(() => expect(room.status).toBe("closed"), 300_000))
      expect(heard).toEqual(["connecting"])

      const client = yield* makeClient(url)
      const shown = client.join("kitchen", { key: "bob" })
      const seen: Array<string> = []
      shown.subscribe(({ status }) => status === "joined" && client.close())
      shown.subscribe(({ status }) => seen.push(status))
      yield* Effect.promise(() => vi.waitFor(() => expect(seen).toEqual(["connecting", "closed"]), 300_000))
    })
  )

  it.scopedLive("put out by the server it is closed, tells so, takes calls quietly, and can be joined again", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const client = yield* makeClient(url)
      const room = client.join("lobby", { key: "alice" })
      const other = client.join("kitchen", { key: "alice" })
      yield* sees(room, "alice {}")
      yield* sees(other, "alice {}")
      yield* presence.evict("lobby", "alice")
      expect(yield* is(room, "closed")).toMatchObject({ reason: "the server has put it out", entries: [] })
      room.update({ n: 1 })
      room.broadcast("wave")
      const again = client.join("lobby", { key: "alice" })
      yield* sees(again, "alice {}")
      room.leave()
      expect([again.status, other.status]).toEqual(["joined", "joined"])
    })
  )
})

describe("what makes no sense is refused whole", () => {
  it.scopedLive("as an error with its tag, the value and what is allowed", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer()
      const client = yield* makeClient(url)
      const cyclic: Record<string, unknown> = {}
      cyclic.self = cyclic
      const room = client.join<object>("lobby", { key: "alice", meta: { n: 1 } })
      yield* sees(room, 'alice {"n":1}')
      const any = (value: unknown) => value as never
      for (const [call, tag, words] of [
        [() => connect(any(undefined)), "InvalidOption", "url is undefined: one like wss://example.com/socket"],
        [() => connect("ftp://example.com"), "InvalidOption", 'url is "ftp://example.com"'],
        [() => connect("ws://h/socket?token=1"), "InvalidOption", "without a query"],
        [() => connect(url, { token: any(1) }), "InvalidOption", "token is 1"],
        [() => connect(url, { leaveDelay: -1 }), "InvalidOption", "leaveDelay is -1"],
        [() => connect(url, { leaveDelay: any("1 second") }), "InvalidOption", 'leaveDelay is "1 second"'],
        [() => connect(url, { transport: any("ws") }), "InvalidOption", 'transport is "ws": a class such as WebSocket'],
        [() => connect(url, any(null)), "InvalidOption", "the options of connect are null: an object is allowed"],
        [() => connect(url, any("token")), "InvalidOption", 'the options of connect are "token"'],
        [
          () => connect(url, any({ getToken: () => "t" })),
          "InvalidOption",
          'connect has no option "getToken": there are token'
        ],
        [() => connect(url, { token: any(Object.create(null)) }), "InvalidOption", "token is an object"],
        [() => client.join("x", any(null)), "InvalidOption", "the options of join are null"],
        [() => client.join("x", any(["alice"])), "InvalidOption", "the options of join are a list"],
        [
          () => client.join("x", any({ user: "alice" })),
          "InvalidOption",
          'join has no option "user": there are key, meta'
        ],
        [
          () => room.subscribe(any(null)),
          "InvalidListener",
          "the listener of subscribe is null: a function is allowed"
        ],
        [() => room.on("chat", any({})), "InvalidListener", "the listener of on is an object"],
        [() => client.join(""), "InvalidTopic", 'the topic "" is empty'],
        [() => client.join(any(1)), "InvalidTopic", "is no string but number"],
        [() => client.join("x", { key: "" }), "InvalidKey", 'the key on topic "x" "" is empty'],
        [() => client.join("x", { key: "\ud800" }), "InvalidKey", "holds a lone surrogate"],
        [() => client.join("x", { meta: any("text") }), "InvalidMeta", 'the meta on topic "x" is string'],
        [() => client.join("x", { meta: [1] }), "InvalidMeta", "is a list: an object of JSON values is allowed"],
        [() => client.join("x", { meta: any(null) }), "InvalidMeta", "is null"],
        [() => room.update({ at: new Date() }), "InvalidMeta", "no JSON: $.at is a class instance"],
        [() => room.update({ f: () => {} }), "InvalidMeta", "$.f is a function, which JSON cannot say"],
        [() => room.update({ n: Number.NaN }), "InvalidMeta", "$.n is NaN"],
        [() => room.update({ n: 1n }), "InvalidMeta", "$.n is a bigint"],
        [() => room.update({ u: undefined }), "InvalidMeta", "$.u is undefined"],
        [() => room.update(cyclic), "InvalidMeta", "$.self contains itself"],
        [() => room.update(() => any(1)), "InvalidMeta", "is number"],
        [() => room.broadcast("chat", { f: Symbol.iterator }), "InvalidPayload", "$.f is a symbol"],
        [() => room.broadcast("chat", any("text")), "InvalidPayload", "the payload on topic"],
        [() => room.broadcast("phx_leave"), "InvalidEvent", 'the event "phx_leave" is not one\'s own'],
        [() => room.broadcast("access_token", { access_token: "x" }), "InvalidEvent", "access_token"],
        [() => room.broadcast("e".repeat(256)), "InvalidEvent", "up to 255 bytes"],
        [() => room.broadcast(any(undefined)), "InvalidEvent", "undefined"],
        [() => room.on("presence_state", () => {}), "InvalidEvent", "presence_state"]
      ] as const) {
        expect(refusal(call)).toEqual([tag, expect.stringContaining(words)])
      }
      // And nothing of it was done.
      expect(list(room.entries)).toEqual(['alice {"n":1}'])
      expect(room.status).toBe("joined")
    })
  )

  it.scopedLive("a call after the end; leaving and closing twice is once", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const client = yield* makeClient(url, { leaveDelay: 0 })
      const room = client.join("lobby", { key: "alice" })
      const other = client.join("lobby", { key: "alice" })
      yield* sees(room, "alice {}")
      const seen: Array<string> = []
      room.subscribe(({ status }) => seen.push(status))
      room.leave()
      room.leave()
      expect(other.status).toBe("joined")
      for (const call of [() => room.update({}), () => room.broadcast("e"), () => room.on("e", () => {})]) {
        expect(refusal(call)).toEqual(["Closed", expect.stringMatching(/on topic "lobby" after it was left$/)])
      }
      room.subscribe(({ status }) => seen.push(status))()
      client.close()
      client.close()
      expect(other).toMatchObject({ status: "closed", reason: "the client was closed" })
      expect(refusal(() => other.update({}))).toEqual(["Closed", 'update on topic "lobby" after the client was closed'])
      other.leave()
      expect(refusal(() => client.join("lobby"))).toEqual([
        "Closed",
        'join of topic "lobby" after the client was closed'
      ])
      expect(seen).toEqual(["joined", "closed"])
      yield* Effect.promise(() =>
        vi.waitFor(async () => expect(await Effect.runPromise(presence.topics)).toEqual([]), 300_000)
      )
    })
  )

  it.effect("where there is no WebSocket one can connect, as a server does that renders, and not join", () =>
    Effect.gen(function* () {
      vi.stubGlobal("WebSocket", undefined)
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllGlobals()))
      const client = connect("/socket")
      expect(refusal(() => client.join("lobby"))).toEqual(["InvalidOption", expect.stringContaining("as of `ws`")])
      client.close()
    }).pipe(Effect.scoped)
  )
})
