/**
 * One line of a list: a key and what its connections carry.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
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

/**
 * The schema of a {@link PresenceEntry}, as `GET /presence/:topic` answers it.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceEntry: Schema.Schema<PresenceEntry> = Schema.Struct({
  key: Schema.String,
  metas: Schema.Array(Json)
}).annotations({ identifier: "PresenceEntry" })
