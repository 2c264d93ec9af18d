/** What client and server share: the procedures, for cursors. */

import { Schema } from "effect"
import { PresenceRpc } from "effect-presence/rpc"

export const Cursor = Schema.Struct({ x: Schema.Number, y: Schema.Number })

export class Cursors extends PresenceRpc.make(Cursor) {}
