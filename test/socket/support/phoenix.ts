/** The published Phoenix client over `ws`, with effects that wait for what it tells. */
import { Effect, type Scope } from "effect"
import { type Channel, Presence, Socket } from "phoenix"
import { WebSocket } from "ws"

export const phoenixSocket = (
  url: string,
  options: Record<string, unknown> = {}
): Effect.Effect<Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = new Socket(`${url}/socket`, { transport: WebSocket, ...options })
      socket.connect()
      return socket
    }),
    (socket) => Effect.sync(() => socket.disconnect())
  )

/** A channel, everything that it is told, and the list that the client keeps. */
export class Joined {
  readonly presence: Presence
  readonly told: Array<string> = []
  private readonly watchers = new Set<() => void>()

  constructor(
    readonly channel: Channel,
    readonly response: Record<string, unknown>,
    events: ReadonlyArray<string>
  ) {
    this.presence = presences.get(channel) ?? new Presence(channel)
    const note = (line: string) => {
      this.told.push(line)
      this.changed()
    }
    this.presence.onJoin((key, current, { metas }) =>
      note(`${current === undefined ? "join" : "more"} ${key} ${metas.length}`)
    )
    this.presence.onLeave((key, current, { metas }) =>
      note(`${current.metas.length === 0 ? "leave" : "less"} ${key} ${metas.length}`)
    )
    this.presence.onSync(() => this.changed())
    channel.onClose(() => note("closed"))
    channel.onError(() => note("error"))
    for (const event of events) channel.on(event, (payload) => note(`${event} ${JSON.stringify(payload)}`))
  }

  /** Who is here, as this client knows it: `alice:{"a":1}`, one for each connection. */
  get list(): ReadonlyArray<string> {
    return this.presence
      .list((key, { metas }) => metas.map(({ phx_ref, phx_ref_prev, ...meta }) => `${key}:${JSON.stringify(meta)}`))
      .flat()
      .sort()
  }

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

  readonly sees = (...expected: ReadonlyArray<string>): Effect.Effect<boolean> =>
    this.until(() => JSON.stringify(this.list) === JSON.stringify([...expected].sort()))

  readonly isTold = (line: string): Effect.Effect<boolean> => this.until(() => this.told.includes(line))

  /** The answer to a push, `timeout` when there is none. */
  readonly push = (event: string, payload: object, timeout = 10_000): Effect.Effect<readonly [string, unknown]> =>
    Effect.async((resume) => {
      const push = this.channel.push(event, payload, timeout)
      for (const status of ["ok", "error", "timeout"] as const) {
        push.receive(status, (response) => resume(Effect.succeed([status, response] as const)))
      }
    })

  readonly leave: Effect.Effect<void> = Effect.async((resume) => {
    this.channel.leave().receive("ok", () => resume(Effect.void))
  })

  private changed(): void {
    for (const watch of Array.from(this.watchers)) watch()
  }
}

const presences = new WeakMap<Channel, Presence>()

/** Joins, or fails with what the server answers. */
export const join = (
  socket: Socket,
  topic: string,
  params: object | (() => object) = {},
  events: ReadonlyArray<string> = []
): Effect.Effect<Joined, Record<string, unknown>> =>
  Effect.async((resume) => {
    const channel = socket.channel(topic, params)
    // Before the join, so that no state passes it by.
    presences.set(channel, new Presence(channel))
    let joined: Joined | undefined
    channel
      .join()
      .receive("ok", (response) => {
        joined ??= new Joined(channel, response, events)
        resume(Effect.succeed(joined))
      })
      .receive("error", (response) => resume(Effect.fail(response)))
  })
