/**
 * "3 viewing": a badge that follows how many people look at a post. Two tabs of one person are one viewer.
 */
import { Effect, Queue, Stream } from "effect"
import { Presence, PresenceLive } from "effect-presence"

/** The badge's text, now and whenever it changes. */
const badge = (post: string) =>
  Stream.unwrap(
    Effect.map(Presence, (presence) =>
      presence.live(post).pipe(
        Stream.map((viewers) => `${viewers.length} viewing`),
        Stream.changes
      )
    )
  )

/** A tab that is open: present for as long as its scope. */
const openTab = (post: string, user: string) =>
  Effect.flatMap(Presence, (presence) => presence.track(post, user, { since: "today" }))

export const program = Effect.gen(function* () {
  const shown = yield* Queue.unbounded<string>()
  yield* Effect.forkScoped(Stream.runForEach(badge("post:42"), (text) => Queue.offer(shown, text)))
  const badges = [yield* Queue.take(shown)]

  yield* openTab("post:42", "alice")
  badges.push(yield* Queue.take(shown))

  yield* openTab("post:42", "alice") // her second tab changes nothing
  yield* Effect.scoped(
    Effect.gen(function* () {
      yield* openTab("post:42", "bob")
      badges.push(yield* Queue.take(shown))
    })
  )
  badges.push(yield* Queue.take(shown))
  return badges // ["0 viewing", "1 viewing", "2 viewing", "1 viewing"]
}).pipe(Effect.scoped, Effect.provide(PresenceLive))
