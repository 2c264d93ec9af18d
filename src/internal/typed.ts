/**
 * A presence with typed metas: encoded on the way in, decoded on the way out.
 *
 * Others may have stored anything, so what does not decode is left out and counted; it never fails a reader. Decoded
 * entries and lists are remembered by the untyped ones they come from, so an unchanged list is not decoded again.
 */
import { Effect, Either, Option, Schema, type Scope, Stream } from "effect"
import type { Lease } from "../Lease.js"
import type { PresenceActivity } from "../PresenceActivity.js"
import type { Connection, Diff, Leave, PresenceChange, Snapshot, Update } from "../PresenceChange.js"
import type { PresenceEntry } from "../PresenceEntry.js"
import type { InvalidMeta, TrackError } from "../PresenceError.js"
import type { PresenceEvent } from "../PresenceEvent.js"
import type { Activity, Caused } from "./feed/activity.js"
import type { Changed, Delta } from "./feed/delta.js"
import { following, type OpenFeed } from "./feed/feed.js"
import type { Value } from "./input/json.js"
import { decoder } from "./input/metaSchema.js"
import { type CheckedMeta, noMeta, unfitMeta } from "./input/validate.js"
import type { OwnedLease } from "./leases/lease.js"
import * as metrics from "./metrics.js"

/** The untyped presence, with what only this package sees. */
export interface Untyped<E, Options> {
  readonly track: (
    topic: string,
    key: string,
    meta: unknown,
    options?: Options
  ) => Effect.Effect<OwnedLease, TrackError, Scope.Scope>
  readonly list: (topic: string) => Effect.Effect<ReadonlyArray<PresenceEntry>, E>
  readonly get: (topic: string, key: string) => Effect.Effect<Option.Option<PresenceEntry>, E>
  readonly live: (topic: string) => Stream.Stream<ReadonlyArray<PresenceEntry>, E>
  readonly snapshot: (topic: string) => Effect.Effect<Snapshot, E>
  readonly openFeed: OpenFeed<E>
  readonly causes: Activity
}

export const typed =
  <E, Options, Rest extends object>({
    track,
    openFeed: follow,
    causes,
    list,
    get,
    live,
    snapshot,
    ...rest
  }: Untyped<E, Options> & Rest) =>
  <A, I>(schema: Schema.Schema<A, I>) => {
    const encodeEither = Schema.encodeEither(schema)
    const decodeOption = decoder(schema)

    const encode = (topic: string, key: string, meta: A): Either.Either<I, InvalidMeta> =>
      Either.match(encodeEither(meta), {
        onLeft: (error) => Either.left(unfitMeta(topic, key, error)),
        // To `track` it would be no meta at all, which is `{}`.
        onRight: (encoded) => (encoded === undefined ? Either.left(noMeta(topic, key)) : Either.right(encoded))
      })

    const decode = (meta: Value): Option.Option<A> => {
      const decoded = decodeOption(meta)
      if (Option.isNone(decoded)) metrics.add(metrics.undecodable, 1)
      return decoded
    }

    // Reads

    const entries = new WeakMap<PresenceEntry, Option.Option<PresenceEntry<A>>>()
    const lists = new WeakMap<ReadonlyArray<PresenceEntry>, ReadonlyArray<PresenceEntry<A>>>()

    const decodeEntry = (entry: PresenceEntry): Option.Option<PresenceEntry<A>> => {
      let decoded = entries.get(entry)
      if (decoded === undefined) {
        const metas = filterMap(entry.metas, decode)
        decoded =
          metas.length === 0
            ? Option.none()
            : Option.some(Object.freeze({ key: entry.key, metas: Object.freeze(metas) }))
        entries.set(entry, decoded)
      }
      return decoded
    }

    const decodeList = (list: ReadonlyArray<PresenceEntry>): ReadonlyArray<PresenceEntry<A>> => {
      let decoded = lists.get(list)
      if (decoded === undefined) {
        decoded = Object.freeze(filterMap(list, decodeEntry))
        lists.set(list, decoded)
      }
      return decoded
    }

    const decodeConnection = ({
      key,
      ref,
      meta
    }: {
      readonly key: string
      readonly ref: string
      readonly meta: Value
    }) => Option.map(decode(meta), (meta): Connection<A> => Object.freeze({ key, ref, meta }))

    const decodeSnapshot = (snapshot: Snapshot): Snapshot<A> =>
      Object.freeze({ ...snapshot, connections: Object.freeze(filterMap(snapshot.connections, decodeConnection)) })

    // Follows

    /** Tells what a change is to who sees only metas that decode; nothing of one that they do not see. */
    const tell = (change: Changed, to: Listener<A>): void => {
      const { type, key, ref, meta, previousRef, previousMeta, reason } = change
      const after = decode(meta)
      if (type === "update") {
        const before = decode(previousMeta)
        if (Option.isSome(after)) {
          if (Option.isSome(before)) to.update({ key, ref, previousRef, meta: after.value })
          else to.join({ key, ref, meta: after.value })
        } else if (Option.isSome(before)) to.leave({ key, ref: previousRef, meta: before.value, reason })
      } else if (Option.isSome(after)) {
        if (type === "join") to.join({ key, ref, meta: after.value })
        else to.leave({ key, ref, meta: after.value, reason })
      }
    }

    const decodeDiff = (delta: Delta): Diff<A> => {
      const joins: Array<Connection<A>> = []
      const leaves: Array<Leave<A>> = []
      const updates: Array<Update<A>> = []
      const lists: Listener<A> = {
        join: (connection) => joins.push(connection),
        leave: (connection) => leaves.push(connection),
        update: (connection) => updates.push(connection)
      }
      for (const change of delta.sorted) tell(change, lists)
      const { topic, epoch, from, version } = delta
      return { _tag: "Diff", topic, epoch, from, version, joins, leaves, updates }
    }

    const decodeActivity = (change: Caused): ReadonlyArray<PresenceActivity<A>> => {
      const { topic } = change
      const told: Array<PresenceActivity<A>> = []
      tell(change, {
        join: (connection) => told.push({ type: "join", topic, ...connection }),
        leave: (connection) => told.push({ type: "leave", topic, ...connection }),
        update: (connection) => told.push({ type: "update", topic, ...connection })
      })
      return told
    }

    const decodeEvents = (delta: Delta): ReadonlyArray<PresenceEvent<A>> => {
      const events: Array<PresenceEvent<A>> = []
      for (const change of delta.changes) {
        const { type, key, last } = change
        if (type === "leave") {
          if (last) events.push({ type, key })
          continue
        }
        const after = decode(change.meta)
        const before = type === "update" ? decode(change.previousMeta) : Option.none()
        if (Option.isSome(after)) {
          events.push({ type: Option.isSome(before) ? "update" : "join", key, meta: after.value })
        } else if (Option.isSome(before) && last) events.push({ type: "leave", key })
      }
      return events
    }

    // Leases

    const typedLease = (lease: OwnedLease): Lease<A, A> => ({
      topic: lease.topic,
      key: lease.key,
      get ref() {
        return lease.ref
      },
      get refresh() {
        return lease.refresh
      },
      update: (next: A | ((meta: A) => A)) => {
        const { owner } = lease.leases
        return owner.update(lease, (current): CheckedMeta => {
          let meta: A
          if (typeof next === "function") {
            // What this lease stored was encoded by the same schema, so it decodes.
            meta = (next as (meta: A) => A)(Schema.decodeUnknownSync(schema)(current))
          } else meta = next
          return Either.match(encode(lease.topic, lease.key, meta), {
            onLeft: (error): CheckedMeta => error,
            onRight: (encoded) => owner.checkMeta(lease.topic, lease.key, encoded)
          })
        })
      },
      get release() {
        return lease.release
      },
      get ended() {
        return lease.ended
      }
    })

    return {
      ...rest,
      track: (topic: string, key: string, meta: A, options?: Options) =>
        Effect.suspend(() => encode(topic, key, meta)).pipe(
          Effect.flatMap((encoded) => track(topic, key, encoded, options)),
          Effect.map(typedLease)
        ),
      list: (topic: string) => Effect.map(list(topic), decodeList),
      get: (topic: string, key: string) => Effect.map(get(topic, key), Option.flatMap(decodeEntry)),
      // What nobody here can decode changes the list, and nothing that is shown.
      live: (topic: string) => Stream.changesWith(Stream.map(live(topic), decodeList), isSame),
      activity: causes.stream(decodeActivity),
      snapshot: (topic: string) => Effect.map(snapshot(topic), decodeSnapshot),
      ...following<E, PresenceEvent<A>, PresenceChange<A>>(follow, {
        events: decodeEvents,
        diff: decodeDiff,
        snapshot: decodeSnapshot
      })
    }
  }

/** Who is told one by one. */
interface Listener<A> {
  readonly join: (connection: Connection<A>) => unknown
  readonly leave: (connection: Leave<A>) => unknown
  readonly update: (connection: Update<A>) => unknown
}

const isSame = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((entry, index) => entry === b[index])

const filterMap = <A, B>(values: ReadonlyArray<A>, f: (value: A) => Option.Option<B>): Array<B> => {
  const out: Array<B> = []
  for (const value of values) {
    const mapped = f(value)
    if (Option.isSome(mapped)) out.push(mapped.value)
  }
  return out
}
