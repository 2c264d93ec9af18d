/**
 * A WebSocket that asks for its token before it opens.
 *
 * Phoenix's client connects again on ways of its own (after a while, when a page is shown again, when a heartbeat stays
 * away), all of them at once and with the token it has. Each way makes a new transport, so a token that is asked for
 * here is never a stale one.
 */
import { causeOf } from "./errors.js"
import type { Tokens } from "./tokens.js"

/**
 * What is used of a WebSocket. The one of a browser and the package `ws` have it, and so has `LongPoll` of `phoenix`.
 *
 * @since 0.2.0
 * @category models
 */
export interface Transport {
  /** It may be sent on. */
  onopen: ((event: never) => unknown) | null
  /** It failed, or could not be opened; `onclose` follows. */
  onerror: ((event: never) => unknown) | null
  /** The event's `data` is a text. */
  onmessage: ((event: never) => unknown) | null
  /** It is over. The event has a `code`. */
  onclose: ((event: never) => unknown) | null
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number
  /** Sends a text. */
  send(text: string): void
  /** Ends it, with a code and a reason if any. */
  close(code?: number, reason?: string): void
}

/**
 * Makes a WebSocket: its class.
 *
 * @since 0.2.0
 * @category models
 */
export type TransportConstructor = new (url: string, protocols?: Array<string>) => Transport

interface Heard {
  readonly [name: string]: unknown
}

const CONNECTING = 0
const CLOSED = 3

/** Milliseconds that a connection has to open. Browsers wait for minutes. */
const PATIENCE = 15_000

type Handler = (event: Heard) => void

/** A transport as Phoenix's client makes one, sets its handlers and reads its state. */
export const withToken = (
  Inner: TransportConstructor,
  tokens: Tokens,
  /** It cannot even be tried. */
  onFailed: (reason: string) => void
): (new (
  url: string
) => object) =>
  class {
    onopen: Handler = nothing
    onerror: Handler = nothing
    onmessage: Handler = nothing
    onclose: Handler = nothing
    binaryType = "arraybuffer"
    timeout: unknown
    private inner: (Transport & Heard) | undefined
    private ended = false

    constructor(url: string) {
      tokens.current(true).then(
        (token) => {
          if (this.ended) return
          try {
            this.open(url, token)
          } catch (error) {
            onFailed(`there is no connection: ${causeOf(error)}`)
            this.fail()
          }
        },
        // Rooms have heard why.
        () => this.fail()
      )
    }

    get readyState(): number {
      return this.inner?.readyState ?? (this.ended ? CLOSED : CONNECTING)
    }

    get bufferedAmount(): unknown {
      return this.inner?.bufferedAmount
    }

    /** A transport that polls says so. */
    get skipHeartbeat(): unknown {
      return this.inner?.skipHeartbeat
    }

    send(text: string): void {
      this.inner?.send(text)
    }

    close(code?: number, reason?: string): void {
      if (this.inner === undefined) this.fail()
      else if (code === undefined) this.inner.close()
      else this.inner.close(code, reason)
    }

    private open(url: string, token: string | undefined): void {
      const inner = new Inner(url, token === undefined ? undefined : ["phoenix", offer(token)]) as Transport & Heard
      this.inner = Object.assign(inner, { binaryType: this.binaryType, timeout: this.timeout })
      for (const name of ["onopen", "onerror", "onmessage", "onclose"] as const) {
        inner[name] = (event: Heard) => {
          clearTimeout(late)
          this[name](event)
        }
      }
      const late = setTimeout(() => inner.close(), PATIENCE)
    }

    private fail(): void {
      if (this.ended) return
      this.ended = true
      // In a later turn, as a WebSocket does.
      queueMicrotask(() => {
        this.onerror({})
        this.onclose({ code: 1006 })
      })
    }
  }

const nothing = (): void => {}

/** As Phoenix's client offers it, in the letters that a subprotocol may have. */
const offer = (token: string): string => {
  const bytes = Array.from(new TextEncoder().encode(token), (byte) => String.fromCharCode(byte)).join("")
  return `base64url.bearer.phx.${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`
}
