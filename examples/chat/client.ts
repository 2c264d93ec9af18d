/** One who chats: in a room for as long as the scope is open, hearing who comes and goes and what is said. */
import { NodeSocket } from "@effect/platform-node"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { Effect, Layer, Schedule, Stream } from "effect"
import type { PresenceChange } from "effect-presence"
import { Chat, type Person } from "./chat.js"

/** A change in words, without those who only began or stopped to type. */
const comingAndGoing = (change: PresenceChange<typeof Person.Type>): ReadonlyArray<string> =>
  change._tag === "Snapshot"
    ? [`here: ${change.connections.map(({ key }) => key).join(", ")}`]
    : [...change.joins.map(({ key }) => `${key} came`), ...change.leaves.map(({ key }) => `${key} went`)]

export const enter = (port: number, name: string, topic: string, show: (line: string) => Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const protocol = RpcClient.layerProtocolSocket().pipe(
      Layer.provide(NodeSocket.layerWebSocket(`ws://127.0.0.1:${port}/chat`)),
      Layer.provide(RpcSerialization.layerNdjson)
    )
    const client = yield* Effect.provide(RpcClient.make(Chat), yield* Layer.build(protocol))
    const headers = { "x-name": name }
    /** Comes back when the connection was lost. */
    const shown = <E>(lines: Stream.Stream<string, E>) =>
      lines.pipe(Stream.retry(Schedule.spaced("1 second")), Stream.runForEach(show), Effect.forkScoped)

    yield* shown(Stream.map(client.Messages({ topic }, { headers }), ({ from, text }) => `${from}: ${text}`))
    yield* shown(
      Stream.mapConcat(client.Join({ topic, key: name, meta: { typing: false } }, { headers }), comingAndGoing)
    )
    return { say: (text: string) => client.Say({ topic, text }, { headers }) }
  })
