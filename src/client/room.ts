/**
 * A room: one's own presence on a topic, and everybody's.
 */
import type { Entry } from "./roster.js"

/**
 * How a room stands.
 *
 * - `connecting`: not joined so far. Also offline, for as long as it takes.
 * - `joined`: on the list, if it has a key, and told of every change.
 * - `reconnecting`: was joined, and will be again. The entries are those of when the connection was lost.
 * - `refused`: the server, or the token function, said no, and `reason` says why. It is tried again, with a fresh token.
 * - `closed`: over for good: left, closed, or put out by the server, as `reason` says.
 *
 * @since 0.2.0
 * @category models
 */
export type RoomStatus = "connecting" | "joined" | "reconnecting" | "refused" | "closed"

/**
 * What a room shows. Frozen: a change makes a new one, in which what did not change is the same object as before.
 *
 * @since 0.2.0
 * @category models
 */
export interface RoomState<Meta extends object = Readonly<Record<string, unknown>>> {
  /** Everybody, sorted by key. */
  readonly entries: ReadonlyArray<Entry<Meta>>
  /** All but those of one's own key. */
  readonly others: ReadonlyArray<Entry<Meta>>
  /** Those of one's own key, other tabs included, once the server has told of them. */
  readonly me: Entry<Meta> | undefined
  readonly status: RoomStatus
  /** What was refused last, or why it is over. Gone once the same succeeds. */
  readonly reason: string | undefined
}

/**
 * A room that was joined. Several rooms on one topic share one presence; it ends when the last of them is left.
 *
 * @since 0.2.0
 * @category models
 */
export interface Room<Meta extends object = Readonly<Record<string, unknown>>> extends RoomState<Meta> {
  readonly topic: string
  /** All of it at once. The same object until something changes. */
  readonly state: RoomState<Meta>
  /**
   * Calls the listener now and after each change, until the function that it returns is called: what
   * `useSyncExternalStore`, Svelte's stores and a `shallowRef` of Vue want. One that throws is reported and stops no other. Throws
   * `ClientError` with `InvalidListener` for what is no function, as `on` does.
   */
  readonly subscribe: (listener: (state: RoomState<Meta>) => void) => () => void
  /**
   * Replaces one's meta. Before the join is answered it is sent after that; of many in a row the last one is certain to
   * arrive. What the server refuses becomes the `reason`. Throws `ClientError`: `InvalidMeta`, `Closed`.
   */
  readonly update: (meta: Meta | ((meta: Meta) => Meta)) => void
  /**
   * Tells the others who are here now. Before the join is answered the last 100 wait for it, up to 10 seconds. Throws
   * `ClientError`: `InvalidEvent` for one of the protocol's own, `InvalidPayload` for no JSON object, `Closed`.
   */
  readonly broadcast: (event: string, payload?: object) => void
  /** Hears what others broadcast, until the function that it returns is called. Nothing checks what they send. */
  readonly on: <Payload = unknown>(event: string, listener: (payload: Payload) => void) => () => void
  /** Others see one leave a moment later, unless the topic is joined again by then. Twice is once. */
  readonly leave: () => void
}
