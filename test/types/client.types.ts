/** What users of `effect-presence/client` infer. Compiled and never run. */
import { expectTypeOf } from "vitest"
import { WebSocket } from "ws"
import { type Client, ClientError, connect, type Entry, type Room, type RoomStatus } from "../../src/client/index.js"

declare const client: Client

expectTypeOf(connect).toBeCallableWith("/socket")
expectTypeOf(connect).toBeCallableWith("/socket", { token: async () => "token", leaveDelay: 0, transport: WebSocket })
expectTypeOf(connect).toBeCallableWith("/socket", { token: () => null })
// @ts-expect-error A token is a text.
connect("/socket", { token: () => 1 })
// @ts-expect-error There is no such option.
connect("/socket", { tokens: "" })

interface Viewer {
  readonly typing: boolean
}
export const room = client.join("lobby", { key: "alice", meta: { typing: false } })
expectTypeOf(room).toEqualTypeOf<Room<{ typing: boolean }>>()
expectTypeOf(client.join<Viewer>("lobby")).toEqualTypeOf<Room<Viewer>>()
expectTypeOf(client.join("lobby").entries).toEqualTypeOf<ReadonlyArray<Entry<Readonly<Record<string, unknown>>>>>()
expectTypeOf(client.join).toBeCallableWith("lobby", { key: null })
// @ts-expect-error A meta is an object.
client.join("lobby", { meta: "viewer" })

expectTypeOf(room.me?.metas[0]).toEqualTypeOf<{ typing: boolean } | undefined>()
expectTypeOf(room.status).toEqualTypeOf<RoomStatus>()
room.update((meta) => ({ typing: !meta.typing }))
// @ts-expect-error The wrong meta.
room.update({ typing: 1 })
// @ts-expect-error The wrong meta from a function.
room.update(() => ({}))
// @ts-expect-error What a room shows is read only.
room.entries.push({ key: "mallory", metas: [] })
room.on<Viewer>("typing", (payload) => expectTypeOf(payload).toEqualTypeOf<Viewer>())
room.on("typing", (payload) => expectTypeOf(payload).toEqualTypeOf<unknown>())
room.subscribe((state) => expectTypeOf(state.others).toEqualTypeOf<ReadonlyArray<Entry<{ typing: boolean }>>>())
// @ts-expect-error A payload is an object.
room.broadcast("typing", "yes")

declare const error: unknown
if (error instanceof ClientError && error._tag === "InvalidMeta") expectTypeOf(error.message).toEqualTypeOf<string>()
