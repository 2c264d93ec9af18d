/**
 * What can be asked of a topic: from memory when it is followed here, else from Redis.
 */
import { Effect, ExecutionStrategy, Exit, Option, Scope } from "effect"
import type { Roster } from "../../internal/state/roster.js"
import type { Presence } from "../../Presence.js"
import type { Snapshot } from "../../PresenceChange.js"
import type { PresenceEntry } from "../../PresenceEntry.js"
import type { PresenceUnavailable } from "../../PresenceError.js"
import type { Port } from "../client/port.js"
import * as calls from "../protocol/calls.js"
import type { Keys } from "../protocol/keys.js"
import { topics, topicsWith } from "../protocol/pages.js"
import type { Membership } from "../write/membership.js"
import { ReadCache } from "./cache.js"
import { type Copies, type FollowedTopic, SMALL } from "./copies.js"
import type { CopyMember, TopicCopy } from "./topicCopy.js"

/** How long a large topic is followed after it was read. */
const LINGER = "10 seconds"

export interface QueriesOptions {
  readonly port: Port
  readonly membership: Membership
  readonly copies: Copies
  readonly acquire: (topic: string) => Effect.Effect<FollowedTopic, PresenceUnavailable, Scope.Scope>
  readonly isUsable: (topic: string) => boolean
  readonly isUsableKey: (key: string) => boolean
  /** Whether this replica keeps the key index: else nobody need ask for it. Default false. */
  readonly keyIndex?: boolean
  /** After the layer's close everything is empty. */
  readonly isClosed: () => boolean
  readonly layerScope: Scope.Scope
}

/** Topics that one call counts: more would hold Redis up. */
const SLICE = 500

const NONE: Presence.Count = Object.freeze({ keys: 0, connections: 0 })

/** A topic as it is read. */
interface View {
  readonly epoch: string
  readonly version: number
  readonly roster: Roster<CopyMember>
}

const NOBODY: ReadonlyArray<never> = Object.freeze([])

const viewOf = ({ epoch, standing, roster }: TopicCopy): View => ({ epoch, version: standing.version, roster })

const snapshotOfView = (topic: string, view: View | undefined): Snapshot =>
  Object.freeze({
    _tag: "Snapshot",
    topic,
    epoch: view?.epoch ?? "",
    version: view?.version ?? 0,
    connections: view?.roster.snapshot() ?? NOBODY
  })

/** A followed topic as its followers get it. */
export const snapshotOf = (topic: string, copy: TopicCopy | undefined): Snapshot =>
  snapshotOfView(topic, copy === undefined ? undefined : viewOf(copy))

export const makeQueries = ({
  port,
  membership,
  copies,
  acquire,
  isUsable,
  isUsableKey,
  keyIndex = false,
  isClosed,
  layerScope
}: QueriesOptions) => {
  const cache = new ReadCache(port)

  const ask = <A>(what: string, promise: () => Promise<A>): Effect.Effect<A, PresenceUnavailable> =>
    Effect.tryPromise({
      try: promise,
      catch: (cause) => {
        membership.onFailure(what, cause)
        return membership.unavailable(what, cause)
      }
    })

  /** Follows a large topic for the read, and for a while after it: who lists it once will list it again. */
  const viewOfLarge = (topic: string): Effect.Effect<View, PresenceUnavailable> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.fork(layerScope, ExecutionStrategy.sequential), (scope) => {
        const close = Scope.close(scope, Exit.void)
        return restore(Scope.extend(acquire(topic), scope)).pipe(
          Effect.onError(() => close),
          Effect.zipLeft(Effect.forkIn(Effect.interruptible(Effect.delay(close, LINGER)), layerScope)),
          Effect.map(({ copy }) => viewOf(copy))
        )
      })
    )

  const view = (topic: string): Effect.Effect<View | undefined, PresenceUnavailable> =>
    Effect.suspend(() => {
      if (isClosed() || !isUsable(topic)) return Effect.succeed(undefined)
      const followed = copies.live(topic)
      if (followed !== undefined) return Effect.succeed(viewOf(followed.copy))
      const partition = membership.of(topic)
      partition.use()
      return Effect.flatMap(
        ask(`reading ${JSON.stringify(topic)}`, () => cache.read(partition.keys, topic, SMALL)),
        (read): Effect.Effect<View | undefined, PresenceUnavailable> => {
          if (read === undefined) return viewOfLarge(topic)
          const { standing, roster } = read
          return Effect.succeed({ epoch: standing.epoch, version: standing.version, roster })
        }
      )
    })

  /** Those that are not followed here in one round: a call for each partition, all at once. */
  const counts = (
    topics: ReadonlyArray<string>,
    what: () => string
  ): Effect.Effect<ReadonlyMap<string, Presence.Count>, PresenceUnavailable> =>
    Effect.suspend(() => {
      const counted = new Map<string, Presence.Count>()
      const asked = new Map<Keys, Array<string>>()
      for (const topic of topics) {
        if (counted.has(topic)) continue
        // Each at its place, whatever comes later.
        counted.set(topic, NONE)
        if (isClosed() || !isUsable(topic)) continue
        const followed = copies.live(topic)
        if (followed !== undefined) {
          const { keys, connections } = followed.copy.roster
          counted.set(topic, { keys, connections })
          continue
        }
        const partition = membership.of(topic)
        partition.use()
        const its = asked.get(partition.keys)
        if (its === undefined) asked.set(partition.keys, [topic])
        else its.push(topic)
      }
      if (asked.size === 0) return Effect.succeed(counted)
      const countSome = async (keys: Keys, some: ReadonlyArray<string>): Promise<void> => {
        const answer = await calls.counts(port, keys, some)
        for (const [i, topic] of some.entries()) counted.set(topic, answer[i] ?? NONE)
      }
      return ask(`counting ${what()}`, async () => {
        const answers: Array<Promise<void>> = []
        for (const [keys, its] of asked) {
          for (let i = 0; i < its.length; i += SLICE) answers.push(countSome(keys, its.slice(i, i + SLICE)))
        }
        await Promise.all(answers)
        return counted
      })
    })

  return {
    snapshot: (topic: string) => Effect.map(view(topic), (view) => snapshotOfView(topic, view)),

    list: (topic: string): Effect.Effect<ReadonlyArray<PresenceEntry>, PresenceUnavailable> =>
      Effect.suspend(() => {
        const followed = isClosed() ? undefined : copies.live(topic)
        return followed === undefined
          ? Effect.map(view(topic), (view) => view?.roster.list() ?? NOBODY)
          : Effect.succeed(followed.copy.roster.list())
      }),

    get: (topic: string, key: string): Effect.Effect<Option.Option<PresenceEntry>, PresenceUnavailable> =>
      Effect.suspend(() => {
        if (isClosed() || !isUsable(topic)) return Effect.succeedNone
        const followed = copies.live(topic)
        if (followed !== undefined) return Effect.succeed(Option.fromNullable(followed.copy.roster.entry(key)))
        const partition = membership.of(topic)
        partition.use()
        return Effect.map(
          ask(`reading ${JSON.stringify(topic)}`, () => cache.get(partition.keys, topic, key)),
          (members) =>
            members.length === 0
              ? Option.none()
              : Option.some(Object.freeze({ key, metas: Object.freeze(members.map(({ meta }) => meta)) }))
        )
      }),

    count: (topic: string) =>
      Effect.map(
        counts([topic], () => JSON.stringify(topic)),
        (counts) => counts.get(topic) ?? NONE
      ),

    counts: (topics: ReadonlyArray<string>) => counts(topics, () => `${topics.length} topics`),

    topicsOf: (key: string): Effect.Effect<ReadonlyArray<string>, PresenceUnavailable> =>
      Effect.suspend((): Effect.Effect<ReadonlyArray<string>, PresenceUnavailable> => {
        if (isClosed() || !isUsableKey(key)) return Effect.succeed(NOBODY)
        return ask(`looking for ${JSON.stringify(key)}`, async () => {
          // A page may show a topic twice.
          const found = new Set<string>()
          const look = async (keys: Keys): Promise<void> => {
            const onForeign = () => membership.onForeign(keys.keyIndex, "is no sorted set, as it should be")
            const pages = keyIndex ? topicsWith(port, keys, key, onForeign) : topics(port, keys)
            for await (const topics of pages) {
              if (topics.length === 0) continue
              for (const topic of await calls.having(port, keys, topics, key)) found.add(topic)
            }
          }
          for (const partition of membership.partitions) partition.use()
          await Promise.all(membership.partitions.map(({ keys }) => look(keys)))
          return Array.from(found)
        })
      }),

    topics: Effect.suspend((): Effect.Effect<ReadonlyArray<string>, PresenceUnavailable> => {
      if (isClosed()) return Effect.succeed(NOBODY)
      return ask("reading the topics", async () => {
        const found: Array<string> = []
        for (const partition of membership.partitions) {
          partition.use()
          for (const topic of await cache.topics(partition.keys)) found.push(topic)
        }
        return found
      })
    })
  }
}
