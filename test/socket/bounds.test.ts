/** What all sockets of a route may take up together, and what who comes beyond is told. */
import type { Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { connect, phoenixUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

describe("a route is bounded", () => {
  it.scopedLive("in topics: a join of one more says so, and those that are there may be joined", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { topics: 2 } })
      const [a, b] = [yield* connect(phoenixUrl(server.url)), yield* connect(phoenixUrl(server.url))]
      for (const [ref, topic] of ["one", "two", "three"].entries()) {
        a.say(`${ref}`, `${ref}`, topic, "phx_join", {})
      }
      expect(yield* a.reply("0")).toMatchObject({ status: "ok" })
      expect(yield* a.reply("1")).toMatchObject({ status: "ok" })
      const refused = { status: "error", response: { reason: "2 topics are followed here, no more are" } }
      expect(yield* a.reply("2")).toEqual(refused)
      b.say("1", "1", "two", "phx_join", {})
      expect(yield* b.reply("1")).toMatchObject({ status: "ok" })
      // One that is left makes room.
      a.say("0", "3", "one", "phx_leave", {})
      yield* a.reply("3")
      b.say("2", "2", "three", "phx_join", {})
      expect(yield* b.reply("2")).toMatchObject({ status: "ok" })
    })
  )

  it.scopedLive("in topics that one address begins: others begin theirs, and it may join them", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { topicsPerAddress: 2 } })
      const [a, b] = [yield* connect(phoenixUrl(server.url)), yield* connect(phoenixUrl(server.url))]
      const elsewhere = yield* connect(phoenixUrl(server.url), { localAddress: "127.0.0.2" })
      const join = (client: typeof a, ref: string, topic: string) => {
        client.say(ref, ref, topic, "phx_join", {})
        return client.reply(ref)
      }
      yield* join(a, "1", "one")
      yield* join(b, "1", "two")
      const refused = { status: "error", response: { reason: "2 topics were begun from one address, no more are" } }
      expect(yield* join(b, "2", "three")).toEqual(refused)
      expect(yield* join(elsewhere, "1", "three")).toMatchObject({ status: "ok" })
      expect(yield* join(b, "3", "three")).toMatchObject({ status: "ok" })
      // One that nobody is on any more makes room.
      a.say("1", "2", "one", "phx_leave", {})
      yield* a.reply("2")
      expect(yield* join(b, "4", "four")).toMatchObject({ status: "ok" })
      expect(yield* join(b, "5", "five")).toEqual(refused)
    })
  )

  it.scopedLive("in what all metas take of the heap", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ presence: { limits: { metaTotal: 10_000 } } })
      const [a, b] = [yield* connect(phoenixUrl(server.url)), yield* connect(phoenixUrl(server.url))]
      // Of four characters each, and of 64 bytes of the heap.
      const nested = (count: number) => Array.from({ length: count }, () => [0])
      a.say("1", "1", "one", "phx_join", { key: "alice", meta: nested(150) })
      expect(yield* a.reply("1")).toMatchObject({ status: "ok" })
      b.say("1", "1", "two", "phx_join", { key: "bob", meta: nested(50) })
      expect(yield* b.reply("1")).toMatchObject({
        status: "error",
        response: { reason: expect.stringContaining("metaTotal") }
      })
      b.say("2", "2", "two", "phx_join", { key: "bob", meta: {} })
      expect(yield* b.reply("2")).toMatchObject({ status: "ok" })
      a.say("1", "3", "one", "phx_leave", {})
      yield* a.reply("3")
      b.say("3", "3", "two", "phx_join", { key: "bob", meta: nested(150) })
      expect(yield* b.reply("3")).toMatchObject({ status: "ok" })
    })
  )

  it.scopedLive("in sockets, and in sockets from one address", () =>
    Effect.gen(function* () {
      for (const [limits, status] of [
        [{ sockets: 2 }, 503],
        [{ socketsPerAddress: 2 }, 429]
      ] as const) {
        const server = yield* makeServer({ limits })
        const first = yield* connect(phoenixUrl(server.url))
        yield* connect(phoenixUrl(server.url))
        expect(yield* Effect.flip(connect(phoenixUrl(server.url)))).toBe(status)
        first.ws.close()
        yield* first.end
        // It is let in as soon as nothing is left of the one that went.
        const again = yield* Effect.retry(connect(phoenixUrl(server.url)), { while: (error) => error === status })
        again.say("1", "1", "room", "phx_join", {})
        expect(yield* again.reply("1")).toMatchObject({ status: "ok" })
      }
    })
  )

  it.scopedLive("in what is unsent: those with the most are cut off, and the others are not", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({
        // No other bound would cut anybody off.
        limits: {
          unsentTotal: 16_000_000,
          unsentBytes: 1e8,
          unsentBytesMax: 1e9,
          messagesPerSecond: 1e5,
          messageBurst: 1e5
        }
      })
      const join = (topic: string, key: string) =>
        Effect.gen(function* () {
          const client = yield* connect(phoenixUrl(server.url))
          client.say("1", "1", topic, "phx_join", { key })
          yield* client.reply("1")
          return client
        })
      const greedy = yield* join("much", "greedy")
      const modest = yield* join("little", "modest")
      // They read nothing, not even a close.
      greedy.ws.pause()
      modest.ws.pause()
      const text = "x".repeat(100_000)
      for (const [topic, times] of [
        ["little", 60],
        ["much", 400]
      ] as const) {
        const talker = yield* join(topic, "talker")
        for (let n = 0; n < times; n++) {
          talker.say("1", `hello ${n}`, topic, "hello", { text })
          yield* talker.reply(`hello ${n}`)
        }
      }
      const keys = (topic: string) => Effect.map(server.presence.list(topic), (list) => list.map(({ key }) => key))
      yield* Effect.repeat(keys("much"), { until: (here) => !here.includes("greedy"), schedule: Schedule.spaced(20) })
      expect(yield* keys("little")).toEqual(["modest", "talker"])
      modest.ws.resume()
      yield* modest.until(() => modest.frames.filter(([, , , event]) => event === "hello").length === 60)
    })
  )

  it.scopedLive("in what has not come whole: those with the most are cut off, and the others are not", () =>
    Effect.gen(function* () {
      const server = yield* makeServer({ limits: { unfinishedTotal: 1_000_000, frameBytes: 900_000 } })
      const start = Effect.map(connect(phoenixUrl(server.url)), (client) => {
        // The sender's own socket: a frame that lacks its end.
        const { _socket: socket } = client.ws as unknown as { readonly _socket: Socket }
        return { client, begin: (bytes: number) => socket.write(partial(bytes)) }
      })
      const [greedy, modest] = [yield* start, yield* start]
      modest.begin(200_000)
      greedy.begin(850_000)
      yield* greedy.client.end
      expect(modest.client.closed).toBeUndefined()
    })
  )
})

/** The head of a text of so many bytes and one more, and as many of them. */
const partial = (bytes: number): Buffer => {
  const frame = Buffer.alloc(14 + bytes, "x")
  frame[0] = 0x81
  frame[1] = 0x80 | 127
  frame.writeBigUInt64BE(BigInt(bytes + 1), 2)
  frame.writeUInt32BE(0, 10)
  return frame
}
