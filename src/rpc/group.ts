/**
 * What a client may ask of presence, for both ends: the words and their types, nothing of how they are answered.
 */
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import * as RpcMiddleware from "@effect/rpc/RpcMiddleware"
import { Context, Schema } from "effect"
import { metaSchema } from "../internal/input/metaSchema.js"
import { PresenceChange } from "../PresenceChange.js"
import { PresenceEntry } from "../PresenceEntry.js"
import { InvalidTopic, LimitExceeded, PresenceUnavailable, TrackError, Unauthorized } from "../PresenceError.js"
import type { Grant } from "../web/Authorize.js"

/**
 * What the caller of a procedure was granted.
 *
 * @since 0.2.0
 * @category authorization
 */
export class Granted extends Context.Tag("effect-presence/rpc/Granted")<Granted, Grant>() {}

/**
 * The middleware that each procedure of a group has: who calls it, and as whom. `layerAuthorize` makes it of an
 * `Authorize`; a `Layer` of your own may give it otherwise.
 *
 * @since 0.2.0
 * @category authorization
 */
export class Authorization extends RpcMiddleware.Tag<Authorization>()("effect-presence/rpc/Authorization", {
  failure: Unauthorized,
  provides: Granted
}) {}

/**
 * `Update` found no such `Join`: it has ended, never was, or another replica has it.
 *
 * @since 0.2.0
 * @category errors
 */
export class NotJoined extends Schema.TaggedError<NotJoined>("effect-presence/rpc/NotJoined")("NotJoined", {
  topic: Schema.String,
  key: Schema.String,
  id: Schema.String
}) {
  override get message(): string {
    const [topic, key, id] = [this.topic, this.key, this.id].map((name) => JSON.stringify(name))
    return `no Join of ${key} on ${topic} with the id ${id} is open here: it has ended, or another replica has it`
  }
}

/** Written beside each procedure: what it is, whatever prefix its name has got, and what its metas are. */
export class Procedure extends Context.Tag("effect-presence/rpc/Procedure")<
  Procedure,
  {
    readonly name: "Join" | "Update" | "List" | "Count" | "Changes"
    readonly on: "join" | "read"
    readonly meta: Schema.Schema<unknown, unknown>
  }
>() {}

const ReadError = Schema.Union(InvalidTopic, LimitExceeded, PresenceUnavailable, Unauthorized)

/**
 * The procedures, for metas of a type:
 *
 * | procedure | |
 * |---|---|
 * | `Join({ topic, key, meta, id? })` | a stream: the `Snapshot` with oneself in it, then `Diff`s. Present until it ends |
 * | `Update({ topic, key, id, meta })` | replaces the meta of the `Join` with this `id`, whichever connection asks |
 * | `List({ topic })` | the entries, sorted by key |
 * | `Count({ topic })` | keys and connections |
 * | `Changes({ topic, since? })` | a stream as `Join`'s, of who only watches |
 *
 * `id` is the client's choice, 1 to 64 characters, another one for each tab: `crypto.randomUUID()`. Of two open `Join`s with
 * one id, while a client comes back, the newer is updated. A group is as any other: `.prefix("cursors.")`, `.merge(…)`.
 *
 * They fail with `Unauthorized` and what `track`, `list` and `changes` fail with. A payload that is of another type is a
 * defect of the call, with the place, as RPC has it.
 *
 * @since 0.2.0
 * @category constructors
 */
export const make = <A, I>(meta: Schema.Schema<A, I>) => {
  const json = metaSchema(meta)
  const change = PresenceChange.schema(meta)
  const procedure = (name: Context.Tag.Service<Procedure>["name"], on: "join" | "read") =>
    // What it is written for decodes what it is given, so it may forget the types.
    Context.make(Procedure, { name, on, meta: meta as unknown as Schema.Schema<unknown, unknown> })

  return RpcGroup.make(
    Rpc.make("Join", {
      payload: { topic: Schema.String, key: Schema.String, meta: json, id: Schema.optional(Schema.String) },
      success: change,
      error: Schema.Union(TrackError, Unauthorized),
      stream: true
    }).annotateContext(procedure("Join", "join")),
    Rpc.make("Update", {
      payload: { topic: Schema.String, key: Schema.String, id: Schema.String, meta: json },
      error: Schema.Union(TrackError, Unauthorized, NotJoined)
    }).annotateContext(procedure("Update", "join")),
    Rpc.make("List", {
      payload: { topic: Schema.String },
      success: Schema.Array(PresenceEntry.schema(meta)),
      error: ReadError
    }).annotateContext(procedure("List", "read")),
    Rpc.make("Count", {
      payload: { topic: Schema.String },
      success: Schema.Struct({ keys: Schema.NonNegativeInt, connections: Schema.NonNegativeInt }),
      error: ReadError
    }).annotateContext(procedure("Count", "read")),
    Rpc.make("Changes", {
      payload: {
        topic: Schema.String,
        since: Schema.optional(Schema.Struct({ epoch: Schema.String, version: Schema.NonNegativeInt }))
      },
      success: change,
      error: ReadError,
      stream: true
    }).annotateContext(procedure("Changes", "read"))
  ).middleware(Authorization)
}

/**
 * The procedures of a group for metas of type `A`.
 *
 * @since 0.2.0
 * @category models
 */
export type Procedures<A> = RpcGroup.Rpcs<ReturnType<typeof make<A, unknown>>>
