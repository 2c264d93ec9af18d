/**
 * What is told on the channel `presence:{topic}`, and by `events` and `subscribe`.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { metaSchema } from "./internal/input/metaSchema.js"
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

const event = <A, R>(meta: Schema.Schema<A, Json, R>) =>
  Schema.Union(
    Schema.Struct({ type: Schema.Literal("join"), key: Schema.String, meta }),
    Schema.Struct({ type: Schema.Literal("leave"), key: Schema.String }),
    Schema.Struct({ type: Schema.Literal("update"), key: Schema.String, meta })
  )

/**
 * The schema of a {@link PresenceEvent}. Its encoded form, as JSON text, is exactly what the channel carries:
 * `{"type":"join","key":"alice","meta":{"role":"viewer"}}`.
 *
 * @since 0.1.0
 * @category models
 */
export const PresenceEvent: Schema.Schema<PresenceEvent> & {
  /**
   * The schema of events whose metas have a type of your own, in the same JSON. A meta that does not decode fails the whole;
   * `forSchema` leaves such out.
   *
   * @since 0.2.0
   */
  readonly schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => Schema.Schema<PresenceEvent<A>, PresenceEvent, R>
} = Object.assign(event(Json).annotations({ identifier: "PresenceEvent" }), {
  schema: <A, I, R>(meta: Schema.Schema<A, I, R>) => event(metaSchema(meta)).annotations({ title: "PresenceEvent" })
})
