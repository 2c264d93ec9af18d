/**
 * What can be asked of a topic: from memory when it is followed here, else from Redis.
 */
import { Effect, ExecutionStrategy, Exit, Option, Scope } from "effect"
import type { Roster } from "../../internal/state/roster.js"
import type { Snapshot } from "../../PresenceChange.js"
import type { PresenceEntry } from "../../PresenceEntry.js"
import type { PresenceUnavailable } from "../../PresenceError.js"
import type { Port } from "../client/port.js"
import type { Membership } from "../write/membership.js"
import { Reader } from "./cache.js"
import { type Followed, type Followers, SMALL } from "./copies.js"
import type { Model, ModelMember } from "./topicCopy.js"

/** How long a large topic is followed after it was read. */
const LINGER = "10 seconds"

export interface ReadsOptions {
  readonly port: Port
  readonly membership: Membership
  readonly followers: Followers
  readonly hold: (topic: string) => Effect.Effect<Followed, PresenceUnavailable, Scope.Scope>
  readonly isUsable: (topic: string) => boolean
  /** After the layer's close everything is empty. */
  readonly isClosed: () => boolean
  readonly layerScope: Scope.Scope
}

/** A topic as it is read. */
interface View {
  readonly epoch: string
  readonly version: number
  readonly roster: Roster<ModelMember>
}

const NOBODY: ReadonlyArray<never> = Object.freeze([])

const viewOf = ({ epoch, standing, roster }: Model): View => ({ epoch, version: standing.version, roster })

const snapshotOfView = (topic: string, view: View | undefined): Snapshot =>
  Object.freeze({
    _tag: "Snapshot",
    topic,
    epoch: view?.epoch ?? "",
    version: view?.version ?? 0,
    connections: view?.roster.snapshot() ?? NOBODY
  })

/** A followed topic as its followers get it. */
export const snapshotOf = (topic: string, model: Model | undefined): Snapshot =>
  snapshotOfView(topic, model === undefined ? undefined : viewOf(model))

export const makeReads = ({ port, membership, followers, hold, isUsable, isClosed, layerScope }: ReadsOptions) => {
  const reader = new Reader(port)

  const ask = <A>(what: string, promise: () => Promise<A>): Effect.Effect<A, PresenceUnavailable> =>
    Effect.tryPromise({
      try: promise,
      catch: (cause) => {
        membership.onFailure(what, cause)
        return membership.unavailable(what)
      }
    })

  /** Follows a large topic for the read, and for a while after it: who lists it once will list it again. */
  const viewOfLarge = (topic: string): Effect.Effect<View, PresenceUnavailable> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.fork(layerScope, ExecutionStrategy.sequential), (scope) => {
        const close = Scope.close(scope, Exit.void)
        return restore(Scope.extend(hold(topic), scope)).pipe(
          Effect.onError(() => close),
          Effect.zipLeft(Effect.forkIn(Effect.interruptible(Effect.delay(close, LINGER)), layerScope)),
          Effect.map(({ model }) => viewOf(model))
        )
      })
    )

  const view = (topic: string): Effect.Effect<View | undefined, PresenceUnavailable> =>
    Effect.suspend(() => {
      if (isClosed() || !isUsable(topic)) return Effect.succeed(undefined)
      const followed = followers.live(topic)
      if (followed !== undefined) return Effect.succeed(viewOf(followed.model))
      const partition = membership.of(topic)
      partition.use()
      return Effect.flatMap(
        ask(`reading ${JSON.stringify(topic)}`, () => reader.read(partition.keys, topic, SMALL)),
        (read): Effect.Effect<View | undefined, PresenceUnavailable> => {
          if (read === undefined) return viewOfLarge(topic)
          const { standing, roster } = read
          return Effect.succeed({ epoch: standing.epoch, version: standing.version, roster })
        }
      )
    })

  return {
    snapshot: (topic: string) => Effect.map(view(topic), (view) => snapshotOfView(topic, view)),

    list: (topic: string): Effect.Effect<ReadonlyArray<PresenceEntry>, PresenceUnavailable> =>
      Effect.suspend(() => {
        const followed = isClosed() ? undefined : followers.live(topic)
        return followed === undefined
          ? Effect.map(view(topic), (view) => view?.roster.list() ?? NOBODY)
          : Effect.succeed(followed.model.roster.list())
      }),

    get: (topic: string, key: string): Effect.Effect<Option.Option<PresenceEntry>, PresenceUnavailable> =>
      Effect.suspend(() => {
        if (isClosed() || !isUsable(topic)) return Effect.succeedNone
        const followed = followers.live(topic)
        if (followed !== undefined) return Effect.succeed(Option.fromNullable(followed.model.roster.entry(key)))
        const partition = membership.of(topic)
        partition.use()
        return Effect.map(
          ask(`reading ${JSON.stringify(topic)}`, () => reader.get(partition.keys, topic, key)),
          (members) =>
            members.length === 0
              ? Option.none()
              : Option.some(Object.freeze({ key, metas: Object.freeze(members.map(({ meta }) => meta)) }))
        )
      }),

    count: (topic: string) =>
      Effect.suspend(
        (): Effect.Effect<{ readonly keys: number; readonly connections: number }, PresenceUnavailable> => {
          if (isClosed() || !isUsable(topic)) return Effect.succeed({ keys: 0, connections: 0 })
          const followed = followers.live(topic)
          if (followed !== undefined) {
            const { keys, connections } = followed.model.roster
            return Effect.succeed({ keys, connections })
          }
          const partition = membership.of(topic)
          partition.use()
          return ask(`counting ${JSON.stringify(topic)}`, () => reader.count(partition.keys, topic))
        }
      ),

    topics: Effect.suspend((): Effect.Effect<ReadonlyArray<string>, PresenceUnavailable> => {
      if (isClosed()) return Effect.succeed(NOBODY)
      return ask("reading the topics", async () => {
        const found: Array<string> = []
        for (const partition of membership.partitions) {
          partition.use()
          for (const topic of await reader.topics(partition.keys)) found.push(topic)
        }
        return found
      })
    })
  }
}
