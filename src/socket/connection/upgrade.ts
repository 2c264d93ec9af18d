/**
 * The open sockets of a route: how one is made of a request, and how all are told to come back.
 */
import type { IncomingMessage } from "node:http"
import { Duration, Effect } from "effect"
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws"
import type { FlowControl } from "./flowControl.js"

/** Milliseconds that a client may take to answer a close before its connection is cut. */
const FAREWELL = 2_000

/** Milliseconds between two groups of sockets that are told to come back. */
const PULSE = 20

/** Makes WebSockets of requests. A text says why it could not. */
export const makeUpgrade = (maxPayload: number): ((request: IncomingMessage) => WebSocket | string) => {
  const options: ServerOptions & { readonly closeTimeout: number } = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    closeTimeout: FAREWELL,
    // Answered in line with the messages, so that they count like messages.
    autoPong: false,
    // The other one that Phoenix's clients offer carries a token, and is no protocol.
    handleProtocols: (protocols) => (protocols.has("phoenix") ? "phoenix" : false)
  }
  const server = new WebSocketServer(options)
  let refusal = ""
  server.on("wsClientError", (error) => {
    refusal = error.message
  })
  return (request) => {
    let upgraded: WebSocket | undefined
    refusal = "the connection is closed"
    // What came right behind the request does not reach a route. No client sends anything before it is answered.
    server.handleUpgrade(request, request.socket, Buffer.alloc(0), (ws) => {
      upgraded = ws
    })
    return upgraded ?? refusal
  }
}

/** What there is to do with an open socket. */
export type Open = Pick<FlowControl<unknown>, "close" | "tick">

export class Sockets {
  private readonly open = new Set<Open>()
  private stopped = false
  private readonly empty = Effect.unsafeMakeLatch(true)

  constructor(
    private readonly drain: Duration.Duration,
    /** Runs it beyond the end of the request that was first to hear of the end. */
    private readonly run: (effect: Effect.Effect<void>) => void
  ) {}

  get stopping(): boolean {
    return this.stopped
  }

  add(socket: Open): void {
    this.open.add(socket)
    this.empty.unsafeClose()
  }

  delete(socket: Open): void {
    this.open.delete(socket)
    if (this.open.size === 0) this.empty.unsafeOpen()
  }

  tick(): void {
    for (const socket of this.open) socket.tick()
  }

  /** No more sockets, and those that are open are told to come back, one after the other. */
  stop(): void {
    if (this.stopped) return
    this.stopped = true
    this.run(this.draining)
  }

  /** The same, until all are closed. */
  readonly end = Effect.suspend(() => {
    this.stop()
    return this.empty.await
  })

  private readonly draining = Effect.suspend(() => {
    const flows = Array.from(this.open)
    const pulses = Math.max(1, Math.min(flows.length, Math.floor(Duration.toMillis(this.drain) / PULSE)))
    const group = Math.ceil(flows.length / pulses)
    const pause = Effect.sleep(Duration.times(this.drain, 1 / pulses))
    let at = 0
    const pulse = Effect.sync(() => {
      for (const flow of flows.slice(at, at + group)) flow.close(1012, "restart")
      at += group
    })
    const rest: Effect.Effect<void> = Effect.suspend(() =>
      at < flows.length ? Effect.zipRight(Effect.zipRight(pause, pulse), rest) : Effect.void
    )
    return Effect.zipRight(pulse, rest)
  })
}
