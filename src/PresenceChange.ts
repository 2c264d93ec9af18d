/**
 * What a follower of a topic is told: first a {@link Snapshot}, then every {@link Diff}.
 *
 * A diff applies to the state at `from` and leads to the state at `version`. A `Snapshot` that comes later replaces
 * all that is known: the follower was too far behind.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { metaSchema } from "./internal/input/metaSchema.js"
import { Json } from "./Json.js"

/**
 * Why a connection is gone: its scope or `release` ended it, its ttl ran out, `evict` ended it, or its replica died.
 *
 * @since 0.1.0
 * @category models
 */
export const LeaveReason = Schema.Literal("released", "expired", "evicted", "replicaLost").annotations({
  identifier: "LeaveReason"
})

/**
 * One of the reasons why a connection is gone.
 *
 * @since 0.1.0
 * @category models
 */
export type LeaveReason = typeof LeaveReason.Type

/**
 * One tracked presence of a key. `ref` is opaque, globally unique and the same on every replica; it changes when the
 * meta changes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connection<A = Json> {
  readonly key: string
  /** Names it as it is now: an update gives it another. */
  readonly ref: string
  readonly meta: A
}

/**
 * A connection that is gone, with the reason.
 *
 * @since 0.1.0
 * @category models
 */
export interface Leave<A = Json> extends Connection<A> {
  readonly reason: LeaveReason
}

/**
 * A connection whose meta was replaced. It keeps its place; `previousRef` is the ref it had.
 *
 * @since 0.1.0
 * @category models
 */
export interface Update<A = Json> {
  readonly key: string
  readonly ref: string
  /** By which followers know it. */
  readonly previousRef: string
  readonly meta: A
}

/**
 * The whole of a topic at a version, connections sorted by key, then age.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot<A = Json> {
  readonly _tag: "Snapshot"
  readonly topic: string
  /** Names the history that versions count in: versions of two epochs say nothing of each other. */
  readonly epoch: string
  readonly version: number
  readonly connections: ReadonlyArray<Connection<A>>
}

/**
 * What changed between two versions, each list sorted by key, then age.
 *
 * @since 0.1.0
 * @category models
 */
export interface Diff<A = Json> {
  readonly _tag: "Diff"
  readonly topic: string
  /** That of the snapshot which it goes on from. */
  readonly epoch: string
  /** The version that it goes on from. */
  readonly from: number
  /** The version after it, `from` of the next. */
  readonly version: number
  readonly joins: ReadonlyArray<Connection<A>>
  readonly leaves: ReadonlyArray<Leave<A>>
  readonly updates: ReadonlyArray<Update<A>>
}

/**
 * What `changes` emits.
 *
 * @since 0.1.0
 * @category models
 */
export type PresenceChange<A = Json> = Snapshot<A> | Diff<A>

const connection = <A, R>(meta: Schema.Schema<A, Json, R>) =>
  Schema.Struct({ key: Schema.String, ref: Schema.String, meta })

const snapshot = <A, R>(meta: Schema.Schema<A, Json, R>) =>
  Schema.Struct({
    _tag: Schema.Literal("Snapshot"),
    topic: Schema.String,
    epoch: Schema.String,
    version: Schema.NonNegativeInt,
    connections: Schema.Array(connection(meta))
  })

const diff = <A, R>(meta: Schema.Schema<A, Json, R>) =>
  Schema.Struct({
    _tag: Schema.Literal("Diff"),
    topic: Schema.String,
    epoch: Schema.String,
    from: Schema.NonNegativeInt,
    version: Schema.NonNegativeInt,
    joins: Schema.Array(connection(meta)),
    leaves: Schema.Array(Schema.Struct({ key: Schema.String, ref: Schema.String, meta, reason: LeaveReason })),
    updates: Schema.Array(Schema.Struct({ key: Schema.String, ref: Schema.String, previousRef: Schema.String, meta }))
  })

/**
 * The schema of a {@link Connection}.
 *
 * @since 0.1.0
 * @category models
 */
export const Connection: Schema.Schema<Connection> = connection(Json).annotations({ identifier: "Connection" })

/**
 * The schema of a {@link Snapshot}.
 *
 * @since 0.1.0
 * @category models
 */
export const Snapshot: Schema.Schema<Snapshot> = snapshot(Json).annotations({ identifier: "Snapshot" })

/**
 * The schema of a {@link Diff}.
 *
 * @since 0.1.0
 * @category models
 */
export const Diff: Schema.Schema<Diff> = diff(Json).annotations({ identifier: "Diff" })

/**
 * The schema of a {@link PresenceChange}, as the SSE route encodes it.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceChange: Schema.Schema<PresenceChange> & {
  /**
   * The schema of changes whose metas have a type of your own, in the same JSON. A meta that does not decode fails the whole;
   * `forSchema` leaves such out.
   *
   * @since 0.2.0
   */
  readonly schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => Schema.Schema<PresenceChange<A>, PresenceChange, R>
} = Object.assign(Schema.Union(Snapshot, Diff).annotations({ identifier: "PresenceChange" }), {
  schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => {
    const encoded = metaSchema(meta)
    return Schema.Union(snapshot(encoded), diff(encoded)).annotations({ title: "PresenceChange" })
  }
})
