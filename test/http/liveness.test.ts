/**
 * Clients that are gone and do not say so, and clients that do not read.
 */
import { spawn } from "node:child_process"
import { connect, type Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Runtime, Schedule, type Scope, Stream } from "effect"
import type { EventStream } from "../../src/http/eventStream.js"
import { Members } from "../../src/http/members.js"
import { Presence, type PresenceChange, Unauthorized } from "../../src/index.js"
import { ask, type Following, follow, over, serve } from "../support/http.js"
import { leapingClock } from "../support/leaps.js"
import { startProxy } from "../support/proxy.js"
import { hear, standStill } from "../support/standStill.js"

/** Follows as `EventSource` does: comes back when the response is over, with the id that it knows. */
const eventSource = `
  const [url] = process.argv.slice(1)
  let id
  let retry = 3000
  const open = async () => {
    try {
      const response = await fetch(url, { headers: id === undefined ? {} : { "last-event-id": id } })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
        id = /^id: (.*)$/m.exec(value)?.[1] ?? id
        retry = Number(/^retry: (.*)$/m.exec(value)?.[1] ?? retry)
        process.stdout.write("heard\\n")
      }
    } catch {}
    process.stdout.write("over\\n")
    setTimeout(open, retry)
  }
  open()
`

const clientProcess = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["-e", eventSource, url], { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** How often it has said a word. */
const counted = (child: ReturnType<typeof spawn>, word: string) => {
  let count = 0
  child.stdout?.on("data", (text) => {
    count += String(text).split(word).length - 1
  })
  return () => count
}

/** A server whose members have to prove that they live within ten minutes, and how that time passes. */
const patient = (options: Parameters<typeof serve>[0] = {}) =>
  Effect.gen(function* () {
    const clock = leapingClock()
    const limits = { idleTimeout: "10 minutes" } as const
    const served = yield* serve({ diffInterval: 0, limits, ...options }).pipe(Effect.withClock(clock))
    return {
      ...served,
      /** Until the response of who joined is ended, so that its client comes back. The server waits half of the time or more. */
      renew: Effect.zipRight(
        clock.asleep("4 minutes", "8 minutes"),
        Effect.sync(() => clock.leap("8 minutes"))
      ),
      /** Until the client that is to come back is waited for no more. */
      giveUp: Effect.zipRight(
        clock.asleep("1 minute", "3 minutes"),
        Effect.sync(() => clock.leap("3 minutes"))
      )
    }
  })

const until = (condition: () => boolean) =>
  Effect.repeat(
    Effect.sync(() => condition()),
    { until: (met) => met, schedule: Schedule.spaced("20 millis") }
  )

/** Until nobody is on a topic, in a generous time. */
const empty = (presence: Presence.Service, topic: string) =>
  presence.changes(topic).pipe(
    Stream.mapEffect(() => presence.count(topic)),
    Stream.takeUntil(({ keys }) => keys === 0),
    Stream.runDrain,
    Effect.timeout("60 seconds")
  )

/** All that a follower in the process hears, while the scope is open. */
const hears = (presence: Presence.Service, topic: string) =>
  Effect.gen(function* () {
    const heard: Array<PresenceChange> = []
    yield* Effect.forkScoped(
      Stream.runForEach(presence.changes(topic), (change) => Effect.sync(() => heard.push(change)))
    )
    return heard
  })

const proxyTo = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(() => startProxy(port)),
    (proxy) => Effect.promise(() => proxy.close())
  )

/** A client that asks and never reads. */
const unread = (port: number, path: string): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connect(port, "127.0.0.1")
      socket.on("error", () => {})
      socket.pause()
      socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** How many join with the next diff. */
const joins = (following: Following): Effect.Effect<number> =>
  Effect.map(following.next, (item) => {
    const { joins = [] } = (typeof item === "string" ? {} : item.data) as { joins?: ReadonlyArray<unknown> }
    return joins.length
  })

describe("who joined over a response", () => {
  it.scopedLive("stays as long as the client comes back, and nobody hears that it had to", () =>
    Effect.gen(function* () {
      const { port, presence, renew } = yield* patient()
      const heard = yield* hears(presence, "room")
      const watcher = yield* follow(port, "/presence/room/events")
      yield* watcher.next
      const client = yield* clientProcess(`http://127.0.0.1:${port}/presence/room/events?key=alice&meta=1`)
      const overs = counted(client, "over")
      expect(yield* joins(watcher)).toBe(1)
      for (let n = 1; n <= 2; n++) {
        yield* renew
        yield* until(() => overs() === n)
      }
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [1] }])
      const bob = yield* presence.track("room", "bob")
      // The very next thing that anybody hears.
      expect(yield* watcher.next).toMatchObject({ event: "diff", data: { joins: [{ ref: bob.ref }], leaves: [] } })
      expect(heard.slice(1)).toMatchObject([{ joins: [{ key: "alice" }] }, { joins: [{ key: "bob" }] }])
    })
  )

  it.scopedLive("is gone within the idle timeout when its process is frozen", () =>
    Effect.gen(function* () {
      const { port, renew, giveUp } = yield* patient()
      const watcher = yield* follow(port, "/presence/room/events")
      yield* watcher.next
      const client = yield* clientProcess(`http://127.0.0.1:${port}/presence/room/events?key=alice`)
      const heard = counted(client, "heard")
      expect(yield* joins(watcher)).toBe(1)
      yield* until(() => heard() > 0)
      client.kill("SIGSTOP")
      yield* renew
      yield* giveUp
      expect(yield* watcher.next).toMatchObject({ data: { joins: [], leaves: [{ key: "alice", reason: "released" }] } })
      // Woken, it finds its response over, and joins again.
      client.kill("SIGCONT")
      expect(yield* joins(watcher)).toBe(1)
    })
  )

  it.scopedLive("is gone within the idle timeout when its network swallows everything", () =>
    Effect.gen(function* () {
      const { port, presence, renew, giveUp } = yield* patient()
      const proxy = yield* proxyTo(port)
      const client = yield* follow(proxy.port, "/presence/room/events?key=alice")
      yield* client.next
      yield* client.next
      expect(yield* presence.count("room")).toMatchObject({ keys: 1 })
      proxy.freeze()
      yield* renew
      yield* giveUp
      yield* empty(presence, "room")
    })
  )

  it.scopedLive("leaves at once when the client closes, and when its grant expires", () =>
    Effect.gen(function* () {
      // Whoever is awaited would be so for a quarter of an hour.
      const { port, presence } = yield* serve({
        limits: { idleTimeout: "1 hour" },
        authorize: ({ payload }) =>
          Effect.sync(() => ({ key: "alice", expires: payload.key === "short" ? Date.now() + 500 : undefined }))
      })
      const closed = yield* follow(port, "/presence/room/events?key=long")
      yield* closed.next
      yield* closed.next
      yield* closed.close
      yield* empty(presence, "room")
      const short = yield* follow(port, "/presence/room/events?key=short")
      expect(yield* over(short)).toBe("end")
      yield* empty(presence, "room")
    })
  )

  it.scopedLive("goes on with the meta of the request that comes back, and not when it is refused", () =>
    Effect.gen(function* () {
      let asked = 0
      const { port, presence, renew, giveUp } = yield* patient({
        authorize: ({ on }) =>
          on === "read"
            ? Effect.succeed({})
            : asked === 2
              ? Effect.fail(new Unauthorized({ reason: "no more" }))
              : Effect.sync(() => ({ key: "alice", meta: ++asked }))
      })
      const watcher = yield* follow(port, "/presence/room/events")
      yield* watcher.next
      yield* clientProcess(`http://127.0.0.1:${port}/presence/room/events?key=alice`)
      expect(yield* watcher.next).toMatchObject({ data: { joins: [{ meta: 1 }] } })
      yield* renew
      expect(yield* watcher.next).toMatchObject({ data: { joins: [], leaves: [], updates: [{ meta: 2 }] } })
      yield* renew
      yield* giveUp
      expect(yield* watcher.next).toMatchObject({ data: { leaves: [{ key: "alice", meta: 2 }] } })
      expect(yield* presence.list("room")).toEqual([])
    })
  )

  it.scopedLive("has not gone while the server stood still that it is to come back to", () =>
    Effect.gen(function* () {
      const presence = Context.get(yield* Layer.build(Presence.layer()), Presence)
      const run = Runtime.runFork(yield* Effect.runtime<never>())
      const members = new Members({ presence, leaveDelay: Duration.zero, idleTimeout: 1_200, run })
      // A response that is ended so that its client comes back.
      const response = { renewing: true, renew: () => {}, end: () => {} } as unknown as EventStream
      yield* Effect.scoped(members.join(response, "room", "alice"))
      yield* standStill
      yield* hear
      expect(yield* presence.count("room")).toEqual({ keys: 1, connections: 1 })
      yield* empty(presence, "room")
    })
  )

  it.scopedLive("needs no proof once it was evicted, and stays out", () =>
    Effect.gen(function* () {
      const { port, presence, renew, giveUp } = yield* patient()
      const evicted = yield* follow(port, "/presence/room/events?key=alice")
      yield* evicted.next
      yield* evicted.next
      yield* presence.evict("room", "alice")
      expect(yield* evicted.next).toMatchObject({ data: { leaves: [{ reason: "evicted" }] } })
      // One that came later has been ended, and this one is still told.
      const later = yield* follow(port, "/presence/room/events?key=bob")
      yield* later.next
      yield* later.next
      yield* renew
      expect(yield* over(later)).toBe("end")
      expect(yield* evicted.next).toMatchObject({ data: { joins: [{ key: "bob" }] } })
      yield* giveUp
      expect(yield* evicted.next).toMatchObject({ data: { leaves: [{ key: "bob" }] } })
    })
  )
})

describe("many at once", () => {
  it.scopedLive("come in, lose their connections together, and leave nothing behind", () =>
    Effect.gen(function* () {
      const { port, presence, connections } = yield* serve()
      const keys = Array.from({ length: 300 }, (_, n) => `k${n}`)
      const sockets = yield* Effect.forEach(keys, (key) => unread(port, `/presence/room/events?key=${key}`))
      const keysAre = (keys: number) =>
        Effect.repeat(presence.count("room"), {
          until: (count) => count.keys === keys,
          schedule: Schedule.spaced("20 millis")
        })
      yield* keysAre(300)
      for (const socket of sockets) socket.destroy()
      yield* keysAre(0)
      yield* Effect.repeat(connections, { until: (count) => count === 0, schedule: Schedule.spaced("20 millis") })
      const again = yield* follow(port, "/presence/room/events")
      expect(yield* again.next).toMatchObject({ event: "snapshot", data: { connections: [] } })
    })
  )
})

describe("who does not read", () => {
  const large = Presence.layer({ limits: { metaBytes: 100_000 } })

  /** More than any socket buffers. */
  const crowd = (presence: Presence.Service) =>
    Effect.forEach(Array.from({ length: 200 }), (_, n) => presence.track("room", `k${n}`, `${n}`.padEnd(90_000, "m")))

  for (const [what, path] of [
    ["a list", "/presence/room"],
    ["an event stream", "/presence/room/events"]
  ] as const) {
    it.scopedLive(`is cut off with ${what} that waits for it`, () =>
      Effect.gen(function* () {
        const { port, presence, connections } = yield* serve({ limits: { unsentFor: "1 second" } }, large)
        yield* crowd(presence)
        yield* unread(port, path)
        yield* Effect.repeat(connections, { until: (count) => count === 1, schedule: Schedule.spaced("20 millis") })
        yield* Effect.repeat(connections, { until: (count) => count === 0, schedule: Schedule.spaced("20 millis") })
      })
    )
  }

  it.scopedLive("is answered no further list while more than may be is on its way", () =>
    Effect.gen(function* () {
      const { port, presence, connections } = yield* serve({ limits: { unsentTotal: 20_000_000 } }, large)
      yield* crowd(presence)
      const [first] = yield* presence.snapshot("room").pipe(Effect.map(({ connections }) => connections))
      expect(first).toBeDefined()
      // Each is of another state, so each is a text of its own.
      const slow = yield* unread(port, "/presence/room")
      yield* Effect.repeat(connections, { until: (count) => count === 1, schedule: Schedule.spaced("20 millis") })
      yield* presence.track("room", "one more")
      const refused = yield* ask(port, "/presence/room")
      expect([refused.status, refused.json]).toEqual([
        503,
        { error: "presence is unavailable: more is on its way already than may be" }
      ])
      slow.destroy()
      const asked = Effect.map(ask(port, "/presence/room"), ({ status }) => status)
      yield* Effect.repeat(asked, { until: (status) => status === 200, schedule: Schedule.spaced("20 millis") })
    })
  )

  it.scopedLive("is not cut off for reading slowly", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ limits: { unsentFor: "3 seconds" } }, large)
      yield* crowd(presence)
      for (const view of ["", "/events"]) {
        const socket = yield* unread(port, `/presence/room${view}`)
        let read = 0
        let over = false
        socket.on("close", () => {
          over = true
        })
        socket.on("data", (data) => {
          read += data.length
          socket.pause()
        })
        socket.resume()
        const ticks = setInterval(() => socket.resume(), 20)
        yield* until(() => over || read > 200 * 90_000).pipe(Effect.ensuring(Effect.sync(() => clearInterval(ticks))))
        expect([view, over]).toEqual([view, false])
      }
    })
  )

  it.scopedLive("is sent the state when it reads again, and keeps nothing meanwhile but what it may", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ diffInterval: 0, limits: { unsentBytes: 100_000 } }, large)
      const lease = yield* presence.track("room", "alice", 0)
      const slow = yield* follow(port, "/presence/room/events")
      yield* slow.next
      yield* slow.pause
      for (let n = 0; n < 300; n++) yield* lease.update(`${n}`.padEnd(90_000, "m"))
      yield* slow.resume
      for (;;) {
        const heard = yield* slow.next
        if (typeof heard !== "string" && heard.event === "snapshot") {
          expect(heard.data).toMatchObject({ connections: [{ meta: "299".padEnd(90_000, "m") }] })
          break
        }
      }
    })
  )

  it.scopedLive("is one of as many streams as may be open: one more is answered 503 until another ends", () =>
    Effect.gen(function* () {
      const { port, presence } = yield* serve({ limits: { streams: 2 } })
      const first = yield* follow(port, "/presence/a/events")
      yield* follow(port, "/presence/b/events?key=bob")
      const refused = yield* ask(port, "/presence/c/events?key=alice")
      expect([refused.status, refused.json]).toEqual([
        503,
        { error: "2 event streams are open, and no more are allowed" }
      ])
      expect(yield* presence.count("c")).toMatchObject({ keys: 0 })
      expect((yield* ask(port, "/presence/c")).status).toBe(200)
      yield* first.close
      let status = 503
      while (status === 503) {
        const again = yield* follow(port, "/presence/c/events")
        status = again.status
      }
      expect(status).toBe(200)
    })
  )
})
