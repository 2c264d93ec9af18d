/** Who may not connect learns why, by whatever client, and costs little. */
import { describe, expect, it } from "@effect/vitest"
import { RealtimeClient, type WebSocketLikeConstructor } from "@supabase/realtime-js"
import { Deferred, Effect, TestClock } from "effect"
import { Socket as Socket18 } from "phoenix"
import { Socket as Socket16 } from "phoenix-1.6"
import { Socket as Socket17 } from "phoenix-1.7"
import { WebSocket } from "ws"
import { Unauthorized } from "../../src/PresenceError.js"
import type { Authorize } from "../../src/web/Authorize.js"
import { connect, phoenixUrl, supabaseUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

const authorize: Authorize = ({ on, payload }) =>
  on === "connect" && payload.token !== "good"
    ? Effect.fail(new Unauthorized({ reason: "your token has expired" }))
    : Effect.succeed({ key: "alice" })

describe("a client that is refused at connect", () => {
  for (const [version, Socket] of [
    ["1.6", Socket16],
    ["1.7", Socket17],
    ["1.8", Socket18]
  ] as const) {
    it.scopedLive(`phoenix ${version} hears the reason, and comes back with the parameters that it has then`, () =>
      Effect.gen(function* () {
        const server = yield* makeServer({ authorize })
        let token = "old"
        const opened: Array<number> = []
        const closed: Array<readonly [number, string]> = []
        const reasons: Array<unknown> = []
        const joined = yield* Deferred.make<void>()
        const socket = yield* Effect.acquireRelease(
          Effect.sync(
            () =>
              new Socket(`${server.url}/socket`, {
                transport: WebSocket,
                params: () => ({ token }),
                rejoinAfterMs: () => 300
              })
          ),
          (socket) => Effect.sync(() => socket.disconnect())
        )
        socket.onOpen(() => opened.push(performance.now()))
        socket.onClose((event) => {
          const { code, reason } = event as { readonly code: number; readonly reason: string }
          closed.push([code, reason])
          if (closed.length === 2) token = "good"
        })
        socket.connect()
        socket
          .channel("room")
          .join()
          .receive("ok", () => Deferred.unsafeDone(joined, Effect.void))
          .receive("error", ({ reason }) => reasons.push(reason))
        yield* Deferred.await(joined)
        expect(new Set(reasons)).toEqual(new Set(["your token has expired"]))
        expect(closed.slice(0, 2)).toEqual([
          [4403, "your token has expired"],
          [4403, "your token has expired"]
        ])
        // These clients forget their back-off once a socket has opened, so that the server must not let go at once.
        expect(opened).toHaveLength(3)
        expect((opened[1] ?? 0) - (opened[0] ?? 0)).toBeGreaterThan(1_000)
      })
    )
  }

  it.scopedLive("realtime-js is told CHANNEL_ERROR with the reason", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ authorize })
      const client = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new RealtimeClient(`${server.url}/realtime/v1`, {
              params: { apikey: "k" },
              transport: WebSocket as unknown as WebSocketLikeConstructor
            })
        ),
        (client) => Effect.promise(() => client.disconnect())
      )
      const message = yield* Effect.async<string>((resume) => {
        client.channel("room").subscribe((status, error) => {
          if (status === "CHANNEL_ERROR") resume(Effect.succeed(String(error?.message)))
        })
      })
      expect(message).toContain("your token has expired")
    })
  )
})

it.scoped("it is told at each join, may do nothing else, is on no topic, and is closed after two seconds", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ authorize })
    for (const [url, topic] of [
      [phoenixUrl(server.url), "room"],
      [supabaseUrl(server.url), "realtime:room"]
    ] as const) {
      const client = yield* connect(url)
      for (const ref of ["1", "2"]) {
        client.say(ref, ref, topic, "phx_join", { key: "alice", token: "good" })
        expect(yield* client.reply(ref)).toEqual({ status: "error", response: { reason: "your token has expired" } })
      }
      client.say("1", "3", topic, "hello", {})
      expect(yield* client.reply("3")).toEqual({ status: "error", response: { reason: "unmatched topic" } })
      client.say(null, "4", "phoenix", "heartbeat", {})
      expect(yield* client.reply("4")).toEqual({ status: "ok", response: {} })
      expect(yield* server.presence.topics).toEqual([])
      yield* TestClock.adjust("2 seconds")
      expect(yield* client.end).toEqual({ code: 4403, reason: "your token has expired" })
    }
  })
)

it.scoped("a reason that no close frame holds is cut between two characters", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({
      authorize: () => Effect.fail(new Unauthorized({ status: 401, reason: `x${"ä".repeat(100)}` }))
    })
    const client = yield* connect(phoenixUrl(server.url))
    client.say(null, "1", "phoenix", "heartbeat", {})
    yield* client.reply("1")
    yield* TestClock.adjust("2 seconds")
    expect(yield* client.end).toEqual({ code: 4401, reason: `x${"ä".repeat(61)}` })
  })
)

it.scoped("a thousand of them at once, no more: the others get the bare status, until there is room", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ authorize })
    const open = yield* Effect.forEach(Array.from({ length: 1_000 }), () => connect(phoenixUrl(server.url)), {
      concurrency: 50
    })
    expect(yield* Effect.flip(connect(phoenixUrl(server.url)))).toBe(403)
    // Who may come in is not held up.
    yield* connect(phoenixUrl(server.url, "vsn=2.0.0&token=good"))
    yield* TestClock.adjust("2 seconds")
    yield* Effect.forEach(open, ({ end }) => end)
    yield* connect(phoenixUrl(server.url)).pipe(Effect.retry({ times: 1_000 }))
  })
)

it.scopedLive("a server that stops tells it to come back, and waits for it no longer than for others", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ authorize })
    const client = yield* connect(phoenixUrl(server.url))
    client.say(null, "1", "phoenix", "heartbeat", {})
    yield* client.reply("1")
    yield* server.stop
    expect((yield* client.end).code).toBe(1012)
  })
)
