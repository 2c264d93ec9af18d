/** Followers that resume inside whoever wakes them, as a scheduler may let them. */
import { expect } from "@effect/vitest"
import { Effect, type Scheduler, Stream } from "effect"
import type { Presence, PresenceChange, PresenceEvent } from "../../src/index.js"

/** Lets everything else have its turn, also what comes from outside. */
export const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Resumes a fiber at once, where it is woken. */
export const atOnce: Scheduler.Scheduler = { shouldYield: () => false, scheduleTask: (task) => task() }

/** The keys that a follower has come to know by folding what it was told, checked on the way. */
export const fold = (changes: Iterable<PresenceChange>): ReadonlyArray<string> => {
  const refs = new Map<string, string>()
  let version: number | undefined
  for (const change of changes) {
    if (change._tag === "Snapshot") {
      refs.clear()
      for (const { ref, key } of change.connections) refs.set(ref, key)
    } else {
      expect(change.from).toBe(version)
      for (const { ref } of change.leaves) expect(refs.delete(ref)).toBe(true)
      for (const { ref, key } of change.joins) {
        expect(refs.has(ref)).toBe(false)
        refs.set(ref, key)
      }
    }
    version = change.version
  }
  return [...refs.values()].sort()
}

/** Collects what a topic's followers are told, by a fiber of its own. */
export const collecting = (presence: Presence.Service, topic: string) =>
  Effect.gen(function* () {
    const changes: Array<PresenceChange> = []
    yield* Effect.forkScoped(
      Effect.withScheduler(
        Stream.runForEach(presence.changes(topic), (change) => Effect.sync(() => changes.push(change))),
        atOnce
      )
    )
    while (changes.length === 0) yield* turn
    return { changes }
  })

/** Does something with each event of a topic, inside whoever makes it. */
export const reacting = (
  presence: Presence.Service,
  topic: string,
  react: (event: PresenceEvent) => Effect.Effect<unknown>
) =>
  Effect.gen(function* () {
    const { take } = yield* presence.subscribe(topic)
    yield* Effect.fork(
      Effect.withScheduler(
        Effect.forever(Effect.flatMap(Effect.orDie(take), (events) => Effect.forEach(events, react))),
        atOnce
      )
    )
    yield* Effect.yieldNow()
  })
