/**
 * phoenix.js's transport for where no WebSocket comes through: `GET` polls, `POST` sends, and the query's `token` names the
 * session. Each answer is JSON with a `status`, which is all that the client looks at; HTTP's own is 200 unless the client
 * could not have sent this.
 *
 * | answer to a poll | what phoenix.js does |
 * |---|---|
 * | 410 with a token | it had none: the socket is open |
 * | 200, 204 | takes the messages, polls again |
 * | 410, 500 | begins anew, and its channels join again |
 * | 403 | begins anew, and its page hears "forbidden" |
 *
 * To a post anything but 200 makes it begin anew. Older clients, 1.6 and 1.7, take a 410 in the middle for an open socket and
 * would wait for ever in channels that nobody knows; so the token that comes with it is {@link GONE}, which a poll is
 * answered 500.
 *
 * A session lives in one process. Its token cannot be guessed, and is told from a token of the application's own, which
 * may stand in the same place.
 */
import { randomBytes } from "node:crypto"
import type { IncomingMessage } from "node:http"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import { Chunk, Duration, Effect, Stream } from "effect"
import { Turns } from "../../web/turns.js"
import { wantsUpgrade } from "../../web/upgrades.js"
import { type PolledFrame, Polls } from "./polls.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

const METHODS = "GET, POST, OPTIONS"

const NO_UPGRADE = "a post is taken without an Upgrade header"

/** What its client asks next may be for another server: on the same connection it would not get there. */
const LAST = { connection: "close" }

/** Phoenix's own, and half of what phoenix.js waits for an answer. */
const WINDOW = Duration.seconds(10)

/** Polls that are answered in a turn: what they are answered may be long. */
const ANSWERS = 4

const PREFIX = "poll."
const GONE = `${PREFIX}gone`

export interface LongPollOptions {
  readonly frameBytes: number
  /** Milliseconds that a client may be silent. */
  readonly idleTimeout: number
  /** Sessions at once. */
  readonly longPolls: number
}

export class LongPoll {
  private readonly open = new Map<string, Polls>()
  private readonly window: Duration.Duration
  private readonly turns = new Turns(ANSWERS)

  constructor(private readonly options: LongPollOptions) {
    // Who waits in a poll is not silent.
    this.window = Duration.min(WINDOW, Duration.millis(options.idleTimeout / 2))
  }

  /** A poll or a post of a session, or what `connect` makes of a request that names none. */
  serve<R>(
    request: Request,
    incoming: IncomingMessage,
    token: string | undefined,
    connect: Effect.Effect<Response, never, R>
  ): Effect.Effect<Response, never, R> {
    if (request.method !== "GET" && request.method !== "POST") {
      const error = `the method ${request.method} is not allowed, only ${METHODS}`
      return Effect.succeed(answer({ status: 405, error }, 405, { allow: METHODS }))
    }
    const named = token?.startsWith(PREFIX) ? token : undefined
    const polls = named === undefined ? undefined : this.open.get(named)
    if (request.method === "POST") {
      // Node hands over no body with one: what was sent would be taken for nothing.
      if (wantsUpgrade(incoming)) return Effect.succeed(answer({ status: 400, error: NO_UPGRADE }, 400))
      return polls === undefined
        ? Effect.succeed(answer({ status: 410, error: "there is no such session" }))
        : Effect.map(polls.post(incoming), (posted) =>
            posted === "taken"
              ? answer({ status: 200 })
              : answer(posted, posted.status === 410 ? 200 : posted.status, LAST)
          )
    }
    if (named === undefined) return connect
    if (named === GONE) return Effect.succeed(answer({ status: 500, error: "the session is gone: begin anew" }))
    return polls === undefined ? Effect.succeed(gone("there is no such session")) : this.poll(request, named, polls)
  }

  /** A new socket, and the answer that names it; `undefined` when there are too many. */
  begin(): { readonly polls: Polls; readonly response: Response } | undefined {
    if (this.open.size >= this.options.longPolls) return undefined
    const token = `${PREFIX}${randomBytes(24).toString("base64url")}`
    const polls = new Polls(this.options.frameBytes, this.window, this.turns)
    this.open.set(token, polls)
    polls.once("close", () => this.open.delete(token))
    return { polls, response: answer({ status: 410, token, messages: [] }) }
  }

  private poll(request: Request, token: string, polls: Polls): Effect.Effect<Response> {
    return polls.poll(toServerResponse(request)).pipe(
      Effect.map((polled) => {
        if (polled._tag === "Gone") return gone(polled.reason)
        if (polled._tag === "Nothing") return answer({ status: 204, token, messages: [] })
        return answerWith(token, polled.frames)
      }),
      // By a time-out of the program, or as the server stops: whoever asks next begins anew.
      Effect.onInterrupt(() => Effect.sync(() => polls.terminate()))
    )
  }
}

const gone = (error: string): Response => answer({ status: 410, token: GONE, messages: [], error }, 200, LAST)

/** What a request is told that cannot become a socket. A status of HTTP's own that phoenix.js does not know ends its polls. */
export const refuse = (status: number, error: string): Response =>
  answer({ status: status === 403 || status === 401 ? 403 : 500, error }, status, LAST)

/** Grants the headers that are asked for: who may not come at all has been told so. */
export const preflight = ({ headers }: Request): Response =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      allow: METHODS,
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "content-type, x-phoenix-authtoken",
      "access-control-max-age": "7200"
    }
  })

const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const answer = (body: object, status = 200, headers: Record<string, string> = {}): Response =>
  HttpServerResponse.unsafeJson(body, { status, headers: { ...HEADERS, ...headers } })

/** Bytes of an answer from which on it is written as the parts that it shares with others, rather than as a copy. */
const LONG = 65_536

/** The frames as texts, each part of which is made one once, for all who are sent it. */
const answerWith = (token: string, frames: ReadonlyArray<PolledFrame>): Response => {
  const parts: Array<Uint8Array> = [Buffer.from(`{"status":200,"token":${JSON.stringify(token)},"messages":[`)]
  frames.forEach((frame, i) => {
    parts.push(i > 0 ? NEXT : QUOTE)
    for (const part of frame) parts.push(escaped(part))
    parts.push(QUOTE)
  })
  parts.push(END)
  const contentLength = parts.reduce((bytes, { length }) => bytes + length, 0)
  const options = { headers: HEADERS, contentType: "application/json", contentLength }
  return contentLength < LONG
    ? HttpServerResponse.uint8Array(Buffer.concat(parts, contentLength), options)
    : HttpServerResponse.stream(Stream.fromChunk(Chunk.unsafeFromArray(parts)), options)
}

const QUOTE = Buffer.from('"')
const NEXT = Buffer.from(',"')
const END = Buffer.from("]}")

const texts = new WeakMap<Uint8Array, Buffer>()

/** What stands for it within a text of JSON. A part is of whole characters. */
const escaped = (part: Uint8Array): Buffer => {
  let text = texts.get(part)
  if (text === undefined) {
    const { buffer, byteOffset, byteLength } = part
    text = Buffer.from(JSON.stringify(Buffer.from(buffer, byteOffset, byteLength).toString())).subarray(1, -1)
    texts.set(part, text)
  }
  return text
}
