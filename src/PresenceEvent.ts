/**
 * What is told on the channel `presence:{topic}`, and by `events` and `subscribe`.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { Json } from "./Json.js"

/**
 * `join` for each connection that is tracked, `leave` when a key's last connection on the topic is gone, `update` when
 * a connection's meta was replaced.
 *
 * @since 0.1.0
 * @category models
 */
export type PresenceEvent<A = Json> =
  | { readonly type: "join"; readonly key: string; readonly meta: A }
  | { readonly type: "leave"; readonly key: string }
  | { readonly type: "update"; readonly key: string; readonly meta: A }

/**
 * The schema of a {@link PresenceEvent}. Its encoded form, as JSON text, is exactly what the channel carries:
 * `{"type":"join","key":"alice","meta":{"role":"viewer"}}`.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceEvent: Schema.Schema<PresenceEvent> = Schema.Union(
  Schema.Struct({ type: Schema.Literal("join"), key: Schema.String, meta: Json }),
  Schema.Struct({ type: Schema.Literal("leave"), key: Schema.String }),
  Schema.Struct({ type: Schema.Literal("update"), key: Schema.String, meta: Json })
).annotations({ identifier: "PresenceEvent" })
