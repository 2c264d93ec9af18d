/**
 * One socket whose bytes travel by long polling: a queue of frames that a client's polls empty, and the messages of its
 * posts. It has the shape of a WebSocket, so that everything behind it is the same.
 *
 * - **One poll at a time.** A newer one takes the place of one that waits, which is answered that there is nothing.
 * - **Unsent** is what no poll has taken, and what was answered until the client has taken it: in bytes, as with sockets.
 * - **The end.** phoenix.js gives no notice; it ends the poll that waits. A poll whose client goes before its answer is
 *   through ends the socket at once, as what was in it is lost. Who stops polling is silent, and closed as such.
 */
import { EventEmitter } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { type Duration, Effect } from "effect"
import { OneByOne } from "../../web/oneByOne.js"
import type { Turns } from "../../web/turns.js"
import { readBody } from "./body.js"

/** Posts of a client that may wait for the one before; phoenix.js 1.6 sends a post for each message. */
const POSTS = 128

/** Messages of one post; phoenix.js sends what gathered while the one before was on its way. */
const MESSAGES = 1_000

/** Bytes of frames that one poll is answered, and one frame more: the others wait for the next, as what they are, shared. */
const ANSWER = 1_048_576

/** A frame as the parts it is made of, which others are sent too. */
export type PolledFrame = ReadonlyArray<Uint8Array>

/** What a poll is answered. */
export type Polled =
  | { readonly _tag: "Frames"; readonly frames: ReadonlyArray<PolledFrame> }
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Gone"; readonly reason: string }

/** What a post is answered: taken, or a status and why not. */
export type Posted = "taken" | { readonly status: number; readonly error: string }

/** What is sent: text or not, and what follows of it. */
interface Sent {
  readonly binary: boolean
  readonly rest?: ReadonlyArray<Uint8Array> | undefined
}

export class Polls extends EventEmitter {
  private frames: Array<{ readonly parts: PolledFrame; readonly length: number }> = []
  private queuedBytes = 0
  private answeredBytes = 0
  private readonly answered = new Set<ServerResponse>()
  private over: string | undefined
  private paused = false
  private readonly resumed = Effect.unsafeMakeLatch(true)
  private turn = 0
  private wake: (() => void) | undefined
  private posts = 0
  private readonly onePost = new OneByOne()

  constructor(
    private readonly frameBytes: number,
    /** How long a poll waits, and a post for the ones before it. */
    private readonly window: Duration.Duration,
    /** Those of all who poll, when many have an answer at once. */
    private readonly turns: Turns
  ) {
    super()
  }

  // What a socket does

  readonly textOnly = true

  get bufferedAmount(): number {
    return this.queuedBytes + this.answeredBytes
  }

  /** Its clients read texts only: bytes are lost to them, as they are to version 1. */
  send(bytes: Uint8Array, { binary, rest }: Sent): void {
    if (this.over !== undefined || binary) return
    const parts = rest === undefined ? [bytes] : [bytes, ...rest]
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    this.frames.push({ parts, length })
    this.queuedBytes += length
    this.wake?.()
  }

  pong(): void {}

  pause(): void {
    this.paused = true
    this.resumed.unsafeClose()
  }

  resume(): void {
    this.paused = false
    this.resumed.unsafeOpen()
  }

  close(_code: number, reason: Uint8Array): void {
    this.end(Buffer.from(reason).toString())
  }

  terminate(): void {
    for (const response of this.answered) response.destroy()
    this.end("cut off")
  }

  private end(reason: string): void {
    if (this.over !== undefined) return
    this.over = reason
    this.frames = []
    this.queuedBytes = 0
    this.wake?.()
    this.resumed.unsafeOpen()
    this.emit("close")
  }

  // What its client does

  /** What waits, or else comes within the window; it goes out with the response. */
  readonly poll = (response: ServerResponse): Effect.Effect<Polled> =>
    Effect.suspend(() => {
      const turn = ++this.turn
      let bytes = 0
      response.once("close", () => {
        this.answered.delete(response)
        this.answeredBytes -= bytes
        if (!response.writableFinished && (bytes > 0 || turn === this.turn)) this.end("the client went")
        else if (bytes > 0) this.emit("drain")
      })
      // One that waits has its answer now.
      this.wake?.()
      this.live()
      return this.more(turn).pipe(
        Effect.timeoutOption(this.window),
        Effect.map((): Polled => {
          if (this.over !== undefined) return { _tag: "Gone", reason: this.over }
          if (turn !== this.turn || this.frames.length === 0) return { _tag: "Nothing" }
          let count = 0
          while (count < this.frames.length && bytes <= ANSWER) bytes += this.frames[count++]?.length ?? 0
          const frames = this.frames.splice(0, count).map(({ parts }) => parts)
          this.queuedBytes -= bytes
          this.answeredBytes += bytes
          this.answered.add(response)
          return { _tag: "Frames", frames }
        })
      )
    })

  /** Until the poll of this turn has an answer. What is written in one go is answered in one. */
  private more(turn: number): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = (): void => {
        if (turn === this.turn && this.over === undefined && this.frames.length === 0) return
        if (this.wake === look) this.wake = undefined
        this.turns.add(() => resume(Effect.void))
      }
      this.wake = look
      look()
    })
  }

  /** What a client posts: messages line by line, else one as it is. */
  readonly post = (incoming: IncomingMessage): Effect.Effect<Posted> =>
    Effect.suspend((): Effect.Effect<Posted> => {
      if (this.posts >= POSTS) {
        return Effect.succeed({ status: 429, error: `more than ${POSTS} posts wait` })
      }
      this.posts++
      return Effect.ensuring(
        this.onePost.run(this.read(incoming)),
        Effect.sync(() => this.posts--)
      )
    }).pipe(
      Effect.timeoutTo({
        duration: this.window,
        onSuccess: (posted) => posted,
        onTimeout: (): Posted => ({ status: 408, error: "what was sent before is not taken yet" })
      })
    )

  private read(incoming: IncomingMessage): Effect.Effect<Posted> {
    const max = this.frameBytes * BODY_FRAMES
    return this.resumed.await.pipe(
      Effect.zipRight(readBody(incoming, max)),
      Effect.map((body): Posted => {
        if (this.over !== undefined) return { status: 410, error: this.over }
        if (body === "cut") return { status: 400, error: "the body is cut off" }
        const messages = body === "too large" ? undefined : readMessages(body, incoming.headers["content-type"])
        if (messages === undefined || messages.some(({ data }) => data.length > this.frameBytes)) {
          const error = `a message may have ${this.frameBytes} bytes, and all that are sent at once ${max}, in ${MESSAGES} messages`
          this.end(error)
          return { status: 413, error }
        }
        // An empty post says that its client is there, and nothing else.
        if (messages.length === 0) this.live()
        for (const { data, binary } of messages) this.emit("message", data, binary)
        return "taken"
      })
    )
  }

  /** The client is there. While no more is read that is not heard either. */
  private live(): void {
    if (!this.paused && this.over === undefined) this.emit("pong", NO_BYTES)
  }
}

/** A body may be as long as this many of the largest messages; base64 makes a third more of one. */
const BODY_FRAMES = 2

const NO_BYTES = Buffer.alloc(0)

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/**
 * phoenix.js from 1.7 on sends many at once, a line each, those of bytes as base64; 1.6 sends each alone. `undefined` when
 * they are more than may come at once.
 */
const readMessages = (
  body: Buffer,
  contentType: string | undefined
): ReadonlyArray<{ readonly data: Buffer; readonly binary: boolean }> | undefined => {
  if (!/^application\/x-ndjson\b/i.test(contentType ?? "")) return [{ data: body, binary: false }]
  const messages: Array<{ readonly data: Buffer; readonly binary: boolean }> = []
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(NEWLINE, start)
    const end = found === -1 ? body.length : found
    const line = body.subarray(start, end > start && body[end - 1] === RETURN ? end - 1 : end)
    start = end + 1
    if (line.length === 0) continue
    if (messages.length === MESSAGES) return undefined
    const text = line.toString("latin1")
    messages.push(
      BASE64.test(text)
        ? { data: Buffer.from(text, "base64"), binary: true }
        : { data: Buffer.from(line), binary: false }
    )
  }
  return messages
}

const NEWLINE = 10
const RETURN = 13
