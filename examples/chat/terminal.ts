/**
 * `npm run chat -- alice`, and in a second terminal `npm run chat -- bob`: the first one also serves. Ctrl+D goes.
 */
import { createInterface } from "node:readline"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { enter } from "./client.js"
import { server } from "./server.js"

const port = Number(process.env.PORT ?? 4000)
const [name = "guest", room = "lobby"] = process.argv.slice(2)

const typed = Stream.fromAsyncIterable(createInterface({ input: process.stdin }), (cause) => cause)

NodeRuntime.runMain(
  Effect.gen(function* () {
    // Whoever comes first serves; the port is taken for who comes later.
    yield* Effect.ignore(Layer.build(server(port)))
    const { say } = yield* enter(port, name, room, Console.log)
    yield* Stream.runForEach(typed, (text) => (text === "" ? Effect.void : say(text)))
  }).pipe(Effect.scoped)
)
