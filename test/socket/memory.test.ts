/** What an open socket holds on to, and what it lets go of. */

import { NodeHttpServerRequest } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, phoenixUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

const collect = Effect.sync(() => globalThis.gc?.())

describe("an open socket", () => {
  it.scopedLive("keeps its request for what is asked later, but neither its answer nor its fiber", () =>
    Effect.gen(function* () {
      const requests: Array<unknown> = []
      let held: ReadonlyArray<WeakRef<object>> = []
      const server = yield* makeServer({
        authorize: ({ on, request }) =>
          Effect.withFiberRuntime((fiber) => {
            requests.push(request)
            if (on === "connect") {
              held = [new WeakRef(fiber), new WeakRef(NodeHttpServerRequest.toServerResponse(request))]
            }
            return Effect.succeed({})
          })
      })
      const client = yield* connect(phoenixUrl(server.url))
      client.say("1", "1", "room", "phx_join", {})
      yield* client.reply("1")
      expect(requests[0]).toBe(requests[1])
      // Once for each that is waited for, as a collection may come too early.
      for (const gone of held) {
        while (gone.deref() !== undefined) yield* Effect.zipRight(Effect.sleep("10 millis"), collect)
      }
      client.say("2", "2", "other", "phx_join", {})
      expect(yield* client.reply("2")).toMatchObject({ status: "ok" })
      expect(requests[2]).toBe(requests[0])
    })
  )
})
