/**
 * One response of server-sent events: the state, or what was missed, then each event of its topic.
 *
 * - **A slow reader** is waited for: while its socket is full what its topic tells waits, bytes that all streams share.
 *   When they are more than `unsentBytes`, or all streams together have more than `unsentTotal` on their way, they are
 *   dropped, and it is sent the state instead.
 * - **One that reads nothing** for `unsentFor` while something is written to it is cut off.
 */
import { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import type { HttpServerRequest } from "@effect/platform"
import { Chunk, Effect, Option, Stream } from "effect"
import type { PresenceChange } from "../PresenceChange.js"
import type { Turns } from "../web/turns.js"
import type { SnapshotEvent } from "./topicState.js"

/** How long a client may take to read the rest once its response ends, in milliseconds. */
const LAST_READ = 1_000

export interface StreamOptions {
  readonly unsentBytes: number
  /** Of all clients together. */
  readonly unsentTotal: number
  readonly onTheirWay: OnTheirWay
  /** In which those who wait for news go on: what each writes may be much. */
  readonly turns: Turns
  /** Milliseconds. */
  readonly unsentFor: number
  /** Milliseconds after which the client comes back when the response is over, if it is told. */
  readonly retry: number | undefined
}

/** The bytes that all clients of a route are still to take: those that wait for them, and those in their sockets. */
export interface OnTheirWay {
  bytes: number
}

/** One listener for all streams of a socket. */
function cut(this: Socket): void {
  this.destroy()
}

export class EventStream {
  /** Whether it was ended only for its client to come back. */
  renewing = false
  private readonly socket: Socket | undefined
  private state: (() => SnapshotEvent) | undefined
  /** What is sent before all else. */
  private head: ReadonlyArray<Uint8Array>
  /** The snapshot that is being sent, and how far. */
  private sending: { readonly event: SnapshotEvent; readonly at: number } | undefined
  private waiting: Array<Uint8Array> = []
  private waitingBytes = 0
  /** Bytes that its socket has been given since it last had taken all. */
  private handedBytes = 0
  private stale = false
  private ended = false
  private wake: (() => void) | undefined
  /** Whether it is to go on when its turn comes. */
  private inLine = false
  private patience: NodeJS.Timeout | undefined
  /** Called where its client takes nothing any more, and has no connection of Node's that could be cut. */
  onAbandoned: () => void = () => {}

  constructor(
    request: HttpServerRequest.HttpServerRequest,
    private readonly options: StreamOptions
  ) {
    this.socket = socketOf(request)
    // Node would, if the program listened to no time-outs of its own. Others may wait for their turn on the same socket.
    if (this.socket?.listeners("timeout").includes(cut) === false) this.socket.on("timeout", cut)
    this.head = options.retry === undefined ? [] : [Buffer.from(`retry: ${options.retry}\n\n`)]
  }

  /**
   * From now on it is told what is new, after what it `missed` or else the state: also instead of what it missed, where that
   * is more than may wait, as it is its own and the state is everybody's. `state` tells the state as of the last event that
   * was offered.
   */
  begin(state: () => SnapshotEvent, missed?: ReadonlyArray<Uint8Array>): void {
    this.state = state
    const bytes = missed?.reduce((sum, { length }) => sum + length, 0) ?? 0
    if (missed === undefined || (bytes > 0 && this.isTooMuch(bytes))) this.sending = { event: state(), at: 0 }
    else for (const bytes of missed) this.put(bytes)
    // Headers wait for a body.
    if (this.head.length === 0 && missed?.length === 0) this.put(comment)
  }

  /** Sends an event, sooner or later, unless it will be sent the state. */
  offer(bytes: Uint8Array): void {
    if (this.state === undefined || this.stale || this.ended) return
    if (this.waiting.length > 0 && this.isTooMuch(bytes.length)) this.restart()
    else this.put(bytes)
    this.goOn()
  }

  /** Sends the state instead of all that waits. */
  restart(): void {
    this.dropWaiting()
    this.stale = this.state !== undefined
    this.goOn()
  }

  private goOn(): void {
    if (this.wake === undefined || this.inLine) return
    this.inLine = true
    this.options.turns.add(() => {
      this.inLine = false
      this.wake?.()
    })
  }

  /** To be called now and then: keeps proxies from closing a response on which nothing happens. */
  keepAlive(): void {
    if (this.waiting.length === 0) this.offer(comment)
  }

  /** Ends it after what is still to be sent. What is not read a second later is cut off. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.wake?.()
    setTimeout(() => (this.socket === undefined ? this.onAbandoned() : this.socket.destroy()), LAST_READ).unref()
  }

  /** It is over, and nothing of it is on its way. */
  forget(): void {
    this.expect(0)
    this.dropWaiting()
    this.taken()
    this.state = undefined
  }

  /** Ends it for its client to come back. */
  renew(): void {
    this.renewing = true
    this.end()
  }

  /** The body. */
  get body(): Stream.Stream<Uint8Array> {
    return Stream.repeatEffectChunkOption(this.more)
  }

  private readonly more = Effect.suspend(() => {
    // Who asks for more has taken what came before.
    this.expect(0)
    this.taken()
    return this.next
  })

  private readonly next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> = Effect.suspend(() => {
    const bytes = this.take()
    if (bytes.length > 0) {
      for (const { length } of bytes) this.handedBytes += length
      this.options.onTheirWay.bytes += this.handedBytes
      this.expect(this.options.unsentFor)
      return Effect.succeed(Chunk.unsafeFromArray(bytes))
    }
    return this.ended ? Effect.fail(Option.none()) : Effect.zipRight(this.news, this.next)
  })

  private readonly news = Effect.async<void>((resume) => {
    // Something may have come meanwhile: a fiber can be made to let others run at any point.
    if (this.ended || this.stale || this.sending !== undefined || this.waiting.length > 0) return resume(Effect.void)
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
  })

  /** Its client has so many milliseconds to take what it is given; 0: it has nothing to take. */
  private expect(ms: number): void {
    if (this.socket !== undefined) {
      this.socket.setTimeout(ms)
      return
    }
    clearTimeout(this.patience)
    if (ms > 0) this.patience = setTimeout(() => this.end(), ms).unref()
  }

  private isTooMuch(bytes: number): boolean {
    const { unsentBytes, unsentTotal } = this.options
    return this.waitingBytes + bytes > unsentBytes || this.options.onTheirWay.bytes + bytes > unsentTotal
  }

  private put(bytes: Uint8Array): void {
    this.waiting.push(bytes)
    this.waitingBytes += bytes.length
    this.options.onTheirWay.bytes += bytes.length
  }

  private dropWaiting(): void {
    this.options.onTheirWay.bytes -= this.waitingBytes
    this.waiting = []
    this.waitingBytes = 0
  }

  private taken(): void {
    this.options.onTheirWay.bytes -= this.handedBytes
    this.handedBytes = 0
  }

  /** What to write next, nothing when there is none. */
  private take(): ReadonlyArray<Uint8Array> {
    const { head, waiting } = this
    if (head.length > 0) {
      this.head = []
      return head
    }
    if (this.sending === undefined && this.stale && this.state !== undefined) {
      this.stale = false
      this.sending = { event: this.state(), at: 0 }
    }
    if (this.sending !== undefined) {
      const block = this.sending.event.block(this.sending.at)
      if (block !== undefined) {
        this.sending = { event: this.sending.event, at: block.next }
        return [block.bytes]
      }
      this.sending = undefined
      return this.take()
    }
    this.dropWaiting()
    return waiting
  }
}

/** The connection of a request, where there is a server of Node's. */
const socketOf = ({ source }: HttpServerRequest.HttpServerRequest): Socket | undefined =>
  source instanceof IncomingMessage ? source.socket : undefined

const comment = Buffer.from(": still here\n\n")

/** JSON has no line breaks, so an event has one line of data. */
export const encode = (change: PresenceChange): Uint8Array =>
  Buffer.from(
    `id: ${change.epoch}.${change.version}\nevent: ${change._tag.toLowerCase()}\ndata: ${JSON.stringify(change)}\n\n`
  )

/** What an id stands for, if it is one. */
export const resumeFrom = (
  id: string | undefined
): { readonly epoch: string; readonly version: number } | undefined => {
  const [, epoch, digits] = /^(.+)\.(\d{1,16})$/s.exec(id ?? "") ?? []
  const version = Number(digits)
  return epoch === undefined || !Number.isSafeInteger(version) ? undefined : { epoch, version }
}
