/**
 * "alice is typing": a short ttl that each key pressed starts anew. Nobody has to say that they stopped.
 */
import { Effect, Scope } from "effect"
import { Presence } from "effect-presence"

const topic = (room: string) => `${room}:typing`

/**
 * What to run for each key pressed: the first makes them present, later ones keep them so, and one after a pause brings
 * them back. When the scope closes, they are gone at once.
 */
const keyboard = (room: string, user: string) =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const scope = yield* Effect.scope
    const lease = yield* Effect.cached(
      Effect.provideService(presence.track(topic(room), user, {}, { ttl: "2 seconds" }), Scope.Scope, scope)
    )
    return Effect.flatMap(lease, (lease) => lease.refresh)
  })

const typing = (room: string) =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const entries = yield* presence.list(topic(room))
    return entries.map(({ key }) => key)
  })

export const program = Effect.gen(function* () {
  const presence = yield* Presence
  const events = yield* presence.subscribe(topic("room:1"))
  const press = yield* keyboard("room:1", "alice")

  const before = yield* typing("room:1")
  yield* press
  yield* press
  const during = yield* typing("room:1")
  yield* events.take // the join

  yield* events.take // the leave, after two seconds of silence
  const after = yield* typing("room:1")
  yield* press
  const again = yield* typing("room:1")
  return { before, during, after, again } // { before: [], during: ["alice"], after: [], again: ["alice"] }
}).pipe(Effect.scoped, Effect.provide(Presence.layer({ sweepInterval: "250 millis" })))
