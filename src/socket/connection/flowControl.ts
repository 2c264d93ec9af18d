/**
 * The bytes of one open socket, both ways.
 *
 * - **In.** What the client sends waits in a line for whoever takes it. While the line is long, or the socket is full, no
 *   more is read, and TCP slows the client down.
 * - **Out.** A client that does not read is written nothing more once `unsentBytes` wait for it; answers and echoes
 *   neither, since what it sends is not taken either. When it has drained it catches up; when it does not drain in time it
 *   is cut off.
 * - **The end**, whichever it is (the client goes, is silent, sends what is no frame, is cut off, the server closes), is
 *   told at once, and again once nothing is left of it.
 */
import type { RawData } from "ws"
import type { Frame } from "../topic/audience.js"
import * as pace from "./rateLimit.js"

/** How many inputs, or bytes of them, may wait before no more are read. */
const LINE_LENGTH = 16
const LINE_BYTES = 65_536

/** What a close frame holds of a reason, whole characters only: longer ones are cut. */
const farewell = new Uint8Array(123)
const encoder = new TextEncoder()

/** What came from the client, or an order from inside for the same line. */
export type Input<Order> =
  | { readonly _tag: "Text" | "Binary" | "Ping" | "Pong"; readonly data: Buffer }
  | { readonly _tag: "Order"; readonly order: Order }

export interface FlowLimits {
  readonly rate: pace.Rate
  readonly allowance: pace.Allowance & { readonly unsentBytesMax: number }
  /** Milliseconds that a client may be silent. */
  readonly idleTimeout: number
}

/** What carries the bytes: a WebSocket, or whatever has its shape. */
export interface Transport {
  on(event: "message", listener: (data: RawData, isBinary: boolean) => void): unknown
  on(event: "ping" | "pong", listener: (data: Buffer) => void): unknown
  on(event: "error" | "close", listener: () => void): unknown
  /** Its client reads no frames of bytes. */
  readonly textOnly?: boolean
  /** Bytes that wait to be sent. */
  readonly bufferedAmount: number
  /** Bytes that have come of a message that is not whole, where it is read bit by bit. */
  readonly unfinished?: number
  send(bytes: Uint8Array, options: Omit<Frame, "bytes">): void
  pong(data: Buffer): void
  pause(): void
  resume(): void
  close(code: number, reason: Buffer): void
  terminate(): void
}

/** What tells that bytes were sent, and may gather what is written in one turn. */
export interface Draining {
  on(event: "drain", listener: () => void): unknown
  cork?(): void
  uncork?(): void
}

/** Told what happens to the bytes. None of these may wait. */
export interface FlowListener {
  /** `take` may have another answer. */
  onInput(): void
  /** A full socket has drained. */
  onDrain(): void
  /** The socket is closed, or being closed. */
  onEnding(): void
  /** Nothing is left of it. */
  onClosed(): void
}

export class FlowControl<Order> {
  private ended = false
  private readonly line: Array<Input<Order>> = []
  private lineBytes = 0
  private reading = true
  private heardAt: number
  private bucket: pace.Bucket
  private fullSince: pace.FullSince

  constructor(
    private readonly ws: Transport,
    raw: Draining,
    private readonly limits: FlowLimits,
    /** Milliseconds since some moment, which never go back. */
    private readonly now: () => number,
    private readonly listener: FlowListener
  ) {
    this.heardAt = now()
    this.bucket = pace.full(limits.rate, this.heardAt)
    ws.on("message", (data: RawData, isBinary) => {
      // With the default `binaryType` a message is one Buffer.
      this.hear({ _tag: isBinary ? "Binary" : "Text", data: data as Buffer })
    })
    ws.on("ping", (data) => this.hear({ _tag: "Ping", data }))
    // Nobody asked for one, but reading it costs as much.
    ws.on("pong", (data) => this.hear({ _tag: "Pong", data }))
    // `ws` has told the client what is wrong, and closes.
    ws.on("error", () => this.end())
    ws.on("close", () => {
      this.end()
      this.listener.onClosed()
    })
    raw.on("drain", () => this.measure())
  }

  // The end

  get isEnding(): boolean {
    return this.ended
  }

  /** Tells the client why, and closes. */
  close(code: number, reason: string): void {
    if (this.ended) return
    this.end()
    // A client that is not read could not be heard to close either.
    this.ws.resume()
    const { written } = encoder.encodeInto(reason, farewell)
    this.ws.close(code, Buffer.from(farewell.subarray(0, written)))
  }

  /** Ends it without a word: nobody would read it. */
  cut(): void {
    this.end()
    this.ws.terminate()
  }

  private end(): void {
    if (this.ended) return
    this.ended = true
    this.listener.onEnding()
  }

  /**
   * To be called now and then, with the milliseconds for which the process stood still since: nobody could be heard then, nor be
   * written anything.
   */
  tick(stoodStill = 0): void {
    this.heardAt = Math.min(this.now(), this.heardAt + stoodStill)
    if (this.fullSince !== undefined) this.fullSince = Math.min(this.now(), this.fullSince + stoodStill)
    this.measure()
    // One that is full has a time of its own.
    if (this.ended || this.fullSince !== undefined) return
    if (this.now() - this.heardAt >= this.limits.idleTimeout) this.close(1001, "silent for too long")
  }

  // Out

  /** Whether the client reads frames of bytes. */
  get takesBytes(): boolean {
    return this.ws.textOnly !== true
  }

  /** Bytes that wait to be sent. */
  get unsent(): number {
    return this.ended ? 0 : this.ws.bufferedAmount
  }

  /** Bytes that have come of a message that is not whole. */
  get unfinished(): number {
    return this.ended ? 0 : (this.ws.unfinished ?? 0)
  }

  /** Whether more may be written. */
  get open(): boolean {
    return this.fullSince === undefined && !this.ended
  }

  write({ bytes, binary, rest }: Frame): void {
    if (this.ended) return
    if (this.fullSince !== undefined && this.ws.bufferedAmount > this.limits.allowance.unsentBytesMax) {
      this.cut()
    } else {
      this.ws.send(bytes, { binary, rest })
      this.measure()
    }
  }

  pong(data: Buffer): void {
    if (this.ended) return
    this.ws.pong(data)
    this.measure()
  }

  private measure(): void {
    if (this.ended) return
    const before = this.fullSince
    const unsent = this.ws.bufferedAmount
    // As nearly always, and without a look at the clock.
    if (before === undefined && unsent <= this.limits.allowance.unsentBytes) return
    const { fullSince, cut } = pace.press(this.limits.allowance, before, unsent, this.now())
    this.fullSince = fullSince
    if (cut) this.cut()
    if (this.ended || (fullSince === undefined) === (before === undefined)) return
    if (fullSince === undefined) this.listener.onDrain()
    this.regulate()
    this.listener.onInput()
  }

  // In

  private hear(input: Input<Order> & { readonly data: Buffer }): void {
    if (this.ended) return
    this.heardAt = this.now()
    this.lineBytes += input.data.length
    this.line.push(input)
    this.regulate()
    this.listener.onInput()
  }

  order(order: Order): void {
    this.line.push({ _tag: "Order", order })
    // Not at once: who gives orders is in the midst of telling everybody something.
    queueMicrotask(() => this.listener.onInput())
  }

  /** Reads, or stops reading, as there is room. */
  private regulate(): void {
    if (this.ended) return
    const room = this.line.length < LINE_LENGTH && this.lineBytes < LINE_BYTES
    const reading = this.fullSince === undefined && room
    if (reading === this.reading) return
    this.reading = reading
    if (reading) {
      // While nothing was read, nothing could be heard.
      this.heardAt = this.now()
      this.ws.resume()
    } else {
      this.ws.pause()
    }
  }

  /** Whether there is something to take, now or later. */
  get hasInput(): boolean {
    return !this.ended && this.fullSince === undefined && this.line.length > 0
  }

  /** The next input, or how long to wait for it (milliseconds; `Infinity`: until `onInput`), or that there is none. */
  take(): Input<Order> | number | "ended" {
    if (this.ended) return "ended"
    const input = this.fullSince === undefined ? this.line[0] : undefined
    if (input === undefined) return Number.POSITIVE_INFINITY
    if (input._tag !== "Order") {
      const now = this.now()
      const { bucket, wait } = pace.take(this.limits.rate, this.bucket, now, pace.costOf(input.data.length))
      this.bucket = bucket
      if (wait > 0) return wait
      // While it is not read, what is taken shows that it is waited for; when neither goes on it may be long gone.
      if (!this.reading) this.heardAt = now
      this.lineBytes -= input.data.length
    }
    this.line.shift()
    this.regulate()
    return input
  }
}
