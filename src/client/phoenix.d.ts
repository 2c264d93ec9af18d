/** What is used of the `phoenix` package, which ships without types. */
declare module "phoenix" {
  export interface Frame {
    readonly join_ref: unknown
    readonly ref: unknown
    readonly topic: string
    readonly event: string
    readonly payload: unknown
  }
  export const Serializer: {
    encode(frame: Frame, callback: (result: string | ArrayBuffer) => void): void
    decode(raw: string | ArrayBuffer, callback: (frame: Frame) => void): void
  }
  export class Push {
    receive(status: "ok" | "error" | "timeout", callback: (response: Record<string, unknown>) => void): Push
  }
  export class Channel {
    readonly topic: string
    readonly state: string
    join(timeout?: number): Push
    leave(timeout?: number): Push
    push(event: string, payload: object, timeout?: number): Push
    on(event: string, callback: (payload: Record<string, unknown>) => void): number
    onClose(callback: () => void): void
    onError(callback: (reason?: unknown) => void): void
    /** Sees every event before those that were registered for it, and answers the payload. */
    onMessage: (event: string | null, payload: unknown) => unknown
    joinRef(): string
  }
  export interface Meta {
    readonly phx_ref: string
    readonly phx_ref_prev?: string
    readonly [name: string]: unknown
  }
  export type Metas = { readonly metas: ReadonlyArray<Meta> }
  export class Presence {
    constructor(channel: Pick<Channel, "on" | "joinRef">)
    readonly state: Record<string, Metas>
    onJoin(callback: (key: string, current: Metas | undefined, joined: Metas) => void): void
    onLeave(callback: (key: string, current: Metas, left: Metas) => void): void
    onSync(callback: () => void): void
    list<A>(by: (key: string, presence: Metas) => A): Array<A>
  }
  /** The transport for where no WebSocket comes through. */
  export class LongPoll {
    constructor(endPoint: string)
  }
  export class Socket {
    constructor(endPoint: string, options?: Record<string, unknown>)
    readonly conn: import("ws").WebSocket | null
    get pageHidden(): boolean
    connect(): void
    disconnect(callback?: () => void, code?: number, reason?: string): void
    isConnected(): boolean
    connectionState(): "connecting" | "open" | "closing" | "closed"
    channel(topic: string, params?: object | (() => object)): Channel
    onOpen(callback: () => void): void
    onClose(callback: (event: { readonly code: number }) => void): void
    onError(callback: (error: unknown) => void): void
    onMessage(callback: (message: Frame) => void): void
    ping(callback: (rtt: number) => void): boolean
  }
}
