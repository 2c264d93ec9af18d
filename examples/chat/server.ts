/** A chat over a WebSocket at `/chat`. With `PresenceRedis.layer` instead of `PresenceLive` it runs on several machines. */
import { createServer } from "node:http"
import { HttpLayerRouter } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { RpcSerialization, RpcServer } from "@effect/rpc"
import { Effect, Layer, Schema, Stream } from "effect"
import { Channels, PresenceLive, Unauthorized } from "effect-presence"
import { type Authorize, PresenceHttp } from "effect-presence/http"
import { PresenceRpc } from "effect-presence/rpc"
import { Chat, Message, People, Talk } from "./chat.js"

/** Whoever names themselves. A real chat looks at a token: `Authorize.jwt`. */
const authorize: Authorize.Authorize = ({ request }) => {
  const key = request.headers["x-name"]
  return key === undefined
    ? Effect.fail(new Unauthorized({ status: 401, reason: "what is your name?" }))
    : Effect.succeed({ key })
}

const Text = Schema.parseJson(Message)

/** What is said goes to whoever listens at that moment: nothing is kept. */
const talk = Talk.toLayer(
  Effect.map(Channels, (channels) => ({
    Say: ({ topic, text }: { readonly topic: string; readonly text: string }) =>
      Effect.gen(function* () {
        const { key = "nobody" } = yield* PresenceRpc.Granted
        yield* channels.publish(`chat:${topic}`, yield* Schema.encode(Text)({ from: key, text }))
      }).pipe(Effect.orDie),
    Messages: ({ topic }: { readonly topic: string }) =>
      Stream.unwrapScoped(
        Effect.map(Effect.orDie(channels.subscribe(`chat:${topic}`)), ({ stream }) =>
          Stream.concat(
            Stream.make({ from: "chat", text: `welcome to ${topic}` }),
            Stream.mapEffect(stream, (text) => Effect.orDie(Schema.decode(Text)(text)))
          )
        )
      )
  }))
)

const procedures = RpcServer.layerHttpRouter({ group: Chat, path: "/chat" }).pipe(
  Layer.provide(Layer.merge(talk, PresenceRpc.layer(People, { leaveDelay: "2 seconds" }))),
  Layer.provide(PresenceRpc.layerAuthorize(authorize)),
  Layer.provide(RpcSerialization.layerNdjson)
)

/** On a port of this machine; 0 is a free one. */
export const server = (port: number) =>
  HttpLayerRouter.serve(Layer.merge(procedures, PresenceHttp.layerRouter({ authorize })), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provide(PresenceLive),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" }))
  )
