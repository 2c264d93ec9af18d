/**
 * One line of a list: a key and what its connections carry.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { metaSchema } from "./internal/input/metaSchema.js"
import { Json } from "./Json.js"

/**
 * A key of a topic with the metas of its connections, oldest first. Never empty, frozen.
 *
 * @since 0.1.0
 * @category models
 */
export interface PresenceEntry<A = Json> {
  readonly key: string
  readonly metas: ReadonlyArray<A>
}

const entry = <A, R>(meta: Schema.Schema<A, Json, R>) =>
  Schema.Struct({ key: Schema.String, metas: Schema.Array(meta) })

/**
 * The schema of a {@link PresenceEntry}, as `GET /presence/:topic` answers it.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceEntry: Schema.Schema<PresenceEntry> & {
  /**
   * The schema of one whose metas have a type of your own, in the same JSON. A meta that does not decode fails the whole;
   * `forSchema` leaves such out.
   *
   * ```ts
   * import { Schema } from "effect"
   * import { PresenceEntry } from "effect-presence"
   *
   * const Viewer = Schema.Struct({ name: Schema.String, since: Schema.DateFromString })
   * const decodeList = Schema.decodeUnknown(Schema.Array(PresenceEntry.schema(Viewer)))
   * ```
   *
   * @since 0.2.0
   */
  readonly schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => Schema.Schema<PresenceEntry<A>, PresenceEntry, R>
} = Object.assign(entry(Json).annotations({ identifier: "PresenceEntry" }), {
  schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => entry(metaSchema(meta)).annotations({ title: "PresenceEntry" })
})
