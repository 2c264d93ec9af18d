/** The client over `ws`, closed with the test, and waiting for what a room shows. */
import { Effect, type Scope } from "effect"
import { WebSocket } from "ws"
import {
  type Client,
  type ConnectOptions,
  connect,
  type Entry,
  type Room,
  type RoomState,
  type RoomStatus
} from "../../../src/client/index.js"

export const makeClient = (url: string, options: ConnectOptions = {}): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => connect(url, { transport: WebSocket, ...options })),
    (client) => Effect.sync(() => client.close())
  )

/** Until a room shows something. */
export const shows = <Meta extends object>(
  room: Pick<Room<Meta>, "subscribe">,
  look: (state: RoomState<Meta>) => boolean
): Effect.Effect<RoomState<Meta>> =>
  Effect.async((resume) => {
    // It may be called before it has returned.
    let found = false
    const stop = room.subscribe((state) => {
      if (found || !look(state)) return
      found = true
      queueMicrotask(() => stop())
      resume(Effect.succeed(state))
    })
    return Effect.sync(() => stop())
  })

/** `alice {"a":1}`, one for each connection. */
export const list = (entries: ReadonlyArray<Entry<object>>): ReadonlyArray<string> =>
  entries.flatMap(({ key, metas }) => metas.map((meta) => `${key} ${JSON.stringify(meta)}`))

export const sees = <Meta extends object>(
  room: Pick<Room<Meta>, "subscribe">,
  ...expected: ReadonlyArray<string>
): Effect.Effect<RoomState<Meta>> =>
  shows(room, ({ entries, status }) => status === "joined" && list(entries).join() === expected.join())

export const is = <Meta extends object>(
  room: Pick<Room<Meta>, "subscribe">,
  status: RoomStatus
): Effect.Effect<RoomState<Meta>> => shows(room, (state) => state.status === status)
