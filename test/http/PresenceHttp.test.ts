import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { Authorize } from "../../src/http/index.js"
import { Presence, PresenceLive, PresenceUnavailable, Unauthorized } from "../../src/index.js"
import { ask, follow, over, serve } from "../support/http.js"

/** Waits until a topic's keys are these. */
const keysAre = (presence: Presence.Service, topic: string, keys: ReadonlyArray<string>) =>
  presence.changes(topic).pipe(
    Stream.mapEffect(() => presence.list(topic)),
    Stream.takeUntil((list) => JSON.stringify(list.map(({ key }) => key)) === JSON.stringify(keys)),
    Stream.runDrain
  )

describe("GET {path}/:topic", () => {
  it.scopedLive("lists the keys with their metas, sorted by key", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      yield* presence.track("room", "bob", { role: "viewer" })
      yield* presence.track("room", "alice", 1)
      yield* presence.track("room", "alice", null)
      const { status, headers, json } = yield* ask(port, "/presence/room")
      expect(status).toBe(200)
      expect(headers["content-type"]).toBe("application/json")
      expect(json).toEqual([
        { key: "alice", metas: [1, null] },
        { key: "bob", metas: [{ role: "viewer" }] }
      ])
      expect((yield* ask(port, "/presence/elsewhere")).json).toEqual([])
    })
  )

  it.scopedLive("counts keys and connections", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      yield* presence.track("room", "alice")
      yield* presence.track("room", "alice")
      yield* presence.track("room", "bob")
      expect((yield* ask(port, "/presence/room/count")).json).toEqual({ keys: 2, connections: 3 })
      expect((yield* ask(port, "/presence/elsewhere/count")).json).toEqual({ keys: 0, connections: 0 })
    })
  )

  it.scopedLive("takes the topic from one path segment, percent-decoded once", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      const topics: ReadonlyArray<readonly [string, string]> = [
        ["room%2F1", "room/1"],
        ["room%252F1", "room%2F1"],
        ["room%25", "room%"],
        ["a;b", "a;b"],
        ["a%3Bb%23c%3Fd", "a;b#c?d"],
        ["a+b", "a+b"],
        ["%C3%A9%F0%9F%98%80", "é😀"],
        ["__proto__", "__proto__"],
        ["Room", "Room"],
        ["room", "room"],
        ["%3A*", ":*"],
        ["%2e%2e", ".."],
        ["count", "count"],
        ["x".repeat(255), "x".repeat(255)]
      ]
      for (const [, topic] of topics) yield* presence.track(topic, topic.slice(0, 9))
      for (const [segment, topic] of topics) {
        const expected = [{ key: topic.slice(0, 9), metas: [{}] }]
        expect([segment, (yield* ask(port, `/presence/${segment}`)).json]).toEqual([segment, expected])
        expect([segment, (yield* ask(port, `/presence/${segment}/count?x=%2F`)).json]).toEqual([
          segment,
          { keys: 1, connections: 1 }
        ])
      }
      expect((yield* ask(port, "http://any.example/presence/room%2F1")).json).toEqual([{ key: "room/1", metas: [{}] }])
    })
  )

  it.scopedLive("takes the topic from a parameter too, whatever a proxy does with %2F in a path", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      for (const topic of ["a/b", "count", "a b", "é+"]) yield* presence.track(topic, topic)
      for (const [named, topic] of [
        ["a%2Fb", "a/b"],
        ["a/b", "a/b"],
        ["count", "count"],
        ["a+b", "a b"],
        ["%C3%A9%2B", "é+"]
      ]) {
        const members = [{ key: topic, metas: [{}] }]
        for (const path of ["/presence", "/presence/"]) {
          expect([named, (yield* ask(port, `${path}?topic=${named}`)).json]).toEqual([named, members])
        }
        const counted = yield* ask(port, `/presence/count?x=1&topic=${named}`)
        expect(counted.json).toEqual({ keys: 1, connections: 1 })
        const { next, close } = yield* follow(port, `/presence/events?topic=${named}`)
        expect(yield* next).toMatchObject({ event: "snapshot", data: { topic, connections: [{ key: topic }] } })
        yield* close
        expect((yield* ask(port, `/presence?topic=${named}`, { method: "HEAD" })).status).toBe(200)
      }
      // Without the parameter these are topics.
      expect((yield* ask(port, "/presence/count")).json).toEqual([{ key: "count", metas: [{}] }])
      expect((yield* ask(port, "/presence/events")).json).toEqual([])
      for (const path of ["/room?topic=a", "/room/count?topic=a", "/count/count?topic=a", "/events/events?topic=a"]) {
        const { status, json } = yield* ask(port, `/presence${path}`)
        expect([path, status, json]).toEqual([
          path,
          400,
          { error: "the path and the parameter topic both name a topic" }
        ])
      }
      for (const path of ["?topic=", "?topic=%FF", "/count?topic=", `?topic=${"x".repeat(256)}`, "?topic=a&topic=b"]) {
        expect([path, (yield* ask(port, `/presence${path}`)).status]).toEqual([path, 400])
      }
      expect((yield* ask(port, "/presence?topic=a", { method: "POST" })).status).toBe(405)
    })
  )

  it.scopedLive("says of its JSON, refusals too, that it is nothing else", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const path of ["/presence/room", "/presence/room/count", "/presence/%", "/presence/a/b/c"]) {
        expect([path, (yield* ask(port, path)).headers["x-content-type-options"]]).toEqual([path, "nosniff"])
      }
      // And of events that whoever passes them on is to leave them as they are, and not to wait for more.
      const { headers } = yield* ask(port, "/presence/room/events", { method: "HEAD" })
      expect([headers["x-content-type-options"], headers["cache-control"]]).toEqual([
        "nosniff",
        "no-cache, no-transform"
      ])
    })
  )

  it.scopedLive("answers 400 for a bad encoding and for an invalid topic", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const segment of ["%", "%zz", "a%2", "%FF", "%C3", "%ED%A0%80", "%25%", "", "x".repeat(256)]) {
        for (const view of segment === "" ? ["/count", "/events"] : ["", "/count", "/events"]) {
          const { status, json } = yield* ask(port, `/presence/${segment}${view}`)
          expect([segment, view, status]).toEqual([segment, view, 400])
          expect(json).toEqual({ error: expect.any(String) })
        }
      }
    })
  )

  it.scopedLive("answers 404 for an unknown path", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const path of ["/", "/presence", "/presence/a/", "/presence/a/list", "/presence/a/count/b", "/PRESENCE/a"]) {
        expect([path, (yield* ask(port, path)).status]).toEqual([path, 404])
      }
      expect((yield* ask(port, "/presence/a/b")).json).toEqual({ error: expect.any(String) })
    })
  )

  it.scopedLive("answers 405 for another method and says which are allowed", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"]) {
        const { status, headers } = yield* ask(port, "/presence/room", { method })
        expect([method, status, headers.allow]).toEqual([method, 405, "GET, HEAD, OPTIONS"])
      }
    })
  )

  it.scopedLive("answers HEAD with the headers of GET and nothing else, and tracks nobody", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      const got = yield* ask(port, "/presence/room")
      const head = yield* ask(port, "/presence/room", { method: "HEAD" })
      expect(head.text).toBe("")
      expect({ ...head.headers, date: "" }).toEqual({ ...got.headers, date: "" })
      const events = yield* ask(port, "/presence/room/events?key=alice", { method: "HEAD" })
      expect([events.status, events.headers["content-type"]]).toEqual([200, "text/event-stream"])
      expect(yield* presence.list("room")).toEqual([])
    })
  )

  it.scopedLive("stands where path says", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({ path: "/api/here/" })
      expect((yield* ask(port, "/api/here/room")).json).toEqual([])
      expect((yield* ask(port, "/api/here/%")).status).toBe(400)
      expect((yield* ask(port, "/presence/room")).status).toBe(404)
    })
  )

  it.scopedLive("answers 401 by a grant that has ended, and nobody hears of who comes with it", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({
        authorize: ({ payload }) =>
          Effect.succeed(payload.key === "late" ? { key: "late", expires: 1 } : { expires: 1 })
      })
      const { stream } = yield* presence.subscribe("room")
      const told: Array<unknown> = []
      yield* Effect.forkScoped(Stream.runForEach(stream, (event) => Effect.sync(() => told.push(event))))
      for (const path of ["", "/count", "/events", "/events?key=late"]) {
        const headers = { accept: "text/event-stream" }
        const { status, text } = yield* ask(port, `/presence/room${path}`, { headers })
        expect([path, status, text]).toEqual([path, 401, '{"error":"unauthorized"}'])
      }
      yield* presence.track("room", "last")
      yield* Effect.yieldNow()
      expect(told).toEqual([{ type: "join", key: "last", meta: {} }])
      const seconds = yield* serve({ authorize: () => Effect.succeed({ expires: Date.now() / 1_000 + 60 }) })
      const { status, text } = yield* ask(seconds.port, "/presence/room")
      expect([status, text]).toEqual([401, expect.stringContaining("its end is in milliseconds since the epoch")])
    })
  )

  it.scopedLive("answers 503 while presence is unavailable", () =>
    Effect.gen(function* () {
      const gone = new PresenceUnavailable({ reason: "no answer" })
      const { port } = yield* serve(
        {},
        Layer.effect(
          Presence,
          Effect.map(Presence, (presence) => ({
            ...presence,
            list: () => Effect.fail(gone),
            count: () => Effect.fail(gone),
            changes: () => Stream.fail(gone)
          }))
        ).pipe(Layer.provide(PresenceLive))
      )
      for (const view of ["", "/count", "/events"]) {
        const { status, json } = yield* ask(port, `/presence/room${view}`)
        expect([status, json]).toEqual([503, { error: "presence is unavailable: no answer" }])
      }
      // An `EventSource` would stay away for good.
      const told = yield* ask(port, "/presence/room/events", { headers: { accept: "text/event-stream" } })
      expect([told.status, told.headers["content-type"]]).toEqual([200, "text/event-stream"])
      expect(told.text).toBe('retry: 5000\nevent: refused\ndata: {"error":"presence is unavailable: no answer"}\n\n')
    })
  )
})

describe("authorize", () => {
  it.scopedLive("that cannot tell at the moment is 503, and an EventSource is told to come back", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({
        authorizeTimeout: "100 millis",
        authorize: ({ topic }) =>
          topic === "hangs"
            ? Effect.never
            : topic === "dies"
              ? Effect.die(new Error("the password is 1234"))
              : Effect.fail(new Unauthorized({ status: 503, reason: "not now" }))
      })
      for (const [topic, error] of [
        ["hangs", "authorize gave no answer within 100ms"],
        ["dies", "authorization failed"],
        ["away", "not now"]
      ]) {
        for (const view of ["", "/count", "/events"]) {
          const { status, json } = yield* ask(port, `/presence/${topic}${view}`)
          expect([topic, view, status, json]).toEqual([topic, view, 503, { error }])
        }
        const told = yield* ask(port, `/presence/${topic}/events`, { headers: { accept: "text/event-stream" } })
        expect([told.status, told.text]).toEqual([
          200,
          `retry: 5000\nevent: refused\ndata: ${JSON.stringify({ error })}\n\n`
        ])
      }
    })
  )

  it.scopedLive("is asked with what the request wants, and may refuse with 401 or 403", () =>
    Effect.gen(function* () {
      const attempts: Array<unknown> = []
      const { port, presence } = yield* serve({
        authorize: ({ on, topic, payload, request }) => {
          attempts.push([on, topic, { ...payload }, request.headers["x-who"]])
          return Effect.fail(
            topic === "secret"
              ? new Unauthorized({ reason: "forbidden topic" })
              : new Unauthorized({ status: 401, reason: "who are you?" })
          )
        }
      })
      const headers = { "x-who": "me" }
      const refused = yield* ask(port, "/presence/room?a=1&b=x%20y+z", { headers })
      expect([refused.status, refused.json]).toEqual([401, { error: "who are you?" }])
      expect(refused.headers["www-authenticate"]).toBe("Bearer")
      expect((yield* ask(port, "/presence/secret/count", { headers })).status).toBe(403)
      expect((yield* ask(port, "/presence/room/events", { headers })).status).toBe(401)
      const join = yield* ask(port, "/presence/room/events?key=alice&meta=%7B%22a%22%3A%5B1%5D%7D", { headers })
      expect(join.status).toBe(401)
      expect(attempts).toEqual([
        ["read", "room", { a: "1", b: "x y z" }, "me"],
        ["read", "secret", {}, "me"],
        ["read", "room", {}, "me"],
        ["join", "room", { key: "alice", meta: { a: [1] } }, "me"]
      ])
      expect(yield* presence.list("room")).toEqual([])
    })
  )

  it.scopedLive("decides the key and the meta of who joins", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({
        authorize: ({ payload }) => Effect.succeed(payload.key === "nobody" ? {} : { key: "carol", meta: "hers" })
      })
      yield* follow(port, "/presence/room/events?key=alice&meta=1")
      yield* keysAre(presence, "room", ["carol"])
      yield* follow(port, "/presence/room/events?key=nobody")
      yield* follow(port, "/presence/room/events")
      expect(yield* presence.list("room")).toEqual([{ key: "carol", metas: ["hers"] }])
    })
  )

  it.effect("allowAll takes key and meta from the payload", () =>
    Effect.gen(function* () {
      // The request is not looked at.
      const request = {} as Authorize.Attempt["request"]
      const attempt = { route: "http", on: "join", topic: "room", request } as const
      const allow = (payload: Authorize.Attempt["payload"]) => Authorize.allowAll({ ...attempt, payload })
      expect(yield* allow({ key: "alice", meta: { a: 1 }, other: 1 })).toEqual({ key: "alice", meta: { a: 1 } })
      expect(yield* allow({ key: "alice", meta: null })).toEqual({ key: "alice", meta: null })
      expect(yield* allow({ key: "alice" })).toEqual({ key: "alice" })
      expect(yield* allow({ meta: 1 })).toEqual({})
      expect(yield* Effect.flip(allow({ key: 5 }))).toBeInstanceOf(Unauthorized)
    })
  )
})

describe("GET {path}/:topic/events", () => {
  it.scopedLive("sends a snapshot, then what changes, each with an id", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      const bob = yield* presence.track("room", "bob", { n: 1 })
      const bobFirst = bob.ref
      const alice = yield* presence.track("room", "alice")
      const { epoch } = yield* presence.snapshot("room")
      const { status, headers, next } = yield* follow(port, "/presence/room/events")
      expect(status).toBe(200)
      expect(headers["content-type"]).toBe("text/event-stream")
      expect(headers["cache-control"]).toBe("no-cache, no-transform")
      expect(yield* next).toEqual({
        id: `${epoch}.2`,
        event: "snapshot",
        data: {
          _tag: "Snapshot",
          topic: "room",
          epoch,
          version: 2,
          connections: [
            { key: "alice", ref: alice.ref, meta: {} },
            { key: "bob", ref: bobFirst, meta: { n: 1 } }
          ]
        }
      })
      yield* bob.update({ n: 2 })
      expect(yield* next).toEqual({
        id: `${epoch}.3`,
        event: "diff",
        data: {
          _tag: "Diff",
          topic: "room",
          epoch,
          from: 2,
          version: 3,
          joins: [],
          leaves: [],
          updates: [{ key: "bob", ref: bob.ref, previousRef: bobFirst, meta: { n: 2 } }]
        }
      })
      yield* presence.evict("room", "alice")
      expect(yield* next).toMatchObject({
        id: `${epoch}.4`,
        data: { from: 3, version: 4, leaves: [{ key: "alice", ref: alice.ref, meta: {}, reason: "evicted" }] }
      })
    })
  )

  it.scopedLive("tracks the key for as long as the response is open, whatever the ttl", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve(
        { diffInterval: 0 },
        Presence.layer({ ttl: "30 millis", sweepInterval: "10 millis" })
      )
      const { next, close } = yield* follow(port, "/presence/room/events?key=alice&meta=%7B%22a%22%3A1%7D")
      // The snapshot stands before the join, which comes as everybody else hears of it.
      expect(yield* next).toMatchObject({ event: "snapshot", data: { connections: [] } })
      expect(yield* next).toMatchObject({ event: "diff", data: { joins: [{ key: "alice", meta: { a: 1 } }] } })
      const witness = yield* presence.track("room", "bob")
      expect(yield* next).toMatchObject({ data: { joins: [{ ref: witness.ref }] } })
      expect(yield* next).toMatchObject({ data: { leaves: [{ ref: witness.ref, reason: "expired" }] } })
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{ a: 1 }] }])
      yield* close
      yield* keysAre(presence, "room", [])
    })
  )

  it.scopedLive("keeps who was tracked for the leave delay", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ leaveDelay: "1 minute", diffInterval: 0 })
      const watcher = yield* follow(port, "/presence/room/events")
      yield* watcher.next
      const first = yield* follow(port, "/presence/room/events?key=alice")
      expect(yield* watcher.next).toMatchObject({ data: { joins: [{ key: "alice" }] } })
      yield* first.close
      yield* follow(port, "/presence/room/events?key=alice")
      // One diff with both: she never left.
      expect(yield* watcher.next).toMatchObject({ data: { joins: [{ key: "alice" }], leaves: [{ key: "alice" }] } })
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
    })
  )

  it.scopedLive("answers 400 for a key, a meta or a query that is no good, and tracks nobody", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      const deep = `${"[".repeat(65)}${"]".repeat(65)}`
      for (const query of [
        "key=",
        `key=${"k".repeat(256)}`,
        "key=alice&meta=%7B",
        "key=alice&meta=",
        "key=alice&meta=undefined",
        `key=alice&meta=${encodeURIComponent(JSON.stringify("m".repeat(16_400)))}`,
        `key=alice&meta=${encodeURIComponent(deep)}`,
        "key=%FF",
        "key=%",
        "key=alice&key=bob",
        "key=alice&%66oo=1&foo=2"
      ]) {
        const { status, json } = yield* ask(port, `/presence/room/events?${query}`)
        expect([query.slice(0, 40), status]).toEqual([query.slice(0, 40), 400])
        expect(json).toEqual({ error: expect.any(String) })
      }
      expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
    })
  )

  it.scopedLive("answers 429 when a key has all the connections that are allowed", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({}, Presence.layer({ limits: { connectionsPerKey: 1 } }))
      yield* follow(port, "/presence/room/events?key=alice")
      expect((yield* ask(port, "/presence/room/events?key=alice")).status).toBe(429)
    })
  )

  it.scopedLive("answers 503 when all metas take as much of the heap as they may", () =>
    Effect.gen(function* () {
      const { port } = yield* serve({}, Presence.layer({ limits: { metaTotal: 50 } }))
      yield* follow(port, "/presence/room/events?key=alice")
      expect((yield* ask(port, "/presence/lobby/events?key=bob")).status).toBe(503)
    })
  )

  it.scopedLive("resumes from a Last-Event-ID while the diffs are at hand", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      yield* follow(port, "/presence/room/events")
      const before = yield* follow(port, "/presence/room/events")
      const { epoch } = yield* presence.snapshot("room")
      expect(yield* before.next).toMatchObject({ id: `${epoch}.0` })
      yield* before.close
      yield* presence.track("room", "alice")
      yield* presence.track("room", "bob")
      const after = yield* follow(port, "/presence/room/events", { "last-event-id": `${epoch}.1` })
      expect(after.status).toBe(200)
      expect(yield* after.next).toMatchObject({
        id: `${epoch}.2`,
        event: "diff",
        data: { from: 1, version: 2, joins: [{ key: "bob" }] }
      })
      // Where nothing is missing nothing is sent, and the headers come all the same.
      const current = yield* follow(port, "/presence/room/events?key=carol", { "last-event-id": `${epoch}.2` })
      expect(yield* current.next).toMatchObject({ event: "diff", data: { from: 2, joins: [{ key: "carol" }] } })
    })
  )

  it.scopedLive("sends a snapshot for a Last-Event-ID that is malformed, of another epoch or from the future", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve()
      yield* presence.track("room", "alice")
      const { epoch } = yield* presence.snapshot("room")
      const ids = ["", ".", "1", epoch, `${epoch}.`, `${epoch}.x`, `${epoch}.-1`, `${epoch}.1e0`, `${epoch}.2`]
      for (const id of [...ids, "other.1", `${epoch}.99999999999999999999`, `x.${epoch}.1`]) {
        const { next, close } = yield* follow(port, "/presence/room/events", { "last-event-id": id })
        expect([id, yield* next]).toMatchObject([id, { id: `${epoch}.1`, event: "snapshot" }])
        yield* close
      }
    })
  )

  it.scopedLive("sends changes within the window as one diff, and not what cancelled out", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ diffInterval: "100 millis" })
      const { next } = yield* follow(port, "/presence/room/events")
      yield* next
      const gone = yield* presence.track("room", "gone")
      const alice = yield* presence.track("room", "alice", 1)
      yield* gone.release
      yield* alice.update(2)
      yield* alice.update(3)
      expect(yield* next).toMatchObject({
        event: "diff",
        data: { from: 0, version: 5, joins: [{ key: "alice", ref: alice.ref, meta: 3 }], leaves: [], updates: [] }
      })
    })
  )

  it.scopedLive("sends each change by itself when the window has no length", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ diffInterval: 0 })
      const { next } = yield* follow(port, "/presence/room/events")
      yield* next
      const gone = yield* presence.track("room", "gone")
      yield* gone.release
      expect(yield* next).toMatchObject({ data: { from: 0, version: 1, joins: [{ key: "gone" }] } })
      expect(yield* next).toMatchObject({ data: { from: 1, version: 2, leaves: [{ key: "gone" }] } })
    })
  )
})

describe("origins", () => {
  const preflight = { method: "OPTIONS", headers: { "access-control-request-method": "GET" } }
  const from = (origin: string, ask: { method?: string; headers?: Record<string, string> } = {}) => ({
    ...ask,
    headers: { ...ask.headers, origin }
  })

  it.scopedLive("lets exactly the allowed origins read, also in a preflight", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ allowedOrigins: ["https://app.example", "https://b.example:8443"] })
      for (const origin of ["https://app.example", "https://b.example:8443"]) {
        for (const path of ["/presence/room", "/presence/%", "/presence/room/nothing"]) {
          const { headers } = yield* ask(port, path, from(origin))
          expect([headers["access-control-allow-origin"], headers.vary]).toEqual([origin, "origin"])
        }
        const { status, headers } = yield* ask(port, "/presence/room", from(origin, preflight))
        expect(status).toBe(204)
        expect(headers["access-control-allow-origin"]).toBe(origin)
        expect(headers["access-control-allow-methods"]).toBe("GET, HEAD, OPTIONS")
        expect(headers["access-control-allow-headers"]).toContain("authorization")
      }
      const foreign = [
        "https://app.example.evil",
        "http://app.example",
        "https://b.example",
        "null",
        "https://app.example/"
      ]
      for (const origin of [...foreign, "http://localhost", `http://127.0.0.1:${port}`, "*"]) {
        for (const asked of [from(origin), from(origin, preflight)]) {
          const { status, headers } = yield* ask(port, "/presence/room/events?key=evil", asked)
          expect([origin, status]).toEqual([origin, 403])
          expect(headers["access-control-allow-origin"]).toBeUndefined()
          expect(headers["access-control-allow-credentials"]).toBeUndefined()
          expect(headers.vary).toContain("origin")
        }
      }
      expect(yield* presence.count("room")).toEqual({ keys: 0, connections: 0 })
      expect((yield* ask(port, "/presence/room")).headers["access-control-allow-origin"]).toBeUndefined()
    })
  )

  it.scopedLive("grants pages of the list credentials and the request headers they ask for", () =>
    Effect.gen(function* () {
      const origin = "https://app.example"
      const { port } = yield* serve({ allowedOrigins: [origin] })
      const wanted = "apikey,authorization,cache-control,last-event-id"
      for (const path of ["/presence/room", "/presence/room/events", "/presence?topic=a", "/presence"]) {
        const { status, headers } = yield* ask(
          port,
          path,
          from(origin, { ...preflight, headers: { ...preflight.headers, "access-control-request-headers": wanted } })
        )
        expect([path, status, headers["access-control-allow-headers"]]).toEqual([path, 204, wanted])
        expect(headers["access-control-allow-credentials"]).toBe("true")
        expect(headers.vary).toBe("origin, access-control-request-headers")
      }
      const events = yield* follow(port, "/presence/room/events", { origin })
      expect(events.headers["access-control-allow-credentials"]).toBe("true")
      expect(events.headers["access-control-allow-origin"]).toBe(origin)
      expect((yield* ask(port, "/presence/room")).headers["access-control-allow-credentials"]).toBeUndefined()
    })
  )

  it.scopedLive("grants no credentials where nobody has named the origins", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const asked of [{}, preflight]) {
        const { headers } = yield* ask(port, "/presence/room", from("http://localhost:5173", asked))
        expect(headers["access-control-allow-origin"]).toBe("http://localhost:5173")
        expect(headers["access-control-allow-credentials"]).toBeUndefined()
      }
    })
  )

  it.scopedLive("lets only pages of this machine read when there is no list and it listens on loopback", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      for (const origin of ["http://localhost:5173", "https://localhost", "http://127.0.0.1:1", "http://[::1]:3000"]) {
        expect((yield* ask(port, "/presence/room", from(origin))).headers["access-control-allow-origin"]).toBe(origin)
      }
      for (const origin of ["https://evil.example", "http://localhost.evil.example", "null", "localhost", "file://"]) {
        expect([origin, (yield* ask(port, "/presence/room", from(origin))).status]).toEqual([origin, 403])
      }
      // A name of the web that resolves to this machine.
      const rebound = { headers: { origin: "http://evil.example", host: "evil.example" } }
      expect((yield* ask(port, "/presence/room", rebound)).status).toBe(403)
    })
  )
})

describe("shutdown", () => {
  it.scopedLive("ends open event streams and their leases, also of a client that does not read", () =>
    Effect.gen(function* () {
      // It outlives the server, so it is not what ends the streams.
      const outer = yield* Layer.build(Presence.layer({ limits: { metaBytes: 200_000 } }))
      const presence = Context.get(outer, Presence)
      const server = yield* Scope.make()
      const { port } = yield* Scope.extend(serve({ diffInterval: 0 }, Layer.succeedContext(outer)), server)
      const reader = yield* follow(port, "/presence/quiet/events?key=alice")
      yield* keysAre(presence, "quiet", ["alice"])
      const stuck = yield* follow(port, "/presence/loud/events?key=bob")
      yield* stuck.pause
      // More than any socket buffers.
      const lease = yield* presence.track("loud", "carol")
      for (let n = 0; n < 100; n++) yield* lease.update(`${n}${"x".repeat(100_000)}`)
      // Long before the one that does not read would be cut off; this timer and the server's are late together.
      yield* Effect.timeout(Scope.close(server, Exit.void), "20 seconds")
      expect(yield* over(reader)).toBe("end")
      yield* keysAre(presence, "quiet", [])
      yield* keysAre(presence, "loud", ["carol"])
    })
  )
})
