/**
 * A follower of `changes` that keeps a copy and reads only when asked to.
 */
import { Effect, Option, type Scope, Stream } from "effect"
import { Presence, type PresenceChange, type PresenceUnavailable } from "../../src/index.js"
import { apply, type Copy } from "./follow.js"

export interface Follower {
  /** The copy after the first change. */
  readonly start: Copy
  /** The first change: a snapshot, or with `since` perhaps a diff. */
  readonly first: PresenceChange
  readonly copy: () => Copy
  /** Reads until the copy is as wanted; answers what was read. */
  readonly until: (
    wanted: (copy: Copy) => boolean
  ) => Effect.Effect<ReadonlyArray<PresenceChange>, PresenceUnavailable | "ended">
  /** Reads what comes next, one chunk. */
  readonly next: Effect.Effect<ReadonlyArray<PresenceChange>, PresenceUnavailable | "ended">
}

export const followTopic = (
  topic: string
): Effect.Effect<Follower, PresenceUnavailable | "ended", Presence | Scope.Scope> =>
  Effect.gen(function* () {
    const presence = yield* Presence
    const pull = yield* Stream.toPull(presence.changes(topic))
    let copy: Copy | undefined
    const next = pull.pipe(
      Effect.mapError(Option.getOrElse(() => "ended" as const)),
      Effect.map((chunk) => {
        const changes = [...chunk]
        for (const change of changes) copy = apply(copy, change)
        return changes
      })
    )
    const [first] = yield* next
    const start = copy
    if (first === undefined || start === undefined) return yield* Effect.dieMessage("the first chunk was empty")
    const current = (): Copy => copy ?? start
    return {
      start,
      first,
      copy: current,
      next,
      until: (wanted) =>
        Effect.gen(function* () {
          const read: Array<PresenceChange> = []
          while (!wanted(current())) read.push(...(yield* next))
          return read
        })
    }
  })
