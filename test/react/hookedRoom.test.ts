/** What a component says before it has joined, when that makes no sense. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { HookedRoom } from "../../src/react/HookedRoom.js"
import { is, makeClient } from "../client/support/client.js"
import { makeServer } from "../socket/support/server.js"

describe("a room of a hook", () => {
  it.scopedLive("whose first effects throw stays in no room: React undoes nothing of an effect that threw", () =>
    Effect.gen(function* () {
      const { url, presence } = yield* makeServer()
      const client = yield* makeClient(url, { leaveDelay: 0 })
      for (const say of [
        (hooked: HookedRoom<object>) => hooked.update({ n: 1n }),
        (hooked: HookedRoom<object>) => hooked.on("phx_close", () => {}),
        (hooked: HookedRoom<object>) => hooked.on("wave", null as never)
      ]) {
        const hooked = new HookedRoom<object>()
        say(hooked)
        expect(() => hooked.join(client, "lobby", { key: "alice" })).toThrow(
          /no JSON|not one's own|a function is allowed/
        )
        expect(hooked.read().status).toBe("connecting")
      }
      // Timers of one length run in their order, so by then the client has left what its hooks have.
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)))
      // A client has one presence on a topic: a room that gives no key has that of whoever is left in it.
      const room = client.join("lobby")
      yield* is(room, "joined")
      expect(room.entries).toEqual([])
      expect(yield* presence.list("lobby")).toEqual([])
    })
  )
})
