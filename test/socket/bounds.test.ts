/** What all sockets of a route may take up together, and what who comes beyond is told. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
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
})
