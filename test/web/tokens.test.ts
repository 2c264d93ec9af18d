import { describe, expect, it } from "@effect/vitest"
import { REALTIME_SUBSCRIBE_STATES, RealtimeClient, type WebSocketLikeConstructor } from "@supabase/realtime-js"
import { Duration, Effect, Option, TestClock } from "effect"
import { WebSocket } from "ws"
import { SECRET, serve, token, withSecret } from "../server/support/server.js"
import { connect, phoenixUrl, supabaseUrl } from "../socket/support/client.js"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { ask, follow, over } from "../support/http.js"
import { leapingClock } from "../support/leaps.js"

const everywhere = (sub: string, more: Record<string, unknown> = {}) => token({ sub, topics: ["*"], ...more })

/** Who is on a topic, as somebody who may see everything reads it. */
const list = (port: number, topic = "room") =>
  Effect.map(ask(port, `/presence/${topic}?access_token=${everywhere("root")}`), ({ json }) => json)

const start = Effect.map(
  serve({ ...withSecret, diffInterval: Duration.zero, idleTimeout: Duration.days(1) }),
  (port) => ({ port, url: `ws://127.0.0.1:${port}` })
)

const authToken = (jwt: string) => ({
  protocols: ["phoenix", `base64url.bearer.phx.${Buffer.from(jwt).toString("base64").replaceAll("=", "")}`]
})

const refused = (reason: string) => ({ status: "error", response: { reason } })
const ok = { status: "ok", response: {} }

/** Tokens that are bad, and why. */
const bad: ReadonlyArray<readonly [string, string]> = [
  ["no token at all", "abc"],
  ["three parts that are none", "a.b.c"],
  ["another secret", token({ sub: "alice", topics: ["*"] }, { secret: "guessed" })],
  [
    "another algorithm, with the right secret",
    token({ sub: "alice", topics: ["*"] }, { alg: "HS512", hash: "sha512" })
  ],
  ["HS256 named as another algorithm", token({ sub: "alice", topics: ["*"] }, { alg: "RS256" })],
  ["no algorithm", token({ sub: "alice", topics: ["*"] }, { alg: "none" })],
  ["claims that were changed", everywhere("alice").replace(/\.[^.]+\./, `.${everywhere("bob").split(".")[1]}.`)],
  ["expired", everywhere("alice", { exp: 100 })],
  ["not valid yet", everywhere("alice", { nbf: 101 })],
  ["exp is no number", everywhere("alice", { exp: "later" })],
  ["nbf is no number", everywhere("alice", { nbf: "now" })],
  ["no sub", token({ topics: ["*"] })],
  ["an empty sub", everywhere("")],
  ["a sub that is no string", token({ sub: 7, topics: ["*"] })],
  ["topics that are no list", token({ sub: "alice", topics: "*" })],
  ["topics that are not all strings", token({ sub: "alice", topics: ["*", 7] })],
  ["exact topics that are no list", token({ sub: "alice", topics: ["*"], exact_topics: "room" })],
  ["exact topics that are not all strings", token({ sub: "alice", topics: ["*"], exact_topics: [7] })]
]

/** What stands where a token should. */
const texts = [
  ["not even a text", { a: 1 }],
  ["what no text can be made of", { toString: 1, valueOf: 1 }],
  ["a number", 7]
] as const

describe("a bad token refuses", () => {
  it.scoped("each join of the socket, wherever in the request it stands, and on both routes", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      yield* TestClock.setTime(100_000)
      const answer = (...request: Parameters<typeof connect>) =>
        Effect.gen(function* () {
          const client = yield* connect(...request)
          // A good one behind it does not help.
          client.say("1", "1", "realtime:room", "phx_join", { token: everywhere("alice") })
          return yield* client.reply("1")
        }).pipe(Effect.scoped)
      for (const [why, jwt] of bad) {
        expect([why, yield* answer(phoenixUrl(url), authToken(jwt))]).toEqual([why, refused("unauthorized")])
        for (const place of [
          phoenixUrl(url, `vsn=2.0.0&token=${jwt}`),
          phoenixUrl(url, `vsn=2.0.0&access_token=${jwt}`),
          supabaseUrl(url, `vsn=2.0.0&token=${jwt}`),
          ...(jwt.split(".").length === 3 ? [phoenixUrl(url, `vsn=2.0.0&apikey=${jwt}`)] : [])
        ]) {
          expect([why, yield* answer(place)]).toEqual([why, refused("unauthorized")])
        }
      }
    })
  )

  it.scoped("at the join with the reason unauthorized, and the socket goes on", () =>
    Effect.gen(function* () {
      const { url, port } = yield* start
      yield* TestClock.setTime(100_000)
      // Also where a good one stands behind it.
      const phoenix = yield* connect(phoenixUrl(url, `vsn=2.0.0&token=${everywhere("alice")}`))
      const supabase = yield* connect(supabaseUrl(url))
      for (const [i, [why, jwt]] of [...bad, ...texts].entries()) {
        phoenix.say(`${i}`, `${i}`, "room", "phx_join", { key: "alice", access_token: jwt })
        expect([why, yield* phoenix.reply(`${i}`)]).toEqual([why, refused("unauthorized")])
        phoenix.say(`${i}`, `${i} token`, "room", "phx_join", { key: "alice", token: jwt })
        expect([why, yield* phoenix.reply(`${i} token`)]).toEqual([why, refused("unauthorized")])
        supabase.say(`${i}`, `${i}`, "realtime:room", "phx_join", { config: {}, access_token: jwt })
        expect([why, yield* supabase.reply(`${i}`)]).toEqual([why, refused("unauthorized")])
      }
      phoenix.say("x", "x", "room", "phx_join", { key: "alice" })
      expect(yield* phoenix.reply("x")).toEqual(ok)
      expect(yield* list(port)).toEqual([{ key: "alice", metas: [{}] }])
    })
  )

  it.scoped("over HTTP with 401, as does none", () =>
    Effect.gen(function* () {
      const { port } = yield* start
      yield* TestClock.setTime(100_000)
      for (const path of ["/presence/room", "/presence/room/count", "/presence/room/events"]) {
        const none = yield* ask(port, path)
        expect([none.status, none.json, none.headers["www-authenticate"]]).toEqual([
          401,
          { error: "unauthorized" },
          "Bearer"
        ])
      }
      for (const [why, jwt] of bad) {
        const authorization = `Bearer ${jwt}`
        expect([why, (yield* ask(port, "/presence/room", { headers: { authorization } })).status]).toEqual([why, 401])
        expect([why, (yield* ask(port, `/presence/room?access_token=${jwt}`)).status]).toEqual([why, 401])
        expect([why, (yield* ask(port, `/presence/room/events?key=a&access_token=${jwt}`)).status]).toEqual([why, 401])
      }
    })
  )
})

describe("where a token comes from", () => {
  /** All the places at once, the first one first; each says who it is. */
  const places = ["access_token", "token", "authToken", "URL access_token", "URL token", "URL apikey"] as const

  for (const [i, place] of places.entries()) {
    it.scoped(`a socket: ${place}${i === places.length - 1 ? "" : ", before those behind it"}`, () =>
      Effect.gen(function* () {
        const { port, url } = yield* start
        const there = new Set<string>(places.slice(i))
        const given = (name: (typeof places)[number], as: string) =>
          there.has(name) ? { [as]: everywhere(`by ${name}`) } : {}
        const query = new URLSearchParams({
          ...given("URL apikey", "apikey"),
          ...given("URL token", "token"),
          ...given("URL access_token", "access_token"),
          vsn: "2.0.0"
        })
        const client = yield* connect(
          phoenixUrl(url, query.toString()),
          there.has("authToken") ? authToken(everywhere("by authToken")) : {}
        )
        expect(client.ws.protocol).toBe(there.has("authToken") ? "phoenix" : "")
        client.say("1", "1", "room", "phx_join", {
          key: "me",
          ...given("token", "token"),
          ...given("access_token", "access_token")
        })
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: { key: `by ${place}` } })
        expect(yield* list(port)).toEqual([{ key: `by ${place}`, metas: [{}] }])
      })
    )
  }

  it.scoped(
    "an apikey without two dots is none, nor is what is empty: a join without a token is refused, and one with a token is not",
    () =>
      Effect.gen(function* () {
        const { url } = yield* start
        for (const query of ["", "apikey=anon", "apikey=a.b", "apikey=a.b.c.d", "token=&access_token=", "apikey=.."]) {
          const client = yield* connect(phoenixUrl(url, `${query}&vsn=2.0.0`))
          client.say("1", "1", "room", "phx_join", { access_token: null, token: "" })
          expect([query, yield* client.reply("1")]).toEqual([query, refused("unauthorized")])
          // Where the upgrade had a token, and a bad one, a good one comes too late.
          client.say("2", "2", "room", "phx_join", { token: everywhere("alice") })
          expect([query, yield* client.reply("2")]).toEqual([
            query,
            query === "apikey=.." ? refused("unauthorized") : ok
          ])
        }
      })
  )

  it.scoped("HTTP: the Authorization header, then access_token; no other scheme, no other parameter", () =>
    Effect.gen(function* () {
      const { port } = yield* start
      const status = (path: string, authorization?: string) =>
        Effect.map(ask(port, path, authorization === undefined ? {} : { headers: { authorization } }), (a) => a.status)
      const good = everywhere("alice")
      expect(yield* status("/presence/room", `Bearer ${good}`)).toBe(200)
      expect(yield* status("/presence/room", `bearer ${good}`)).toBe(200)
      expect(yield* status(`/presence/room?access_token=${good}`)).toBe(200)
      expect(yield* status(`/presence/room?access_token=${good}`, "Basic YTpi")).toBe(200)
      expect(yield* status(`/presence/room?access_token=${good}`, "Bearer bad")).toBe(401)
      expect(yield* status("/presence/room?access_token=bad", `Bearer ${good}`)).toBe(200)
      expect(yield* status(`/presence/room?token=${good}`)).toBe(401)
      expect(yield* status(`/presence/room?apikey=${good}`)).toBe(401)
    })
  )

  it.scoped("/, its script, /health and /metrics need none", () =>
    Effect.gen(function* () {
      const { port } = yield* start
      const [, script] = /src="([^"]+)"/.exec((yield* ask(port, "/")).text) ?? []
      for (const path of ["/", `/${script}`, "/health", "/metrics"]) {
        expect([path, (yield* ask(port, path)).status]).toEqual([path, 200])
      }
    })
  )
})

describe("topics", () => {
  const cases: ReadonlyArray<readonly [ReadonlyArray<string> | undefined, string, boolean]> = [
    [["room"], "room", true],
    [["lobby", "room"], "room", true],
    [["room"], "room:1", false],
    [["room:*"], "room:1", true],
    [["room:*"], "room:", true],
    [["room:*"], "room", false],
    [["room:*"], "a room:1", false],
    [["*"], "anything", true],
    [["*room"], "a room", false],
    [["*room"], "*room", true],
    [["r*m"], "room", false],
    [["r**"], "r*", true],
    [["r**"], "room", false],
    [["r.om"], "room", false],
    [["realtime:*"], "room", false],
    [[], "room", false],
    [undefined, "room", false]
  ]
  for (const [topics, topic, allowed] of cases) {
    it.scoped(`${JSON.stringify(topics)} ${allowed ? "lets into" : "keeps out of"} ${topic}`, () =>
      Effect.gen(function* () {
        const { port, url } = yield* start
        const jwt = token({ sub: "alice", ...(topics === undefined ? {} : { topics }) })
        const phoenix = yield* connect(phoenixUrl(url, `vsn=2.0.0&token=${jwt}`))
        phoenix.say("1", "1", topic, "phx_join", { key: "alice" })
        expect(yield* phoenix.reply("1")).toEqual(allowed ? ok : refused("forbidden topic"))
        // Its topic is the one without the prefix.
        const supabase = yield* connect(supabaseUrl(url))
        supabase.say("1", "1", `realtime:${topic}`, "phx_join", { config: {}, access_token: jwt })
        expect(yield* supabase.reply("1")).toMatchObject({ status: allowed ? "ok" : "error" })
        const headers = { authorization: `Bearer ${jwt}` }
        const answer = yield* ask(port, `/presence/${encodeURIComponent(topic)}`, { headers })
        expect([answer.status, answer.json]).toEqual(
          allowed ? [200, [{ key: "alice", metas: [{}] }]] : [403, { error: "forbidden topic" }]
        )
      })
    )
  }
})

describe("exact topics", () => {
  const enters = (claims: Record<string, unknown>, topic: string) =>
    Effect.gen(function* () {
      const { port } = yield* start
      const headers = { authorization: `Bearer ${token({ sub: "alice", ...claims })}` }
      const { status } = yield* ask(port, `/presence/${encodeURIComponent(topic)}`, { headers })
      return status === 200
    })

  const cases: ReadonlyArray<readonly [Record<string, unknown>, string, boolean]> = [
    [{ exact_topics: ["notes:*"] }, "notes:*", true],
    [{ exact_topics: ["notes:*"] }, "notes:1", false],
    [{ exact_topics: ["*"] }, "room", false],
    [{ exact_topics: ["room"] }, "room", true],
    [{ topics: ["team:*"], exact_topics: ["room"] }, "room", true],
    [{ topics: ["team:*"], exact_topics: ["room"] }, "team:1", true],
    [{ topics: ["team:*"], exact_topics: ["room"] }, "lobby", false]
  ]
  for (const [claims, topic, allowed] of cases) {
    it.scoped(`${JSON.stringify(claims)} ${allowed ? "lets into" : "keeps out of"} ${topic}`, () =>
      Effect.map(enters(claims, topic), (entered) => expect(entered).toBe(allowed))
    )
  }
})

describe("sub", () => {
  it.scoped("is the key whatever the client asks for: Phoenix, HTTP and Supabase, in pushes too", () =>
    Effect.gen(function* () {
      const { port, url } = yield* start
      const query = (sub: string) => `vsn=2.0.0&token=${everywhere(sub)}`
      const joined = yield* connect(phoenixUrl(url, query("joined")))
      joined.say("1", "1", "room", "phx_join", { key: "mallory", meta: { a: 1 } })
      yield* joined.reply("1")
      const watcher = yield* connect(phoenixUrl(url, query("pushed")))
      watcher.say("1", "1", "room", "phx_join", {})
      yield* watcher.heard("presence_state")
      watcher.say("1", "2", "room", "presence", { event: "track", key: "mallory", payload: { b: 2 } })
      expect(yield* watcher.reply("2")).toEqual(ok)
      const supabase = yield* connect(supabaseUrl(url, query("supabase")))
      supabase.say("1", "1", "realtime:room", "phx_join", { config: { presence: { key: "mallory" } } })
      yield* supabase.reply("1")
      supabase.say("1", "2", "realtime:room", "presence", { event: "track", payload: { c: 3 }, key: "mallory" })
      supabase.say("1", "3", "realtime:room", "presence", { event: "track", payload: { c: 4 } })
      yield* supabase.reply("3")
      const events = yield* follow(port, `/presence/room/events?key=mallory&access_token=${everywhere("followed")}`)
      yield* events.next
      yield* events.next
      expect(yield* list(port)).toEqual([
        { key: "followed", metas: [{}] },
        { key: "joined", metas: [{ a: 1 }] },
        { key: "pushed", metas: [{ b: 2 }] },
        { key: "supabase", metas: [{ c: 4 }] }
      ])
    })
  )

  it.scoped("who asks for no key watches, and nobody is tracked", () =>
    Effect.gen(function* () {
      const { port, url } = yield* start
      const client = yield* connect(phoenixUrl(url, `vsn=2.0.0&token=${everywhere("alice")}`))
      client.say("1", "1", "room", "phx_join", {})
      yield* client.heard("presence_state")
      yield* follow(port, `/presence/room/events?access_token=${everywhere("alice")}`)
      expect(yield* list(port)).toEqual([])
    })
  )
})

describe("a token that expires", () => {
  it.scoped("fails its channels, unless an access_token push brought a newer one", () =>
    Effect.gen(function* () {
      const { port, url } = yield* start
      const client = yield* connect(phoenixUrl(url, `vsn=2.0.0&token=${everywhere("alice", { exp: 10 })}`))
      client.say("1", "1", "kept", "phx_join", { key: "alice" })
      client.say("2", "2", "room", "phx_join", { key: "alice" })
      yield* client.reply("2")
      client.say("1", "3", "kept", "access_token", { access_token: everywhere("alice", { exp: 30 }) })
      client.say(null, "4", "phoenix", "heartbeat", {})
      yield* client.reply("4")
      yield* TestClock.adjust("10 seconds")
      expect(yield* client.heard("phx_error")).toEqual(["2", "2", "room", "phx_error", {}])
      expect(yield* list(port)).toEqual([])
      expect(yield* list(port, "kept")).toEqual([{ key: "alice", metas: [{}] }])
      // The token of the URL is bad by now.
      client.say("5", "5", "room", "phx_join", { key: "alice" })
      expect(yield* client.reply("5")).toEqual(refused("unauthorized"))
      client.say("6", "6", "room", "phx_join", { key: "alice", access_token: everywhere("alice", { exp: 30 }) })
      expect(yield* client.reply("6")).toEqual(ok)
    })
  )

  it.scoped("keeps its channels with a push that brings somebody else's, a forbidden or a bad one, no longer", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const client = yield* connect(phoenixUrl(url, `vsn=2.0.0&token=${everywhere("alice", { exp: 10 })}`))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.reply("1")
      const worthless = [
        everywhere("bob", { exp: 30 }),
        token({ sub: "alice", topics: ["lobby"], exp: 30 }),
        token({ sub: "alice", topics: ["*"], exp: 30 }, { secret: "guessed" }),
        "abc"
      ]
      for (const access_token of worthless) client.say("1", null, "room", "access_token", { access_token })
      client.say(null, "2", "phoenix", "heartbeat", {})
      yield* client.reply("2")
      expect(client.frames.some(([, , , event]) => event === "phx_error")).toBe(false)
      yield* TestClock.adjust("10 seconds")
      yield* client.heard("phx_error")
    })
  )

  it.scoped("ends the event streams that track or follow by it, and no other", () =>
    Effect.gen(function* () {
      const { port } = yield* start
      const short = everywhere("short", { exp: 10 })
      const stays = yield* follow(port, `/presence/room/events?access_token=${everywhere("root")}`)
      const tracks = yield* follow(port, `/presence/room/events?key=x&access_token=${short}`)
      const follows = yield* follow(port, "/presence/room/events", { authorization: `Bearer ${short}` })
      expect(yield* list(port)).toEqual([{ key: "short", metas: [{}] }])
      yield* TestClock.adjust("10 seconds")
      expect([yield* over(tracks), yield* over(follows)]).toEqual(["end", "end"])
      expect((yield* ask(port, `/presence/room/events?access_token=${short}`)).status).toBe(401)
      expect(yield* stays.next).toMatchObject({ event: "snapshot" })
      expect(yield* stays.next).toMatchObject({ data: { joins: [{ key: "short" }] } })
      expect(yield* stays.next).toMatchObject({ data: { leaves: [{ key: "short" }] } })
      expect(yield* list(port)).toEqual([])
    })
  )
})

describe("the clients, unmodified", () => {
  it.scopedLive("Phoenix: authToken, params of the socket, params of the channel", () =>
    Effect.gen(function* () {
      const { port, url } = yield* start
      const bySocket = yield* phoenixSocket(url, { authToken: everywhere("by authToken") })
      expect((yield* join(bySocket, "room", { key: "x" })).response).toEqual({ key: "by authToken" })
      const byParams = yield* phoenixSocket(url, { params: { token: everywhere("by params") } })
      yield* join(byParams, "room", { key: "x" })
      const byJoin = yield* phoenixSocket(url)
      const joined = yield* join(byJoin, "room", { key: "x", token: everywhere("by join") })
      yield* joined.sees("by authToken:{}", "by join:{}", "by params:{}")
      expect(yield* list(port)).toHaveLength(3)
      expect(yield* Effect.flip(join(byJoin, "lobby", { token: token({ sub: "a", topics: ["room"] }) }))).toEqual({
        reason: "forbidden topic"
      })
      expect(yield* Effect.flip(join(byJoin, "lobby"))).toEqual({ reason: "unauthorized" })
    })
  )

  it.scopedLive("Phoenix: the channel of an expired token fails, and is not joined again with the same one", () =>
    Effect.gen(function* () {
      const clock = leapingClock()
      const { url } = yield* start.pipe(Effect.withClock(clock))
      const exp = Math.ceil(Date.now() / 1_000) + 3_600
      const socket = yield* phoenixSocket(url, { authToken: everywhere("alice", { exp }) })
      const joined = yield* join(socket, "room", { key: "alice" })
      clock.leap("59 minutes")
      yield* joined.sees("alice:{}")
      clock.leap("1 minute")
      yield* joined.isTold("error")
      expect(joined.channel.state).toBe("errored")
    })
  )

  it.scopedLive("Supabase: an apikey that is a token, and setAuth before and after the join", () =>
    Effect.gen(function* () {
      const clock = leapingClock()
      const { port, url } = yield* start.pipe(Effect.withClock(clock))
      const client = (apikey: string) =>
        Effect.acquireRelease(
          Effect.sync(
            () =>
              new RealtimeClient(`${url}/realtime/v1`, {
                params: { apikey },
                // The client's type of a transport leaves out what `ws` calls its events.
                transport: WebSocket as unknown as WebSocketLikeConstructor
              })
          ),
          (client) => Effect.promise(() => client.removeAllChannels())
        )
      const subscribe = (client: RealtimeClient, key: string) =>
        Effect.async<() => Effect.Effect<unknown>, string>((resume) => {
          const channel = client.channel("room", { config: { presence: { key } } })
          channel.subscribe((status) =>
            resume(
              status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED
                ? Effect.succeed(() => Effect.promise(() => channel.track({ by: key })))
                : Effect.fail(status)
            )
          )
        })
      const one = yield* client(everywhere("alice"))
      const trackOne = yield* subscribe(one, "apikey")
      yield* trackOne()
      const two = yield* client("anon")
      expect(yield* Effect.flip(subscribe(two, "none"))).toBe(REALTIME_SUBSCRIBE_STATES.CHANNEL_ERROR)
      const exp = Math.ceil(Date.now() / 1_000) + 3_600
      const three = yield* client("anon")
      yield* Effect.promise(() => three.setAuth(everywhere("bob", { exp })))
      const trackThree = yield* subscribe(three, "setAuth")
      yield* trackThree()
      yield* Effect.promise(() => three.setAuth(everywhere("bob", { exp: exp + 3_600 })))
      // What is answered on its channel comes after the newer token, and after the end of the first.
      yield* trackThree()
      clock.leap("90 minutes")
      yield* trackThree()
      expect(yield* list(port)).toEqual([
        { key: "alice", metas: [{ by: "apikey" }] },
        { key: "bob", metas: [{ by: "setAuth" }] }
      ])
    })
  )
})

it.scoped("clocks that differ by less than the tolerance let tokens in, and keep them in that long", () =>
  Effect.gen(function* () {
    const url = `ws://127.0.0.1:${yield* serve({
      jwt: Option.some({ secret: SECRET, clockTolerance: "30 seconds" })
    })}`
    yield* TestClock.setTime(100_000)
    const client = yield* connect(phoenixUrl(url))
    const join = (name: string, claims: object) => {
      client.say(name, name, `room ${name}`, "phx_join", {
        access_token: token({ sub: "alice", topics: ["*"], ...claims })
      })
      return client.reply(name)
    }
    expect(yield* join("soon", { nbf: 102 })).toEqual(ok)
    expect(yield* join("just over", { exp: 90 })).toEqual(ok)
    expect(yield* join("much later", { nbf: 131 })).toEqual(refused("unauthorized"))
    expect(yield* join("long over", { exp: 70 })).toEqual(refused("unauthorized"))
  })
)

it.scopedLive("who polls may send the token as a header, as Phoenix's client does then", () =>
  Effect.gen(function* () {
    const { port } = yield* start
    const poll = (jwt: string | undefined) =>
      Effect.promise(async () => {
        const url = `http://127.0.0.1:${port}/socket/longpoll?vsn=2.0.0`
        const headers = jwt === undefined ? {} : { "x-phoenix-authtoken": jwt }
        const opened = (await (await fetch(url, { headers })).json()) as { token: string }
        const session = `${url}&token=${opened.token}`
        const body = JSON.stringify(["1", "1", "room", "phx_join", { key: "x" }])
        await fetch(session, { method: "POST", body })
        const { messages } = (await (await fetch(session)).json()) as { messages: ReadonlyArray<string> }
        return JSON.parse(messages[0] ?? "null")[4]
      })
    expect(yield* poll(everywhere("alice"))).toEqual({ status: "ok", response: { key: "alice" } })
    expect(yield* list(port)).toEqual([{ key: "alice", metas: [{}] }])
    expect(yield* poll("a.b.c")).toEqual(refused("unauthorized"))
  })
)
