/** What client and server share: who is in a room, and what is said there. */
import { Rpc, RpcGroup } from "@effect/rpc"
import { Schema } from "effect"
import { Lagged } from "effect-presence"
import { PresenceRpc } from "effect-presence/rpc"

/** What everybody in a room shows of themselves. */
export const Person = Schema.Struct({ typing: Schema.Boolean })

export const Message = Schema.Struct({ from: Schema.String, text: Schema.String })

export class People extends PresenceRpc.make(Person) {}

export class Talk extends RpcGroup.make(
  Rpc.make("Say", { payload: { topic: Schema.String, text: Schema.String.pipe(Schema.maxLength(2_000)) } }),
  /** What is said from now on, after a welcome. */
  Rpc.make("Messages", { payload: { topic: Schema.String }, success: Message, error: Lagged, stream: true })
).middleware(PresenceRpc.Authorization) {}

export class Chat extends People.merge(Talk) {}
