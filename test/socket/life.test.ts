/** Between a join and its end: clients that go at the worst moment, clocks, and what is left afterwards. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Option, Scope, Stream, TestClock } from "effect"
import { followOf } from "../../src/internal/feed/direct.js"
import { nextTurn } from "../../src/internal/leases/turns.js"
import { PresenceUnavailable } from "../../src/PresenceError.js"
import { connect, phoenixUrl } from "./support/client.js"
import { makeServer, type TestServer } from "./support/server.js"

const isGone = ({ presence }: TestServer, topic = "room") =>
  Effect.gen(function* () {
    while ((yield* presence.count(topic)).connections > 0) yield* nextTurn
  })

/** Waits until the server has noticed that the only socket on a topic is gone. Its leases' scope closes in that step. */
const isUnfollowed = ({ channels }: TestServer, topic: string) =>
  Effect.gen(function* () {
    while ((yield* channels.stats).topics.has(`socket:${topic}`)) yield* nextTurn
    yield* nextTurn
  })

describe("leaveDelay", () => {
  it.scoped("one who comes back within it never left: others see neither leave nor join of the key", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ leaveDelay: "5 seconds" })
      const watcher = yield* connect(phoenixUrl(server.url))
      watcher.say("1", "1", "room", "phx_join", {})
      yield* watcher.heard("presence_state")
      const events: Array<string> = []
      const subscription = yield* server.presence.subscribe("room")
      yield* subscription.take.pipe(
        Effect.tap((taken) => Effect.sync(() => events.push(...taken.map(({ type, key }) => `${type} ${key}`)))),
        Effect.forever,
        Effect.fork
      )
      const first = yield* connect(phoenixUrl(server.url))
      first.say("1", "1", "room", "phx_join", { key: "alice" })
      first.say("2", "2", "alone", "phx_join", {})
      yield* first.reply("2")
      yield* watcher.heard("presence_diff")
      const ref = (yield* server.presence.snapshot("room")).connections[0]?.ref
      first.ws.terminate()
      yield* isUnfollowed(server, "alone")
      yield* TestClock.adjust("4 seconds")
      expect(yield* server.presence.count("room")).toEqual({ keys: 1, connections: 1 })
      const second = yield* connect(phoenixUrl(server.url))
      second.say("1", "1", "room", "phx_join", { key: "alice" })
      const [, , , , diff] = yield* watcher.until(
        () => watcher.frames.filter(([, , , event]) => event === "presence_diff")[1]
      )
      const now = (yield* server.presence.snapshot("room")).connections
      expect(now).toHaveLength(1)
      expect(diff).toEqual({
        joins: { alice: { metas: [{ phx_ref: now[0]?.ref }] } },
        leaves: { alice: { metas: [{ phx_ref: ref }] } }
      })
      yield* TestClock.adjust("10 seconds")
      expect(yield* server.presence.count("room")).toEqual({ keys: 1, connections: 1 })
      expect(events.filter((event) => event.startsWith("leave"))).toEqual([])
    })
  )

  it.scoped("one who does not come back leaves when it is over; who leaves on purpose leaves at once", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ leaveDelay: "5 seconds" })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      client.say("2", "2", "lobby", "phx_join", { key: "alice" })
      yield* client.reply("2")
      client.say("1", "3", "room", "phx_leave", {})
      yield* client.reply("3")
      expect(yield* server.presence.count("room")).toEqual({ keys: 0, connections: 0 })
      client.ws.close()
      yield* isUnfollowed(server, "lobby")
      yield* TestClock.adjust("4 seconds")
      expect(yield* server.presence.count("lobby")).toEqual({ keys: 1, connections: 1 })
      yield* TestClock.adjust("2 seconds")
      yield* isGone(server, "lobby")
    })
  )
})

describe("going at the worst moment", () => {
  it.scopedLive("a socket that closes while authorize thinks leaves nothing, and authorize is interrupted", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const server = yield* makeServer({
        authorize: ({ on }) =>
          on === "connect"
            ? Effect.succeed({})
            : Deferred.succeed(asked, undefined).pipe(
                Effect.zipRight(Effect.never),
                Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
              )
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* Deferred.await(asked)
      client.ws.terminate()
      yield* Deferred.await(interrupted)
      expect(yield* server.presence.topics).toEqual([])
    })
  )

  it.scopedLive("a server that stops while authorize thinks about a connection does not let it in", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const server = yield* makeServer({
        authorize: () =>
          Effect.uninterruptible(Effect.zipRight(Deferred.succeed(asked, undefined), Effect.as(Deferred.await(go), {})))
      })
      const opening = yield* Effect.fork(Effect.flip(connect(phoenixUrl(server.url))))
      yield* Deferred.await(asked)
      const stopping = yield* Effect.fork(server.stop)
      yield* nextTurn
      yield* Deferred.succeed(go, undefined)
      yield* stopping
      expect([0, 499, 503]).toContain(yield* opening)
    })
  )

  it.scopedLive("a client that goes while authorize thinks about its connection is no socket", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const server = yield* makeServer({
        authorize: () => Effect.zipRight(Deferred.succeed(asked, undefined), Effect.as(Deferred.await(go), {}))
      })
      const opening = yield* Effect.fork(Effect.scoped(connect(phoenixUrl(server.url))))
      yield* Deferred.await(asked)
      yield* opening.interruptAsFork(opening.id())
      yield* Deferred.succeed(go, undefined)
      yield* server.stop
    })
  )

  it.scopedLive("a socket that closes in the midst of its joins leaves nothing, whenever it does", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      for (let i = 0; i < 24; i++) {
        const client = yield* connect(phoenixUrl(server.url))
        for (let n = 0; n < 20; n++) client.say(`${n}`, `${n}`, `room ${n % 7}`, "phx_join", { key: "alice" })
        for (let n = 0; n < i % 6; n++) yield* nextTurn
        if (i % 2 === 0) client.ws.terminate()
        else client.ws.close()
      }
      while ((yield* server.presence.topics).length > 0) yield* nextTurn
    })
  )

  it.scopedLive("the server that stops while authorize thinks ends that socket as well", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const server = yield* makeServer({
        authorize: ({ on }) =>
          on === "connect" ? Effect.succeed({}) : Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* Deferred.await(asked)
      yield* server.stop
      expect((yield* client.end).code).toBe(1012)
    })
  )

  it.scopedLive("a slow answer holds up its own socket only, and what comes behind it keeps its order", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const server = yield* makeServer({
        onMessage: ({ event }) =>
          event === "slow" ? Effect.as(Deferred.await(go), Option.none()) : Effect.succeed(Option.none())
      })
      const slow = yield* connect(phoenixUrl(server.url))
      const other = yield* connect(phoenixUrl(server.url))
      for (const client of [slow, other]) {
        client.say("1", "1", "room", "phx_join", {})
        yield* client.heard("presence_state")
      }
      slow.say("1", "2", "room", "slow", {})
      slow.say("1", "3", "room", "quick", {})
      slow.say(null, "4", "phoenix", "heartbeat", {})
      other.say("1", "2", "room", "quick", {})
      yield* other.reply("2")
      yield* slow.heard("quick")
      expect(slow.frames.some(([, ref]) => ref === "3" || ref === "4")).toBe(false)
      yield* Deferred.succeed(go, undefined)
      yield* slow.reply("4")
      yield* other.heard("quick")
      expect(slow.frames.filter(([, , , event]) => event === "phx_reply").map(([, ref]) => ref)).toEqual([
        "1",
        "2",
        "3",
        "4"
      ])
      expect(
        other.frames.filter(([, , , event]) => event === "slow" || event === "quick").map(([, , , event]) => event)
      ).toEqual(["slow", "quick"])
    })
  )
})

describe("the backend", () => {
  const unavailable = new PresenceUnavailable({ reason: "redis://secret is away" })

  it.scopedLive("that cannot be followed fails the channels, and their clients come back by themselves", () =>
    Effect.gen(function* () {
      let away = true
      const server = yield* makeServer({
        change: (presence) => ({
          ...presence,
          changes: (topic, options) => (away ? Stream.fail(unavailable) : presence.changes(topic, options))
        })
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      expect(yield* client.heard("phx_error")).toEqual(["1", "1", "room", "phx_error", {}])
      expect(yield* server.presence.topics).toEqual([])
      client.say("1", "2", "room", "hello", {})
      expect(yield* client.reply("2")).toEqual({ status: "error", response: { reason: "unmatched topic" } })
      away = false
      client.say("3", "3", "room", "phx_join", { key: "alice" })
      expect((yield* client.heard("presence_state"))[0]).toBe("3")
    })
  )

  it.scopedLive("that fails later does the same, and that cannot track refuses the join without saying who it is", () =>
    Effect.gen(function* () {
      const fails = yield* Deferred.make<never, PresenceUnavailable>()
      const server = yield* makeServer({
        change: (presence) => ({
          ...presence,
          changes: (topic) => Stream.merge(presence.changes(topic), Stream.fromEffect(Deferred.await(fails))),
          track: (topic, key, meta, options) =>
            key === "unlucky" ? Effect.fail(unavailable) : presence.track(topic, key, meta, options)
        })
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.heard("presence_state")
      client.say("2", "2", "other", "phx_join", { key: "unlucky" })
      expect(yield* client.reply("2")).toEqual({ status: "error", response: { reason: "presence is unavailable" } })
      yield* Deferred.fail(fails, unavailable)
      expect(yield* client.heard("phx_error")).toEqual(["1", "1", "room", "phx_error", {}])
      yield* isGone(server)
    })
  )

  it.scoped("that puts somebody out in the very step in which they come, tells them so", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      followOf(server.presence)?.("room", {
        onChange: (change) => {
          if (change._tag === "Diff" && change.joins.length > 0) Effect.runSync(server.presence.evict("room", "alice"))
        },
        onEnd: () => {}
      })
      const watcher = yield* connect(phoenixUrl(server.url))
      watcher.say("1", "1", "room", "phx_join", {})
      yield* watcher.heard("presence_state")
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      expect(yield* client.heard("phx_close")).toEqual(["1", null, "room", "phx_close", {}])
      expect(yield* server.presence.list("room")).toEqual([])
    })
  )

  it.scopedLive("that lost steps on the way still puts out who was evicted meanwhile, and nobody else", () =>
    Effect.gen(function* () {
      const evicted = yield* Deferred.make<void>()
      const server = yield* makeServer({
        change: (presence) => ({
          ...presence,
          // The first snapshot, nothing for a while, then a snapshot as after a lag.
          changes: (topic) =>
            Stream.concat(
              Stream.take(presence.changes(topic), 1),
              Stream.unwrap(Effect.as(Deferred.await(evicted), presence.changes(topic)))
            )
        })
      })
      const alice = yield* connect(phoenixUrl(server.url))
      const bob = yield* connect(phoenixUrl(server.url))
      alice.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* alice.heard("presence_state")
      bob.say("1", "1", "room", "phx_join", { key: "bob" })
      yield* bob.heard("presence_state")
      yield* server.presence.evict("room", "alice")
      yield* Deferred.succeed(evicted, undefined)
      expect(yield* alice.heard("phx_close")).toEqual(["1", null, "room", "phx_close", {}])
      yield* bob.heard("presence_diff")
      bob.say("1", "2", "room", "hello", {})
      expect(yield* bob.reply("2")).toEqual({ status: "ok", response: {} })
      expect(
        bob.frames
          .filter(([, , , event]) => event === "presence_diff")
          .map(([, , , , diff]) => Object.keys(diff.leaves as object))
      ).toEqual([["alice"]])
    })
  )
})

describe("what is left", () => {
  it.scopedLive("nothing follows a topic that no socket is on any more", () =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const before = (yield* server.channels.stats).topics.size
      const clients = yield* Effect.forEach([1, 2, 3], () => connect(phoenixUrl(server.url)))
      for (const client of clients) {
        for (let i = 0; i < 50; i++) client.say(`${i}`, `${i}`, `room ${i}`, "phx_join", { key: "alice" })
        yield* client.reply("49")
      }
      expect((yield* server.channels.stats).topics.size).toBe(before + 50)
      for (let i = 0; i < 50; i++) clients[0]?.say(`${i}`, `x${i}`, `room ${i}`, "phx_leave", {})
      clients[1]?.ws.terminate()
      clients[2]?.ws.close()
      while ((yield* server.channels.stats).topics.size > before) yield* nextTurn
      expect(yield* server.presence.topics).toEqual([])
    })
  )

  it.scopedLive("a presence that closed before the sockets do does them no harm", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* makeServer().pipe(Scope.extend(scope))
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.heard("presence_state")
      yield* Scope.close(scope, Exit.void)
      expect((yield* client.end).code).toBe(1012)
    })
  )
})
