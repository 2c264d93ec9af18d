/** Rooms whose connection, server or token ends. */
import { describe, expect, it, vi } from "@effect/vitest"
import { Effect, type Scope, Stream } from "effect"
import { Unauthorized } from "../../src/index.js"
import type { Authorize } from "../../src/socket/index.js"
import { makeServer } from "../socket/support/server.js"
import { leapingClock } from "../support/leaps.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { is, makeClient, sees, shows } from "./support/client.js"

/** A line to a server that can be cut. */
const lineTo = (url: string): Effect.Effect<Proxy & { readonly url: string }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => startProxy(Number(new URL(url).port))),
    (proxy) => Effect.promise(() => proxy.close())
  ).pipe(Effect.map((proxy) => ({ ...proxy, url: `ws://127.0.0.1:${proxy.port}` })))

describe("a room", () => {
  it.scopedLive("keeps what it shows over a cut connection, and comes back with the newest meta", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const line = yield* lineTo(url)
      yield* presence.track("lobby", "job", { n: 0 })
      const client = yield* makeClient(line.url)
      const lobby = client.join("lobby", { key: "alice", meta: { n: 1 } })
      const kitchen = client.join("kitchen", { key: "alice" })
      const before = yield* sees(lobby, 'alice {"n":1}', 'job {"n":0}')
      yield* sees(kitchen, "alice {}")
      const events = yield* presence.subscribe("lobby")
      expect(line.connections()).toBe(1)
      line.cut()
      const lost = yield* is(lobby, "reconnecting")
      expect([lost.entries, lost.others, lost.me]).toEqual([before.entries, before.others, before.me])
      yield* is(kitchen, "reconnecting")
      lobby.update({ n: 2 })
      lobby.update({ n: 3 })
      lobby.broadcast("late")
      // They have left, and are told once, as what they are by then.
      expect(yield* events.take).toEqual([{ type: "leave", key: "alice" }])
      line.mend()
      const after = yield* sees(lobby, 'alice {"n":3}', 'job {"n":0}')
      expect(after.others).toBe(before.others)
      expect(yield* events.take).toEqual([{ type: "join", key: "alice", meta: { n: 3 } }])
      yield* sees(kitchen, "alice {}")
      expect(line.connections()).toBe(1)
      lobby.update({ n: 4 })
      yield* sees(lobby, 'alice {"n":4}', 'job {"n":0}')
    })
  )

  it.scopedLive("survives a server that is made anew, and one that is not there yet", () =>
    Effect.gen(function* () {
      const first = yield* makeServer()
      const line = yield* lineTo(first.url)
      line.cut()
      const room = (yield* makeClient(line.url)).join("lobby", { key: "alice" })
      // Offline for as long as it takes: it has tried, and said nothing of it.
      const tried: Array<string> = []
      room.subscribe(({ status }) => tried.push(status))
      yield* Effect.sleep("300 millis")
      expect(tried).toEqual(["connecting"])
      line.mend()
      yield* sees(room, "alice {}")
      room.update({ n: 1 })
      yield* sees(room, 'alice {"n":1}')
      const second = yield* makeServer()
      line.moveTo(Number(new URL(second.url).port))
      yield* first.stop
      yield* Effect.promise(() =>
        vi.waitFor(async () => expect(await Effect.runPromise(second.presence.topics)).toEqual(["lobby"]), 300_000)
      )
      yield* sees(room, 'alice {"n":1}')
    })
  )

  it.scopedLive("comes back without a word when its client's connection is cut while it is asked to leave", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const line = yield* lineTo(url)
      const client = yield* makeClient(line.url)
      const room = client.join("lobby", { key: "alice" })
      const other = client.join("kitchen", { key: "alice" })
      yield* sees(room, "alice {}")
      line.cut()
      yield* is(room, "reconnecting")
      room.leave()
      expect(room.status).toBe("closed")
      const again = client.join("lobby", { key: "bob" })
      line.mend()
      yield* sees(again, "bob {}")
      yield* sees(other, "alice {}")
      expect(yield* presence.count("lobby")).toEqual({ keys: 1, connections: 1 })
    })
  )
})

describe("a token", () => {
  /**
   * A JWT whose signature nobody looks at: what it says of who and until when. A server may let it in for longer, until
   * `grace` seconds from now.
   */
  const jwt = (sub: string, seconds = 600, grace = seconds) => {
    const [exp, end] = [seconds, grace].map((it) => Date.now() / 1_000 + it)
    return `e30.${Buffer.from(JSON.stringify({ sub, exp, end })).toString("base64url")}.s`
  }

  /** Trusts it, and notes what it was asked. */
  const trusting = () => {
    const asked: Array<string> = []
    const authorize: Authorize.Authorize = ({ on, topic, payload, request }) => {
      const offered = /bearer\.phx\.([\w-]+)/.exec(request.headers["sec-websocket-protocol"] ?? "")?.[1]
      const given = payload.access_token ?? Buffer.from(offered ?? "", "base64url").toString()
      const text = String(given)
      if (text === "") return new Unauthorized({ reason: "no token" })
      const { sub, end } = JSON.parse(Buffer.from(text.split(".")[1] ?? "", "base64url").toString())
      asked.push(`${on} ${topic} ${sub}`)
      if (topic === "secret" && sub !== "root") return new Unauthorized({ reason: "not your room" })
      if (end * 1_000 < Date.now()) return new Unauthorized({ reason: "unauthorized" })
      const { key, meta } = payload
      if (key !== undefined && key !== sub) return new Unauthorized({ reason: "not your key" })
      return Effect.succeed({ expires: end * 1_000, ...(key === undefined ? {} : { key: sub, meta }) })
    }
    return { asked, authorize }
  }

  it.scopedLive("is renewed before its end, so that nobody leaves, also beside a topic that is refused", () =>
    Effect.gen(function* () {
      const { asked, authorize } = trusting()
      const clock = leapingClock()
      const limits = { idleTimeout: "1 day" } as const
      const { url, presence } = yield* makeServer({ authorize, limits }).pipe(Effect.withClock(clock))
      const { stream } = yield* presence.subscribe("lobby")
      const told: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(stream, ({ type, key }) => Effect.sync(() => told.push(`${type} ${key}`)))
      )
      // To its client each ends in two seconds, to the server an hour after the one before.
      let given = 0
      const client = yield* makeClient(url, { token: async () => jwt("alice", 2, 3_600 * ++given) })
      const room = client.join("lobby", { key: "alice" })
      yield* sees(room, "alice {}")
      const seen: Array<string> = []
      room.subscribe(({ status }) => seen.push(status))
      const secret = client.join("secret")
      expect((yield* is(secret, "refused")).reason).toBe("not your room")
      const isAskedAgain = (times: number) =>
        Effect.promise(() =>
          vi.waitUntil(() => asked.filter((line) => line === "join lobby alice").length >= times, 300_000)
        )
      yield* isAskedAgain(3)
      clock.leap("2 hours")
      yield* isAskedAgain(5)
      expect([seen, told, room.status]).toEqual([["joined"], ["join alice"], "joined"])
    })
  )

  it.scopedLive("that has ended is asked for anew, and is why one is refused for as long as there is no better", () =>
    Effect.gen(function* () {
      const { url } = yield* makeServer({ authorize: trusting().authorize })
      let seconds = -60
      const room = (yield* makeClient(url, { token: () => jwt("alice", seconds) })).join("lobby", { key: "alice" })
      expect((yield* is(room, "refused")).reason).toBe("unauthorized")
      seconds = 600
      yield* sees(room, "alice {}")
      expect(room.reason).toBeUndefined()
      const without = (yield* makeClient(url)).join("lobby", { key: "alice" })
      expect((yield* is(without, "refused")).reason).toBe("no token")
    })
  )

  it.scopedLive("that comes with a key lets in at once who was refused at connect", () =>
    Effect.gen(function* () {
      const { asked, authorize } = trusting()
      const { url, presence } = yield* makeServer({ authorize })
      let token: string | undefined
      const client = yield* makeClient(url, { token: () => token })
      const lobby = client.join("lobby")
      const kitchen = client.join("kitchen")
      expect((yield* is(lobby, "refused")).reason).toBe("no token")
      yield* is(kitchen, "refused")
      token = jwt("alice")
      client.join("lobby", { key: "alice" })
      yield* sees(lobby, "alice {}")
      yield* sees(kitchen)
      // Where another is joined, nobody has to leave for it.
      const events = yield* presence.subscribe("lobby")
      const secret = client.join("secret", { key: "alice" })
      yield* is(secret, "refused")
      token = jwt("root")
      client.join("secret", { key: "root" })
      yield* sees(secret, "root {}")
      client.join("lobby", { meta: { n: 1 } })
      expect(yield* events.take).toEqual([{ type: "update", key: "alice", meta: { n: 1 } }])
      expect(asked.filter((line) => line.startsWith("connect")).length).toBe(1)
    })
  )

  it.scopedLive("is another for another key; where that is refused nobody is left on the list", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer({ authorize: trusting().authorize })
      let user = "alice"
      const client = yield* makeClient(url, { token: () => jwt(user) })
      const room = client.join("lobby", { key: "alice" })
      yield* sees(room, "alice {}")
      const states: Array<string> = []
      room.subscribe(({ me, others, status }) => states.push(`${status} ${me?.key} ${others.length}`))
      user = "bob"
      client.join("lobby", { key: "bob" })
      yield* sees(room, "bob {}")
      // Nobody is shown to themselves as somebody else meanwhile.
      expect(states).toEqual(["joined alice 0", "reconnecting alice 0", "joined bob 0"])
      client.join("lobby", { key: "carol" })
      expect((yield* shows(room, ({ status }) => status === "refused")).reason).toBe("not your key")
      expect(yield* presence.list("lobby")).toEqual([])
      user = "carol"
      yield* sees(room, "carol {}")
    })
  )
})
