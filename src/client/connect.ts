/**
 * The client: one socket for all the rooms that a page has joined.
 *
 * It connects with the first room and lets go of the socket with the last, so a client that nobody uses costs nothing:
 * also on a server that renders pages, where nobody joins. Whatever becomes of the connection, it comes back by itself,
 * and rooms join again with the newest key, meta and token.
 */
import { type Frame, Serializer, Socket } from "phoenix"
import { checkName } from "../internal/input/names.js"
import { ClientError, show } from "./errors.js"
import { makeRoom, readObject } from "./makeRoom.js"
import type { Room } from "./room.js"
import { type TokenSource, Tokens } from "./tokens.js"
import { CLOSED, type JoinPayload, LEFT, Topic, type Wanted } from "./topic.js"
import { type TransportConstructor, withToken } from "./transport.js"
import { onWake } from "./wake.js"

/**
 * Options of {@link connect}.
 *
 * @since 0.2.0
 * @category models
 */
export interface ConnectOptions {
  /**
   * Who one is, for servers that check it: a token, or a function that gives a fresh one, now or later. It is asked
   * before the first connection, again when what it gave has ended (a JWT a little before) and when the server refuses
   * that. `undefined` is no token. Where one throws, gives something else or takes more than 10 seconds, rooms are
   * `refused` with that as the reason, and it is asked again.
   */
  readonly token?: TokenSource
  /** Milliseconds that a presence stays after its last room was left, so that who joins again at once never left. Default 200. */
  readonly leaveDelay?: number
  /** Default the `WebSocket` of the browser, or of Node 22. Node 20 has none: `ws`. */
  readonly transport?: TransportConstructor
}

/**
 * Options of {@link Client.join}.
 *
 * @since 0.2.0
 * @category models
 */
export interface JoinOptions<Meta extends object> {
  /** Who one is on the list; where the server checks tokens, the one that it takes from there. Without a key one watches. */
  readonly key?: string | undefined
  /** What others see of this connection: an object of JSON values. Default `{}`. */
  readonly meta?: Meta | undefined
}

/**
 * A client. See {@link connect}.
 *
 * @since 0.2.0
 * @category models
 */
export interface Client {
  /**
   * Joins a topic. A client has one presence on each: joining a topic that is joined gives a room that shares it, and a
   * key or meta that is given replaces what it had. Throws {@link ClientError}: `InvalidTopic`, `InvalidKey`,
   * `InvalidMeta`, `InvalidOption` where there is no WebSocket, `Closed`.
   */
  readonly join: <Meta extends object = Readonly<Record<string, unknown>>>(
    topic: string,
    options?: JoinOptions<Meta>
  ) => Room<Meta>
  /** Leaves all rooms at once, for good. Twice is once. */
  readonly close: () => void
}

/**
 * A client of the server at `url`: `wss://example.com/socket`, or `/socket` for the host that the page came from. Where
 * a url has no path, it is `/socket`. Nothing is sent before the first join.
 *
 * ```ts
 * import { connect } from "effect-presence/client"
 *
 * const client = connect("ws://127.0.0.1:4000/socket")
 * const room = client.join("lobby", { key: "alice", meta: { typing: false } })
 * const stop = room.subscribe(({ others, status }) => console.log(status, others.map(({ key }) => key)))
 * room.update({ typing: true })
 * ```
 *
 * Throws {@link ClientError} with `InvalidOption`.
 *
 * @since 0.2.0
 * @category constructors
 */
export const connect = (url: string, options: ConnectOptions = {}): Client => {
  const endPoint = readUrl(url)
  const { token, leaveDelay = 200, transport = (globalThis as { readonly WebSocket?: unknown }).WebSocket } = options
  if (!["string", "function", "undefined"].includes(typeof token)) {
    throw invalid("token", token, "a string, or a function that gives one, is allowed")
  }
  if (typeof leaveDelay !== "number" || !(leaveDelay >= 0 && leaveDelay < 2 ** 31)) {
    throw invalid("leaveDelay", leaveDelay, "milliseconds from 0 to 2 ** 31 are allowed")
  }
  const topics = new Map<string, Shared>()
  const tokens = new Tokens(
    token,
    (fresh) => {
      for (const { topic } of topics.values()) topic.renewed(fresh)
    },
    (reason) => {
      for (const { topic } of topics.values()) topic.refused(reason)
    }
  )
  let socket: Socket | undefined
  let closed = false

  const open = (): Socket => {
    if (socket === undefined) {
      if (typeof transport !== "function") {
        throw invalid("transport", transport, "there is no WebSocket here, so a class of one must be given, as of `ws`")
      }
      const made = new Socket(endPoint, {
        transport: withToken(transport as TransportConstructor, tokens),
        encode: encode(tokens),
        reconnectAfterMs: (tries: number) => spread(Math.min(50 * 2 ** tries, 5_000)),
        rejoinAfterMs: (tries: number) => spread([100, 1_000, 2_000, 5_000][tries - 1] ?? 10_000)
      })
      onWake(made, () => topics.size > 0)
      socket = made
    }
    socket.connect()
    return socket
  }

  const end = ({ topic, leaving }: Shared): void => {
    clearTimeout(leaving)
    if (topics.get(topic.name)?.topic !== topic) return
    topics.delete(topic.name)
    if (topics.size > 0) return
    tokens.stop()
    socket?.disconnect()
  }

  const begin = (name: string, wanted: Wanted): Shared => {
    const topic = new Topic(open(), name, wanted, {
      refused: () => tokens.forget(),
      closed: () => end(shared)
    })
    const shared: Shared = { topic, rooms: 0, leaving: undefined }
    topics.set(name, shared)
    return shared
  }

  const join = (name: string, { key, meta }: JoinOptions<object> = {}): Room => {
    if (closed) throw new ClientError("Closed", `join of topic ${show(name)} after ${CLOSED}`)
    check("InvalidTopic", "the topic", name)
    if (key !== undefined && key !== null) check("InvalidKey", `the key on topic ${show(name)}`, key)
    const given = meta === undefined ? undefined : readObject("InvalidMeta", name, meta)
    const known = topics.get(name)
    const before = known !== undefined && known.rooms > 0 ? known.topic.current : { key: undefined, meta: {} }
    const wanted = { key: key ?? before.key, meta: given ?? before.meta }
    const shared = known ?? begin(name, wanted)
    if (known !== undefined) known.topic.want(wanted)
    shared.rooms++
    clearTimeout(shared.leaving)
    return makeRoom(shared.topic, () => {
      shared.rooms--
      if (shared.rooms > 0) return
      shared.leaving = setTimeout(() => {
        shared.topic.leave(LEFT)
        end(shared)
      }, leaveDelay)
    })
  }

  return {
    join: join as Client["join"],
    close: () => {
      closed = true
      for (const shared of topics.values()) {
        shared.topic.leave(CLOSED)
        end(shared)
      }
    }
  }
}

/** One topic, and how many rooms share it. It goes a moment after the last. */
interface Shared {
  readonly topic: Topic
  rooms: number
  leaving: ReturnType<typeof setTimeout> | undefined
}

/** Those of many clients who lost the same server do not come back in the same moment. */
const spread = (millis: number): number => millis * (0.75 + Math.random() / 2)

/** A join is written when its token is there, with what is wanted by then. */
const encode =
  (tokens: Tokens) =>
  (frame: Frame, send: (encoded: string | ArrayBuffer) => void): void => {
    const payload = frame.payload
    if (typeof payload !== "function") {
      Serializer.encode(frame, send)
      return
    }
    tokens.current().then(
      (token) => Serializer.encode({ ...frame, payload: (payload as JoinPayload)(token) }, send),
      // Those who are not joined have heard why, and the join is made again when nothing answers.
      () => {}
    )
  }

const readUrl = (url: unknown): string => {
  const [, scheme, host = "", path = ""] =
    typeof url === "string" ? (/^(?:(ws|http)(s?:\/\/[^/?#\s]+))?(\/[^?#\s]*)?$/.exec(url) ?? []) : []
  if (typeof url !== "string" || url === "" || (scheme === undefined && path === "")) {
    throw invalid("url", url, "one like wss://example.com/socket or /socket is allowed, without a query")
  }
  const trimmed = path.replace(/\/+$/, "")
  return (scheme === undefined ? "" : `ws${host}`) + (trimmed === "" ? "/socket" : trimmed)
}

const check = (tag: "InvalidTopic" | "InvalidKey", what: string, name: unknown): void => {
  const refusal = checkName(name, Number.POSITIVE_INFINITY)
  if (refusal?._tag === "Invalid") {
    throw new ClientError(tag, `${what} ${show(name)} ${refusal.reason}: a string that is not empty is allowed`)
  }
}

const invalid = (option: string, value: unknown, allowed: string): ClientError =>
  new ClientError(
    "InvalidOption",
    `${option} is ${typeof value === "string" ? show(value) : String(value)}: ${allowed}`
  )
