/**
 * The client: one socket for all the rooms that a page has joined.
 *
 * It connects with the first room and lets go of the socket with the last, so a client that nobody uses costs nothing:
 * also on a server that renders pages, where nobody joins. Whatever becomes of the connection, it comes back by itself,
 * and rooms join again with the newest key, meta and token.
 */
import { type Frame, Serializer, type Socket } from "phoenix"
import { checkName, show } from "../internal/input/names.js"
import { ClientError, checkOptions, checkToken, invalid } from "./errors.js"
import { makeRoom, readObject } from "./makeRoom.js"
import type { Room } from "./room.js"
import { type TokenSource, Tokens } from "./tokens.js"
import { CLOSED, type JoinPayload, LEFT, Topic, type Wanted } from "./topic.js"
import { type TransportConstructor, withToken } from "./transport.js"
import { onWake, WakefulSocket } from "./wake.js"

/**
 * Options of {@link connect}.
 *
 * @since 0.2.0
 * @category models
 */
export interface ConnectOptions {
  /**
   * Who one is, for servers that check it: a token, or a function that gives a fresh one, now or later. It is asked
   * before the first connection, again when what it gave has ended (a JWT 10 seconds before, what says no end with each
   * connection), when the server refuses that, and for another key. `undefined` is no token. Where one throws, gives something else or takes more than 10 seconds, rooms are
   * `refused` with that as the reason, and it is asked again.
   */
  readonly token?: TokenSource | undefined
  /** Milliseconds that a presence stays after its room was left, so that who joins again at once never left. Default 200. */
  readonly leaveDelay?: number | undefined
  /** Default the `WebSocket` of the browser, or of Node 22. Node 20 has none: `ws`. */
  readonly transport?: TransportConstructor | undefined
}

/**
 * Options of {@link Client.join}.
 *
 * @since 0.2.0
 * @category models
 */
export interface JoinOptions<Meta extends object> {
  /**
   * Who one is on the list. Without a key one watches, unless the server knows who one is, as by a cookie. Where it takes
   * the key from a token, any key asks to be on the list, and `me` is whom the token names.
   */
  readonly key?: string | null | undefined
  /** What others see of this connection: an object of JSON values. Default what it is under that key already, else `{}`. */
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
   * key or meta that is given replaces what it had. Another key is another join, with a token that is asked for anew; a
   * key goes a moment after the last room that gave it. Throws {@link ClientError}: `InvalidTopic`, `InvalidKey`,
   * `InvalidMeta`, `InvalidOption`, also where there is no WebSocket, `Closed`.
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
  checkOptions("connect", options, ["token", "leaveDelay", "transport"])
  const { token, leaveDelay = 200, transport = (globalThis as { readonly WebSocket?: unknown }).WebSocket } = options
  checkToken(token)
  if (options.transport !== undefined && typeof transport !== "function") {
    throw invalid("transport", transport, "a class such as WebSocket is allowed")
  }
  if (typeof leaveDelay !== "number" || !(leaveDelay >= 0 && leaveDelay < 2 ** 31)) {
    throw invalid("leaveDelay", leaveDelay, "milliseconds from 0 to 2 ** 31 are allowed")
  }
  const topics = new Map<string, Shared>()
  const refuse = (reason: string): void => {
    for (const { topic } of topics.values()) topic.refused(reason)
  }
  const tokens = new Tokens(
    token,
    (fresh) => {
      for (const { topic } of topics.values()) topic.renewed(fresh)
    },
    refuse
  )
  let socket: Socket | undefined
  /** How often a join was refused since one was not. */
  let refusals = 0
  let closed = false

  const open = (): Socket => {
    if (socket === undefined) {
      if (typeof transport !== "function") {
        throw invalid("transport", undefined, "there is no WebSocket here, so a class of one must be given, as of `ws`")
      }
      const made = new WakefulSocket(endPoint, {
        transport: withToken(transport as TransportConstructor, tokens, refuse),
        encode: encode(tokens),
        // Who is refused at connect is cut off soon after, and shall not come back faster for it.
        reconnectAfterMs: (tries: number) =>
          spread(Math.max(Math.min(50 * 2 ** tries, 5_000), refusals && again(refusals))),
        rejoinAfterMs: (tries: number) => spread(again(Math.max(tries, refusals)))
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
      joined: () => {
        refusals = 0
      },
      refused: () => {
        refusals++
        tokens.forget()
      },
      renamed: () => {
        tokens.forget()
        if (refusals === 0 || Array.from(topics.values()).some(({ topic }) => topic.state.status === "joined")) return
        // A connection that was refused lets nobody in, and who was refused as somebody else does not wait for it.
        refusals = 0
        socket?.disconnect()
        socket?.connect()
      },
      closed: () => end(shared)
    })
    const shared: Shared = { topic, rooms: [], leaving: undefined }
    topics.set(name, shared)
    return shared
  }

  /** What nobody wants any more goes in a moment: the key of a room that was left, and with the last room the topic. */
  const review = (shared: Shared): void => {
    const { topic, rooms } = shared
    clearTimeout(shared.leaving)
    const key = rooms.findLast((room) => room.key !== undefined)?.key
    if (rooms.length > 0 && key === topic.current.key) return
    shared.leaving = setTimeout(() => {
      if (rooms.length > 0) return topic.want({ key, meta: key === undefined ? {} : topic.current.meta })
      topic.leave(LEFT)
      end(shared)
    }, leaveDelay)
  }

  const join = (name: string, options: JoinOptions<object> = {}): Room => {
    if (closed) throw new ClientError("Closed", `join of topic ${show(name)} after ${CLOSED}`)
    check("InvalidTopic", "the topic", name)
    checkOptions("join", options, ["key", "meta"])
    const room = { key: options.key ?? undefined }
    if (room.key !== undefined) check("InvalidKey", `the key on topic ${show(name)}`, room.key)
    const meta = options.meta === undefined ? undefined : readObject("InvalidMeta", name, options.meta)
    const shared = topics.get(name) ?? begin(name, { key: room.key, meta: meta ?? {} })
    const { topic, rooms } = shared
    const { current } = topic
    const key = room.key ?? current.key
    topic.want({ key, meta: meta ?? (key === current.key ? current.meta : {}) })
    rooms.push(room)
    review(shared)
    return makeRoom(topic, () => {
      rooms.splice(rooms.indexOf(room), 1)
      review(shared)
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

/** One topic, and the rooms that share it, each with the key that it gave. */
interface Shared {
  readonly topic: Topic
  readonly rooms: Array<{ readonly key: string | undefined }>
  leaving: ReturnType<typeof setTimeout> | undefined
}

/** Milliseconds until who was refused asks again. */
const again = (tries: number): number => [100, 1_000, 2_000, 5_000][tries - 1] ?? 10_000

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
