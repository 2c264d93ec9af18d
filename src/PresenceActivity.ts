/**
 * What `activity` tells: what happens on all topics, one connection after the other.
 *
 * @since 0.2.0
 */
import { Schema } from "effect"
import { Json } from "./Json.js"
import { LeaveReason } from "./PresenceChange.js"

/**
 * A connection that joined, that left and why, or whose meta was replaced. Unlike an event a `leave` is told of each
 * connection, not only of a key's last. A `ref` names the connection with its meta, so one that joined and one that left
 * can be told to be the same.
 *
 * @since 0.2.0
 * @category models
 */
export type PresenceActivity<A = Json> =
  | { readonly type: "join"; readonly topic: string; readonly key: string; readonly ref: string; readonly meta: A }
  | {
      readonly type: "leave"
      readonly topic: string
      readonly key: string
      readonly ref: string
      readonly meta: A
      readonly reason: LeaveReason
    }
  | {
      readonly type: "update"
      readonly topic: string
      readonly key: string
      readonly ref: string
      /** The ref that it had. */
      readonly previousRef: string
      readonly meta: A
    }

const connection = { topic: Schema.String, key: Schema.String, ref: Schema.String, meta: Json }

/**
 * The schema of a {@link PresenceActivity}.
 *
 * @since 0.2.0
 * @category models
 */
export const PresenceActivity: Schema.Schema<PresenceActivity> = Schema.Union(
  Schema.Struct({ type: Schema.Literal("join"), ...connection }),
  Schema.Struct({ type: Schema.Literal("leave"), ...connection, reason: LeaveReason }),
  Schema.Struct({ type: Schema.Literal("update"), ...connection, previousRef: Schema.String })
).annotations({ identifier: "PresenceActivity" })
