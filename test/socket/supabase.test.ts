/** The published Supabase client, unmodified, over real sockets: the rows of the protocol. */
import { describe, expect, it } from "@effect/vitest"
import {
  REALTIME_LISTEN_TYPES,
  type RealtimeChannel,
  type RealtimeChannelOptions,
  RealtimeClient,
  type WebSocketLikeConstructor
} from "@supabase/realtime-js"
import { Effect, type Scope } from "effect"
import { WebSocket } from "ws"
import { nextTurn } from "../../src/internal/leases/turns.js"
import { Unauthorized } from "../../src/PresenceError.js"
import { connect, supabaseUrl } from "./support/client.js"
import { join, phoenixSocket } from "./support/phoenix.js"
import { makeServer, type TestServer } from "./support/server.js"

const makeClient = (
  url: string,
  vsn = "2.0.0",
  transport = WebSocket
): Effect.Effect<RealtimeClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new RealtimeClient(`${url}/realtime/v1`, {
          params: { apikey: "key" },
          // The client's type of a transport leaves out what `ws` calls its events.
          transport: transport as unknown as WebSocketLikeConstructor,
          vsn,
          // It asks over HTTP only when told to; a test that made it do so must not pass by accident.
          fetch: () => Promise.reject(new Error("no HTTP here"))
        })
    ),
    (client) => Effect.promise(() => client.removeAllChannels())
  )

interface Told {
  readonly channel: RealtimeChannel
  readonly lines: Array<string>
  readonly until: <A>(look: () => A | undefined | false) => Effect.Effect<A>
  readonly sees: (...expected: ReadonlyArray<string>) => Effect.Effect<boolean>
}

/** Subscribes, or fails with the status; notes what the channel tells. */
const subscribe = (
  client: RealtimeClient,
  topic: string,
  config: RealtimeChannelOptions["config"] = {}
): Effect.Effect<Told, string> =>
  Effect.async((resume) => {
    const channel = client.channel(topic, { config })
    const lines: Array<string> = []
    const watchers = new Set<() => void>()
    const note = (line: string) => {
      lines.push(line)
      for (const watch of Array.from(watchers)) watch()
    }
    const until: Told["until"] = <A>(look: () => A | undefined | false) =>
      Effect.async<A>((resume) => {
        const watch = () => {
          const found = look()
          if (found === undefined || found === false) return
          watchers.delete(watch)
          resume(Effect.succeed(found))
        }
        watchers.add(watch)
        watch()
        return Effect.sync(() => watchers.delete(watch))
      })
    const list = () =>
      Object.entries(channel.presenceState())
        .flatMap(([key, metas]) => metas.map(({ presence_ref, ...meta }) => `${key}:${JSON.stringify(meta)}`))
        .sort()
    const sees: Told["sees"] = (...expected) =>
      until(() => JSON.stringify(list()) === JSON.stringify([...expected].sort()))
    channel
      .on(REALTIME_LISTEN_TYPES.PRESENCE, { event: "sync" }, () => note("sync"))
      .on(REALTIME_LISTEN_TYPES.PRESENCE, { event: "join" }, ({ key, newPresences }) =>
        note(`join ${key} ${newPresences.length}`)
      )
      .on(REALTIME_LISTEN_TYPES.PRESENCE, { event: "leave" }, ({ key, leftPresences }) =>
        note(`leave ${key} ${leftPresences.length}`)
      )
      .on(REALTIME_LISTEN_TYPES.BROADCAST, { event: "*" }, ({ event, payload }) =>
        note(`${event} ${payload instanceof ArrayBuffer ? new Uint8Array(payload) : JSON.stringify(payload)}`)
      )
      .subscribe((status) => {
        note(status)
        if (status === "SUBSCRIBED") resume(Effect.succeed({ channel, lines, until, sees }))
        if (status === "CHANNEL_ERROR" || status === "TIMED_OUT") resume(Effect.fail(status))
      })
  })

const track = ({ channel }: Told, payload: object) => Effect.promise(() => channel.track({ ...payload }))
const untrack = ({ channel }: Told) => Effect.promise(() => channel.untrack())
const send = ({ channel }: Told, event: string, payload: unknown) =>
  Effect.promise(() => channel.send({ type: "broadcast", event, payload }))

const presenceKeys = ({ presence }: TestServer, topic: string) =>
  Effect.map(presence.list(topic), (entries) => entries.map(({ key }) => key))

for (const vsn of ["1.0.0", "2.0.0"]) {
  describe(`version ${vsn}`, () => {
    it.scopedLive("track, update, equal track and untrack: answered, and seen by everybody on the topic", () =>
      Effect.gen(function* () {
        const server = yield* makeServer()
        const alice = yield* subscribe(yield* makeClient(server.url, vsn), "room", { presence: { key: "alice" } })
        const bob = yield* subscribe(yield* makeClient(server.url, vsn), "room", { presence: { key: "bob" } })
        expect(yield* presenceKeys(server, "room")).toEqual([])
        expect(yield* track(alice, { color: "blue", n: 1 })).toBe("ok")
        yield* bob.sees(`alice:{"color":"blue","n":1}`)
        yield* alice.sees(`alice:{"color":"blue","n":1}`)
        const before = yield* server.presence.snapshot("room")
        expect(yield* track(alice, { n: 1, color: "blue" })).toBe("ok")
        expect(yield* server.presence.snapshot("room")).toEqual(before)
        expect(yield* track(alice, { color: "red" })).toBe("ok")
        yield* bob.sees(`alice:{"color":"red"}`)
        expect(yield* server.presence.count("room")).toEqual({ keys: 1, connections: 1 })
        expect(yield* untrack(alice)).toBe("ok")
        yield* bob.sees()
        expect(yield* presenceKeys(server, "room")).toEqual([])
      })
    )

    it.scopedLive("a broadcast reaches the others; with self it comes back, with ack it is answered", () =>
      Effect.gen(function* () {
        const { url } = yield* makeServer()
        const alice = yield* subscribe(yield* makeClient(url, vsn), "room")
        const bob = yield* subscribe(yield* makeClient(url, vsn), "room", { broadcast: { self: true, ack: true } })
        expect(yield* send(alice, "cursor", { x: 1, name: "Zoë 🦊" })).toBe("ok")
        yield* bob.until(() => bob.lines.includes(`cursor {"x":1,"name":"Zoë 🦊"}`))
        expect(yield* send(bob, "cursor", { x: 2 })).toBe("ok")
        yield* alice.until(() => alice.lines.includes(`cursor {"x":2}`))
        yield* bob.until(() => bob.lines.includes(`cursor {"x":2}`))
        expect(alice.lines.filter((line) => line.startsWith("cursor"))).toEqual([`cursor {"x":2}`])
      })
    )

    it.scopedLive("an access_token push is neither answered nor does it disturb the channel", () =>
      Effect.gen(function* () {
        const server = yield* makeServer()
        const client = yield* makeClient(server.url, vsn)
        const alice = yield* subscribe(client, "room", { presence: { key: "alice" } })
        yield* Effect.promise(() => client.setAuth("another token"))
        expect(yield* track(alice, {})).toBe("ok")
        yield* alice.sees("alice:{}")
      })
    )
  })
}

it.scopedLive("bytes travel as bytes to clients of version 2", () =>
  Effect.gen(function* () {
    const { url } = yield* makeServer()
    const alice = yield* subscribe(yield* makeClient(url), "room")
    const bob = yield* subscribe(yield* makeClient(url), "room")
    yield* send(alice, "file", Uint8Array.of(1, 2, 3).buffer)
    yield* bob.until(() => bob.lines.includes("file 1,2,3"))
  })
)

it.scopedLive("an empty presence key is made up by the server, another for each socket", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const first = yield* subscribe(yield* makeClient(server.url), "room")
    const second = yield* subscribe(yield* makeClient(server.url), "room")
    yield* track(first, { n: 1 })
    yield* track(second, { n: 2 })
    const keys = yield* presenceKeys(server, "room")
    expect(keys).toHaveLength(2)
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    yield* first.until(() => Object.keys(first.channel.presenceState()).length === 2)
  })
)

it.scopedLive("its topics are those of presence: Phoenix's clients of that name are there too", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const alice = yield* subscribe(yield* makeClient(server.url), "room", { presence: { key: "alice" } })
    const bob = yield* join(yield* phoenixSocket(server.url), "room", { key: "bob", meta: { b: 1 } })
    yield* track(alice, { a: 1 })
    yield* alice.sees(`alice:{"a":1}`, `bob:{"b":1}`)
    yield* bob.sees(`alice:{"a":1}`, `bob:{"b":1}`)
    expect(yield* presenceKeys(server, "room")).toEqual(["alice", "bob"])
  })
)

it.scopedLive("leaving, and going away without a word, end what is tracked", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const client = yield* makeClient(server.url)
    const alice = yield* subscribe(client, "room", { presence: { key: "alice" } })
    const watcher = yield* join(yield* phoenixSocket(server.url), "room")
    yield* track(alice, {})
    yield* watcher.sees("alice:{}")
    expect(yield* Effect.promise(() => client.removeChannel(alice.channel))).toBe("ok")
    yield* watcher.sees()
    const gone = yield* connect(supabaseUrl(server.url))
    gone.say("1", "1", "realtime:room", "phx_join", { config: { presence: { key: "carol" } } })
    gone.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
    yield* gone.reply("2")
    yield* watcher.sees("carol:{}")
    gone.ws.terminate()
    yield* watcher.sees()
  })
)

it.scopedLive("a refused join is a channel error", () =>
  Effect.gen(function* () {
    const { url } = yield* makeServer({
      authorize: ({ on }) =>
        on === "join" ? Effect.fail(new Unauthorized({ reason: "forbidden topic" })) : Effect.succeed({})
    })
    expect(yield* Effect.flip(subscribe(yield* makeClient(url), "room"))).toBe("CHANNEL_ERROR")
  })
)

it.scopedLive("the frames: join, track, and a topic without the prefix", () =>
  Effect.gen(function* () {
    const { url } = yield* makeServer()
    const client = yield* connect(supabaseUrl(url))
    const payload = {
      config: {
        broadcast: { ack: false, self: false },
        presence: { key: "alice", enabled: true },
        postgres_changes: [],
        private: false
      },
      access_token: "t"
    }
    client.say("1", "1", "realtime:room1", "phx_join", payload)
    yield* client.heard("presence_state")
    client.say("1", "2", "realtime:room1", "presence", { type: "presence", event: "track", payload: { a: 1 } })
    client.say("1", "3", "realtime:room1", "access_token", { access_token: "new" })
    client.say("2", "4", "room1", "phx_join", payload)
    yield* client.reply("4")
    yield* client.heard("presence_diff")
    expect(client.frames.filter(([, , , event]) => event === "phx_reply")).toEqual([
      ["1", "1", "realtime:room1", "phx_reply", { status: "ok", response: { postgres_changes: [] } }],
      ["1", "2", "realtime:room1", "phx_reply", { status: "ok", response: {} }],
      ["2", "4", "room1", "phx_reply", { status: "error", response: { reason: "unmatched topic" } }]
    ])
    expect(client.frames[1]).toEqual(["1", null, "realtime:room1", "presence_state", {}])
  })
)

const joining = (presence: unknown) => ({ config: { presence } })

it.scopedLive(
  "a key that is null, empty or missing is made up; nobody comes back under it, so no leave delay holds",
  () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ leaveDelay: "1 hour" })
      const named = yield* connect(supabaseUrl(server.url))
      named.say("1", "1", "realtime:room", "phx_join", joining({ key: "alice" }))
      named.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
      yield* named.reply("2")
      for (const presence of [{ key: null }, { key: "" }, {}, undefined]) {
        const client = yield* connect(supabaseUrl(server.url))
        client.say("1", "1", "realtime:room", "phx_join", joining(presence))
        client.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: { a: 1 } })
        expect(yield* client.reply("1")).toEqual({ status: "ok", response: { postgres_changes: [] } })
        expect(yield* client.reply("2")).toEqual({ status: "ok", response: {} })
        expect(yield* presenceKeys(server, "room")).toHaveLength(2)
        client.ws.terminate()
        while ((yield* presenceKeys(server, "room")).length > 1) yield* nextTurn
      }
      named.ws.terminate()
      yield* connect(supabaseUrl(server.url))
      expect(yield* presenceKeys(server, "room")).toEqual(["alice"])
    })
)

it.scopedLive("a key that authorize grants to one who names none is theirs, and the leave delay holds for it", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ leaveDelay: "1 hour", authorize: () => Effect.succeed({ key: "alice" }) })
    const client = yield* connect(supabaseUrl(server.url))
    client.say("1", "1", "realtime:room", "phx_join", joining({ key: "" }))
    client.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
    yield* client.reply("2")
    client.ws.terminate()
    while ((yield* server.channels.stats).topics.has("socket:room")) yield* nextTurn
    yield* nextTurn
    expect(yield* presenceKeys(server, "room")).toEqual(["alice"])
  })
)

it.scopedLive(
  "one who says presence is not enabled is sent messages, and neither state nor diffs; a rejoin may say yes",
  () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const client = yield* connect(supabaseUrl(server.url))
      client.say("1", "1", "realtime:room", "phx_join", joining({ key: "alice", enabled: false }))
      client.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
      yield* client.reply("2")
      const other = yield* connect(supabaseUrl(server.url))
      other.say("1", "1", "realtime:room", "phx_join", joining({ key: "bob", enabled: true }))
      other.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
      yield* other.until(() =>
        other.frames.some(
          ({ 3: event, 4: { joins } }) => event === "presence_diff" && Object.hasOwn(Object(joins), "bob")
        )
      )
      other.say("1", "3", "realtime:room", "broadcast", { type: "broadcast", event: "hi", payload: {} })
      yield* client.heard("broadcast")
      expect(client.frames.filter(([, , , event]) => event.startsWith("presence"))).toEqual([])
      client.say("2", "5", "realtime:room", "phx_join", joining({ key: "alice", enabled: true }))
      expect((yield* client.heard("presence_state"))[0]).toBe("2")
      // Who is not told is put out all the same.
      client.say("3", "6", "realtime:room", "phx_join", joining({ key: "alice", enabled: false }))
      client.say("3", "7", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
      yield* client.reply("7")
      yield* server.presence.evict("room", "alice")
      yield* client.until(() =>
        client.frames.some(([joinRef, ref, , event]) => joinRef === "3" && ref === null && event === "phx_close")
      )
    })
)

it.scopedLive("realtime-js is told nothing of presence while nobody listens, and everything once somebody does", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const heard: Array<string> = []
    class Overheard extends WebSocket {
      constructor(url: string, protocols?: string | Array<string>) {
        super(url, protocols)
        this.on("message", (data) => {
          const event = /"(presence_(?:state|diff))"/.exec(String(data))?.[1]
          if (event !== undefined) heard.push(event)
        })
      }
    }
    const client = yield* makeClient(server.url, "2.0.0", Overheard as typeof WebSocket)
    const channel = client.channel("room")
    yield* Effect.async<void>((resume) => {
      channel.subscribe((status) => status === "SUBSCRIBED" && resume(Effect.void))
    })
    const other = yield* connect(supabaseUrl(server.url))
    other.say("1", "1", "realtime:room", "phx_join", joining({ key: "bob" }))
    other.say("1", "2", "realtime:room", "presence", { type: "presence", event: "track", payload: {} })
    yield* Effect.async<void>((resume) => {
      channel.on(REALTIME_LISTEN_TYPES.BROADCAST, { event: "hi" }, () => resume(Effect.void))
      other.say("1", "4", "realtime:room", "broadcast", { type: "broadcast", event: "hi", payload: {} })
    })
    expect(heard).toEqual([])
    // This client takes listeners for presence only before it subscribes.
    yield* Effect.promise(() => client.removeChannel(channel))
    const { sees } = yield* subscribe(client, "room")
    yield* sees("bob:{}")
    expect(heard).toContain("presence_state")
  })
)

it.scopedLive("a private channel is one as any other, left and subscribed to again, with another token meanwhile", () =>
  Effect.gen(function* () {
    const server = yield* makeServer()
    const client = yield* makeClient(server.url)
    const config = { private: true, presence: { key: "alice" } }
    const first = yield* subscribe(client, "room", config)
    expect(yield* track(first, { n: 1 })).toBe("ok")
    yield* first.sees('alice:{"n":1}')
    yield* Effect.promise(() => client.setAuth("another"))
    expect(yield* track(first, { n: 2 })).toBe("ok")
    yield* first.sees('alice:{"n":2}')
    expect(yield* Effect.promise(() => client.removeChannel(first.channel))).toBe("ok")
    // Who is there once more is there once.
    const again = yield* subscribe(client, "room", config)
    expect(yield* track(again, { n: 3 })).toBe("ok")
    yield* again.sees('alice:{"n":3}')
    expect(yield* untrack(again)).toBe("ok")
    yield* again.sees()
  })
)

it.scopedLive("the REST fallback is not served", () =>
  Effect.gen(function* () {
    const { url } = yield* makeServer()
    const status = yield* Effect.promise(() =>
      fetch(`${url.replace("ws:", "http:")}/realtime/v1/api/broadcast`, { method: "POST", body: "{}" }).then(
        (response) => response.status
      )
    )
    expect(status).toBe(404)
  })
)
