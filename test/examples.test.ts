/**
 * Every recipe does what its last line says.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import * as Chat from "../examples/chat/index.js"
import * as FirstProgram from "../examples/first-program.js"
import * as JsonList from "../examples/json-list.js"
import * as LiveCursors from "../examples/live-cursors.js"
import * as Rpc from "../examples/rpc/index.js"
import * as Tracing from "../examples/tracing.js"
import * as TypingIndicator from "../examples/typing-indicator.js"
import * as ViewersBadge from "../examples/viewers-badge.js"

it.effect("the first program lists the one it tracked", () =>
  Effect.gen(function* () {
    expect(yield* FirstProgram.program).toEqual([{ key: "alice", metas: [{ role: "viewer" }] }])
  })
)

it.effect("the viewers badge counts people, not tabs", () =>
  Effect.gen(function* () {
    expect(yield* ViewersBadge.program).toEqual(["0 viewing", "1 viewing", "2 viewing", "1 viewing"])
  })
)

it.effect("the typing indicator goes out after a silence and comes back with the next key", () =>
  Effect.gen(function* () {
    const answer = yield* Effect.fork(TypingIndicator.program)
    yield* TestClock.adjust("2 seconds")
    expect(yield* Fiber.join(answer)).toEqual({ before: [], during: ["alice"], after: [], again: ["alice"] })
  })
)

it.effect("live cursors show everybody where they point, after each move", () =>
  Effect.gen(function* () {
    expect(yield* LiveCursors.program).toEqual([
      [],
      ["alice at 0,0"],
      ["alice at 0,0", "bob at 5,5"],
      ["alice at 3,4", "bob at 5,5"],
      ["alice at 3,4"]
    ])
  })
)

it.effect("the JSON list answers with the entries of the topic", () =>
  Effect.gen(function* () {
    expect(yield* JsonList.program).toEqual([{ key: "alice", metas: [{ role: "viewer" }] }])
  })
)

it.live("by RPC one hears another come, move and go", () =>
  Effect.gen(function* () {
    expect(yield* Rpc.program).toEqual(["alice is at 0,0", "bob came to 5,5", "bob moved to 6,5", "bob went"])
  })
)

it.live("in a chat one sees another come, speak and go", () =>
  Effect.gen(function* () {
    expect(yield* Chat.program).toEqual(["chat: welcome to lobby", "here: alice", "bob came", "bob: hello", "bob went"])
  })
)

it.live("spans are those of the request, and of what was done in it", () =>
  Effect.gen(function* () {
    expect(yield* Tracing.program).toEqual(["presence.evict in http.server DELETE", "http.server DELETE"])
  })
)
