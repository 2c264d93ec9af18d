import { createServer } from "node:http"
import { HttpLayerRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Duration, Effect, Layer, Schema } from "effect"
import { Authorize, PresenceHttp } from "effect-presence/http"
import { PresenceRpc } from "effect-presence/rpc"
import { PresenceSocket } from "effect-presence/socket"
import { Channels, Presence, PresenceLive } from "../src/index.js"
import { ChannelsRedis, PresenceRedis } from "../src/redis/index.js"
import { PresenceTest } from "../src/testing/index.js"

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
  ["limits.idleTimeout", { limits: { idleTimeout: "for ever" } }],
  ["limits.unsent", { limits: { unsent: 1 } }],
  ["limits", { limits: null }],
  ["authorize", { authorize: undefined }],
  ["authorize", { authorize: Authorize.allowAll({ payload: {} } as never) }],
  ["authorise", { authorise: Authorize.allowAll }],
  ["leavedelay", { leavedelay: 0 }],
  ["leaveDelay", { leaveDelay: null }],
  ["path", { path: "presence" }],
  ["path", { path: 4000 }],
  ["allowedOrigins", { allowedOrigins: "https://example.com" }],
  ["allowedOrigins", { allowedOrigins: [/example/] }],
  ["allowedOrigins", { allowedOrigins: ["example.com"] }]
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
    ["limits.messageBurst", { messageBurst: Number.NaN }],
    ["limits.streams", { streams: 1 }]
  ] as const) {
    it.effect(`of the sockets: ${JSON.stringify(limits)}`, () =>
      Effect.gen(function* () {
        const routes = PresenceSocket.layerRouter({ authorize: Authorize.allowAll, limits: limits as object })
        expect(yield* defect(serve(routes))).toMatchObject({ _tag: "InvalidOption", option })
      })
    )
  }

  for (const [option, options] of [
    ["protocol", { protocol: "Phoenix" }],
    ["protocol", { protocol: "constructor" }],
    ["onMessage", { onMessage: {} }],
    ["drain", { drain: null }]
  ] as const) {
    it.effect(`of the sockets: ${JSON.stringify(options)}`, () =>
      Effect.gen(function* () {
        const routes = PresenceSocket.layerRouter({ authorize: Authorize.allowAll, ...(options as object) })
        expect(yield* defect(serve(routes))).toMatchObject({ _tag: "InvalidOption", option })
      })
    )
  }

  it.effect("of each layer, also those that there are elsewhere only, or none at all", () =>
    Effect.gen(function* () {
      const Cursors = PresenceRpc.make(Schema.Struct({ x: Schema.Number }))
      const url = "redis://127.0.0.1:1"
      const layers: ReadonlyArray<
        readonly [option: string, layer: (options: never) => Layer.Layer<never, unknown>, options: unknown]
      > = [
        ["url", Presence.layer, { url }],
        ["options", Presence.layer, null],
        ["ttl", Channels.layer, { ttl: "1 minute" }],
        ["options", Channels.layer, "1 minute"],
        ["patiense", PresenceTest.layer, { patiense: 0 }],
        ["patience", PresenceTest.layer, { patience: "soon" }],
        ["options", PresenceTest.layer, null],
        ["uri", PresenceRedis.layer, { url, uri: url }],
        ["limits.metaByte", PresenceRedis.layer, { url, limits: { metaByte: 1 } }],
        ["options", PresenceRedis.layer, null],
        ["ttl", ChannelsRedis.layer, { url, lease: "1 minute", ttl: "1 minute" }],
        ["options", ChannelsRedis.layer, undefined],
        ["drain", (options) => serve(PresenceHttp.layerRouter(options)), { authorize: Authorize.allowAll, drain: 0 }],
        ["options", (options) => serve(PresenceHttp.layerRouter(options)), undefined],
        ["options", (options) => serve(PresenceSocket.layerRouter(options)), undefined],
        ["ttl", (options) => Layer.provide(PresenceRpc.layer(Cursors, options), PresenceLive), { ttl: 1 }],
        [
          "leaveDelay",
          (options) => Layer.provide(PresenceRpc.layer(Cursors, options), PresenceLive),
          { leaveDelay: null }
        ],
        ["limits", (options) => Layer.provide(PresenceRpc.layer(Cursors, options), PresenceLive), { limits: null }],
        [
          "limits.stream",
          (options) => Layer.provide(PresenceRpc.layer(Cursors, options), PresenceLive),
          { limits: { stream: 1 } }
        ],
        ["authorize", PresenceRpc.layerAuthorize, { key: "alice" }]
      ]
      for (const [option, layer, options] of layers) {
        expect(yield* defect(Layer.suspend(() => layer(options as never)) as Layer.Layer<never>)).toMatchObject({
          _tag: "InvalidOption",
          option
        })
      }
    })
  )

  it.effect("of a Config, by a name that there is not", () =>
    Effect.gen(function* () {
      for (const [layer, more] of [
        [Presence.layerConfig, {}],
        [PresenceRedis.layerConfig, { url: "redis://127.0.0.1:1", lease: "15 seconds" }]
      ] as const) {
        const made = (layer as (config: object) => Layer.Layer<never, unknown>)({
          tll: Config.succeed("1 minute"),
          ...more
        })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(made)))
        expect(String(error)).toContain('the option tll is "1 minute", but must be left out: there are ttl, ')
      }
    })
  )

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
