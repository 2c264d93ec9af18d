/** A bare socket that says and hears frames, for what no published client would do. */
import { Effect, type Scope } from "effect"
import { type ClientOptions, WebSocket } from "ws"

type Frame = readonly [joinRef: unknown, ref: unknown, topic: string, event: string, payload: Record<string, unknown>]

export class RawClient {
  readonly frames: Array<Frame> = []
  closed: { readonly code: number; readonly reason: string } | undefined
  private readonly watchers = new Set<() => void>()

  constructor(readonly ws: WebSocket) {
    ws.on("message", (data, isBinary) => {
      if (!isBinary) this.frames.push(JSON.parse(String(data)))
      this.changed()
    })
    ws.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) }
      this.changed()
    })
    ws.on("error", () => this.changed())
  }

  say(...frame: [unknown, unknown, unknown, unknown, unknown]): void {
    this.ws.send(JSON.stringify(frame))
  }

  /** Waits for the thing itself, however long it takes; the test's own time limit is the end of it. */
  readonly until = <A>(look: () => A | undefined | false): Effect.Effect<A> =>
    Effect.async<A>((resume) => {
      const watch = () => {
        const found = look()
        if (found === undefined || found === false) return
        this.watchers.delete(watch)
        resume(Effect.succeed(found))
      }
      this.watchers.add(watch)
      watch()
      return Effect.sync(() => this.watchers.delete(watch))
    })

  /** The first frame from `from` on that has this event, and this ref where one is given. */
  readonly heard = (event: string, ref?: unknown, from = 0): Effect.Effect<Frame> =>
    this.until(() =>
      this.frames.find((frame, i) => i >= from && frame[3] === event && (ref === undefined || frame[1] === ref))
    )

  readonly reply = (ref: unknown): Effect.Effect<Record<string, unknown>> =>
    Effect.map(this.heard("phx_reply", ref), (frame) => frame[4])

  readonly end = this.until(() => this.closed)

  private changed(): void {
    for (const watch of Array.from(this.watchers)) watch()
  }
}

/** An open socket, or the HTTP status it was refused with. */
export const connect = (
  url: string,
  options: ClientOptions & { readonly protocols?: ReadonlyArray<string> } = {}
): Effect.Effect<RawClient, number, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<RawClient, number>((resume) => {
      const ws = new WebSocket(url, [...(options.protocols ?? [])], options)
      const client = new RawClient(ws)
      ws.on("open", () => resume(Effect.succeed(client)))
      ws.on("unexpected-response", (_, response) => {
        response.resume()
        resume(Effect.fail(response.statusCode ?? 0))
      })
      ws.on("error", () => resume(Effect.fail(0)))
    }),
    ({ ws }) => Effect.sync(() => ws.terminate())
  )

export const phoenixUrl = (url: string, query = "vsn=2.0.0"): string => `${url}/socket/websocket?${query}`

export const supabaseUrl = (url: string, query = "vsn=2.0.0"): string =>
  `${url}/realtime/v1/websocket?apikey=k&${query}`
