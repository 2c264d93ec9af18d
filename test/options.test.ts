import { createServer } from "node:http"
import { HttpLayerRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Duration, Effect, Layer } from "effect"
import { Authorize, PresenceHttp } from "effect-presence/http"
import { PresenceSocket } from "effect-presence/socket"
import { type Channels, Presence, PresenceLive } from "../src/index.js"

/** What the layer of a route dies with. */
const defect = (routes: Layer.Layer<never, never, never>) =>
  Effect.map(Effect.flip(Effect.sandbox(Effect.scoped(Layer.build(routes)))), Cause.squash)

const serve = (routes: Layer.Layer<never, never, HttpLayerRouter.HttpRouter | Presence | Channels>) =>
  HttpLayerRouter.serve(routes).pipe(
    Layer.provide(PresenceLive),
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.orDie
  )

/** Options of a client without types, each with the name that the refusal says. */
const wrong: ReadonlyArray<readonly [option: string, options: object]> = [
  ["authorizeTimeout", { authorizeTimeout: 0 }],
  ["diffInterval", { diffInterval: -1 }],
  ["diffInterval", { diffInterval: "25 days" }],
  ["diffInterval", { diffInterval: Duration.millis(Number.MAX_VALUE) }],
  ["leaveDelay", { leaveDelay: "-3 seconds" }],
  ["leaveDelay", { leaveDelay: Number.POSITIVE_INFINITY }],
  ["limits.unsentBytes", { limits: { unsentBytes: 0 } }],
  ["limits.unsentBytes", { limits: { unsentBytes: Number.NaN } }],
  ["limits.unsentFor", { limits: { unsentFor: 0 } }],
  ["limits.idleTimeout", { limits: { idleTimeout: "for ever" } }]
]

describe("options that make no sense end the start, with their name", () => {
  for (const [option, options] of wrong) {
    it.effect(`of the routes over HTTP: ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const routes = PresenceHttp.layerRouter({ authorize: Authorize.allowAll, ...options })
        expect(yield* defect(serve(routes))).toMatchObject({ _tag: "InvalidOption", option })
      })
    )
    it.effect(`of the sockets: ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const routes = PresenceSocket.layerRouter({ authorize: Authorize.allowAll, ...options })
        expect(yield* defect(serve(routes))).toMatchObject({ _tag: "InvalidOption", option })
      })
    )
  }

  for (const [option, limits] of [
    ["limits.frameBytes", { frameBytes: -1 }],
    ["limits.channels", { channels: 1.5 }],
    ["limits.messagesPerSecond", { messagesPerSecond: 0 }],
    ["limits.messageBurst", { messageBurst: Number.NaN }]
  ] as const) {
    it.effect(`of the sockets: ${JSON.stringify(limits)}`, () =>
      Effect.gen(function* () {
        const routes = PresenceSocket.layerRouter({ authorize: Authorize.allowAll, limits })
        expect(yield* defect(serve(routes))).toMatchObject({ _tag: "InvalidOption", option })
      })
    )
  }

  it.effect("from a Config that gives some of them, or none, the others have their defaults", () =>
    Effect.gen(function* () {
      const topicBytes = Effect.map(Presence, ({ limits }) => limits.topicBytes)
      // As it is typed where `exactOptionalPropertyTypes` is off.
      const layer = Presence.layerConfig as (config: object) => ReturnType<typeof Presence.layerConfig>
      expect(yield* Effect.provide(topicBytes, layer({}))).toBe(255)
      expect(yield* Effect.provide(topicBytes, layer({ ttl: undefined, limits: {} }))).toBe(255)
      const limits = { topicBytes: Config.succeed(7), keyBytes: undefined }
      expect(yield* Effect.provide(topicBytes, layer({ ttl: undefined, limits }))).toBe(7)
    })
  )

  it.effect("from a Config it is an error of the Config", () =>
    Effect.gen(function* () {
      const live = Presence.layerConfig({ ttl: Config.duration("TTL") }).pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["TTL", "0 seconds"]]))))
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(live)))
      expect(String(error)).toContain("the option ttl is 0, but must be a duration of more than none")
    })
  )
})
