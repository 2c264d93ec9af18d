import { HttpLayerRouter } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { PresenceHttp } from "../../src/http/index.js"
import { Presence, Unauthorized } from "../../src/index.js"

class Users extends Context.Tag("Users")<Users, { readonly nameOf: (token: string) => string | undefined }>() {}

const routes = PresenceHttp.layerRouter({
  authorize: ({ request }) =>
    Effect.flatMap(Users, ({ nameOf }) => {
      const key = nameOf(request.headers["x-token"] ?? "")
      return key === undefined
        ? Effect.fail(new Unauthorized({ status: 401, reason: "who are you?" }))
        : Effect.succeed({ key })
    })
})

describe("PresenceHttp without a server of Node's", () => {
  it.scopedLive("serves Request and Response, and authorize may use services", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(Presence.layer())
      const presence = Context.get(context, Presence)
      const { handler, dispose } = HttpLayerRouter.toWebHandler(Layer.provide(routes, Layer.succeedContext(context)), {
        disableLogger: true
      })
      const users = Context.make(Users, { nameOf: (token) => (token === "a" ? "alice" : undefined) })
      const ask = (path: string, headers: Record<string, string>) =>
        Effect.promise(() => handler(new Request(`http://here.example${path}`, { headers }), users))

      expect((yield* ask("/presence/room", {})).status).toBe(401)
      // Whoever serves it may listen anywhere, so the host that is asked for may be the page's.
      const own = yield* ask("/presence/room", { "x-token": "a", origin: "http://here.example", host: "here.example" })
      expect(own.status).toBe(200)
      expect((yield* ask("/presence/room", { "x-token": "a", origin: "http://evil.example" })).status).toBe(403)

      const response = yield* ask("/presence/room/events?key=me", { "x-token": "a" })
      expect(response.headers.get("content-type")).toBe("text/event-stream")
      const reader = response.body?.getReader()
      const next = Effect.promise(async () => new TextDecoder().decode((await reader?.read())?.value))
      expect(yield* next).toBe("retry: 1000\n\n")
      expect(yield* next).toMatch(/^id: \S+\nevent: snapshot\ndata: \{/)
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
      yield* Effect.promise(async () => reader?.cancel())
      yield* presence.changes("room").pipe(
        Stream.mapEffect(() => presence.count("room")),
        Stream.takeUntil(({ keys }) => keys === 0),
        Stream.runDrain
      )

      const open = yield* ask("/presence/room/events", { "x-token": "a" })
      yield* Effect.promise(dispose)
      expect(yield* Effect.promise(() => open.text())).toContain("event: snapshot")
    })
  )
})
