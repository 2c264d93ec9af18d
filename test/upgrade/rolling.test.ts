/**
 * Ready servers of two releases on one Redis, each replaced by the other while people are there and change: published
 * clients, old and new, whom nobody sees leave.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { RealtimeClient, type WebSocketLikeConstructor } from "@supabase/realtime-js"
import { Effect, Fiber, Schedule } from "effect"
import { Socket as Socket18 } from "phoenix"
import { Socket as Socket16 } from "phoenix-1.6"
import { Socket as Socket17 } from "phoenix-1.7"
import { WebSocket } from "ws"
import { join } from "../socket/support/phoenix.js"
import { build, built, clean, serve } from "../support/bin.js"
import { ask } from "../support/http.js"
import { startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"
import { PREVIOUS, built as release, whyMissing } from "./releases.js"

const missing = whyMissing()
if (missing !== undefined) console.warn(`\nSKIPPED: rolling upgrades from ${PREVIOUS.version}: ${missing}\n`)

/** One who is in the room, says something new now and then, and sees who leaves. */
interface Member {
  readonly key: string
  readonly update: (n: number) => void
  /** Keys that left altogether, as this client was told. */
  readonly left: ReadonlyArray<string>
  /** Each key, with how many connections. */
  readonly list: () => Readonly<Record<string, number>>
}

const ROOM = "room"

const phoenix = (Socket: typeof Socket18, port: number, key: string) =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const socket = new Socket(`ws://127.0.0.1:${port}/socket`, { transport: WebSocket })
        socket.connect()
        return socket
      }),
      (socket) => Effect.sync(() => socket.disconnect())
    )
    const left: Array<string> = []
    const { channel, presence } = yield* join(socket, ROOM, { key, meta: {} })
    presence.onLeave((gone, { metas }) => metas.length === 0 && left.push(gone))
    return {
      key,
      update: (n) => void channel.push("presence", { event: "track", payload: { n } }),
      left,
      list: () => Object.fromEntries(presence.list((here, { metas }) => [here, metas.length]))
    } satisfies Member
  })

const supabase = (port: number, key: string) =>
  Effect.gen(function* () {
    const client = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new RealtimeClient(`ws://127.0.0.1:${port}/realtime/v1`, {
            params: { apikey: "key" },
            // The client's type of a transport leaves out what `ws` calls its events.
            transport: WebSocket as unknown as WebSocketLikeConstructor
          })
      ),
      (client) => Effect.promise(() => client.removeAllChannels())
    )
    const left: Array<string> = []
    const channel = client.channel(ROOM, { config: { presence: { key } } })
    channel.on("presence", { event: "leave" }, (told) => {
      if (told.currentPresences.length === 0) left.push(told.key)
    })
    yield* Effect.async<void>((resume) => {
      channel.subscribe((status) => {
        if (status !== "SUBSCRIBED") return
        void channel.track({})
        resume(Effect.void)
      })
    })
    return {
      key,
      update: (n) => void channel.track({ n }),
      left,
      list: () =>
        Object.fromEntries(Object.entries(channel.presenceState()).map(([here, { length }]) => [here, length]))
    } satisfies Member
  })

describe.skipIf(redisIsOff() || missing !== undefined).concurrent("a rolling upgrade", () => {
  let previous: string
  beforeAll(async () => {
    build()
    previous = await release()
  })
  afterAll(clean)

  const until = (what: () => Promise<void> | void) =>
    Effect.promise(() => vi.waitFor(what, { timeout: 300_000, interval: 50 }))

  const replicasOf = async (redis: RedisServer): Promise<ReadonlyArray<string>> =>
    [...(await redis.command("ZRANGE", "presence:{0}:l", "0", "-1")).matchAll(/^\w+$/gm)].map(([name]) => name)

  for (const [way, from, to] of [
    [`from ${PREVIOUS.version} to this`, () => previous, () => built],
    [`from this back to ${PREVIOUS.version}`, () => built, () => previous]
  ] as const) {
    it.scopedLive(`${way}, under load, is seen by nobody`, () =>
      Effect.gen(function* () {
        const redis = yield* Effect.acquireRelease(
          Effect.promise(() => startRedis()),
          (redis) => Effect.promise(() => redis.stop())
        )
        const settings = { REDIS_URL: redis.url, PRESENCE_LEAVE_DELAY: "10 minutes", LOG_LEVEL: "Warning" }
        /** A server, and what it is called in Redis. */
        const start = (dist: string) =>
          Effect.gen(function* () {
            const before = yield* Effect.promise(() => replicasOf(redis))
            const server = yield* serve(settings, dist)
            const after = yield* Effect.promise(() => replicasOf(redis))
            const [name, ...others] = after.filter((name) => !before.includes(name))
            expect([typeof name, others]).toEqual(["string", []])
            return { ...server, name: String(name) }
          })
        const slots = yield* Effect.forEach(["a", "b"], (slot) =>
          Effect.gen(function* () {
            const server = yield* start(from())
            const proxy = yield* Effect.acquireRelease(
              Effect.promise(() => startProxy(server.port)),
              (proxy) => Effect.promise(() => proxy.close())
            )
            return { slot, server, proxy }
          })
        )
        const members: ReadonlyArray<Member> = yield* Effect.forEach(
          slots.flatMap(({ slot, proxy: { port } }) => [
            phoenix(Socket16, port, `${slot} 1.6`),
            phoenix(Socket17, port, `${slot} 1.7`),
            phoenix(Socket18, port, `${slot} 1.8`),
            phoenix(Socket18, port, `${slot} another 1.8`),
            supabase(port, `${slot} supabase`)
          ]),
          (member) => member
        )
        const everybody = Object.fromEntries(members.map(({ key }) => [key, 1]))
        const allSee = until(() => {
          for (const { list } of members) expect(list()).toEqual(everybody)
        })
        yield* allSee

        let said = 0
        const load = yield* Effect.sync(() => {
          members[said % members.length]?.update(++said)
        }).pipe(Effect.repeat(Schedule.spaced("100 millis")), Effect.fork)

        for (const { slot, server, proxy } of slots) {
          const next = yield* start(to())
          proxy.moveTo(next.port)
          expect((yield* server.stop("SIGTERM")).code).toBe(0)
          // Its clients have come back, and what they were before is over with its lease.
          yield* until(async () => {
            const { json } = await Effect.runPromise(ask(next.port, "/health"))
            expect(json).toMatchObject({ status: "ok", connections: members.length / 2 })
          })
          yield* Effect.promise(() => redis.command("ZADD", "presence:{0}:l", "XX", "1", server.name))
          yield* until(async () => expect(await replicasOf(redis)).not.toContain(server.name))
          expect(
            members.flatMap(({ left }) => left),
            slot
          ).toEqual([])
        }
        yield* Fiber.interrupt(load)
        expect(said).toBeGreaterThan(members.length)
        yield* allSee
        expect(members.flatMap(({ left }) => left)).toEqual([])
      })
    )
  }
})
