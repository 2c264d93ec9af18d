/**
 * Two people in a room. What alice sees while bob comes, says something and goes.
 */
import { HttpServer } from "@effect/platform"
import { Effect, Queue } from "effect"
import { enter } from "./client.js"
import { server } from "./server.js"

export const program = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = address._tag === "TcpAddress" ? address.port : 0
  const seen = yield* Queue.unbounded<string>()
  yield* enter(port, "alice", "lobby", (line) => Queue.offer(seen, line))
  // Two streams of one connection: either may be the first.
  const lines = [yield* Queue.take(seen), yield* Queue.take(seen)].sort()
  yield* Effect.scoped(
    Effect.gen(function* () {
      const bob = yield* enter(port, "bob", "lobby", () => Effect.void)
      lines.push(yield* Queue.take(seen))
      yield* bob.say("hello")
      lines.push(yield* Queue.take(seen))
    })
  )
  lines.push(yield* Queue.take(seen))
  return lines // ["chat: welcome to lobby", "here: alice", "bob came", "bob: hello", "bob went"]
}).pipe(Effect.scoped, Effect.provide(server(0)))
