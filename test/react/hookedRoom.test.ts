/** What a component says before it has joined, when that makes no sense. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { HookedRoom } from "../../src/react/HookedRoom.js"
import { makeClient, sees } from "../client/support/client.js"
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
      const watcher = (yield* makeClient(url)).join("lobby")
      yield* sees(watcher)
      expect(yield* presence.list("lobby")).toEqual([])
    })
  )
})
