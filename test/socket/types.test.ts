import type { HttpLayerRouter } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type Layer, Option } from "effect"
import type { Channels } from "../../src/Channels.js"
import type { Presence } from "../../src/Presence.js"
import { Authorize, PresenceSocket } from "../../src/socket/index.js"

class Users extends Context.Tag("test/Users")<Users, { readonly has: (key: string) => boolean }>() {}
class Orders extends Context.Tag("test/Orders")<Orders, { readonly add: Effect.Effect<void> }>() {}

describe("layerRouter", () => {
  it("needs presence, channels and a router", () => {
    expectTypeOf(PresenceSocket.layerRouter({ authorize: Authorize.allowAll })).toEqualTypeOf<
      Layer.Layer<never, never, Presence | Channels | HttpLayerRouter.HttpRouter>
    >()
  })

  it("asks the router for what authorize and onMessage need", () => {
    const layer = PresenceSocket.layerRouter({
      authorize: () => Effect.as(Users, { key: "alice" }),
      onMessage: () => Effect.as(Orders, Option.none())
    })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | Presence
        | Channels
        | HttpLayerRouter.HttpRouter
        | HttpLayerRouter.Request<"Requires", Users>
        | HttpLayerRouter.Request<"Requires", Orders>
      >
    >()
  })
})
