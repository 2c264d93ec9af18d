/**
 * The shortest whole program: be present, and see who is.
 */
import { Effect } from "effect"
import { Presence, PresenceLive } from "effect-presence"

export const program = Effect.gen(function* () {
  const presence = yield* Presence
  yield* presence.track("post:42", "alice", { role: "viewer" })
  return yield* presence.list("post:42") // [{ key: "alice", metas: [{ role: "viewer" }] }]
}).pipe(Effect.scoped, Effect.provide(PresenceLive))
