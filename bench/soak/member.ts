/**
 * A member over a WebSocket, as Phoenix's client is one: it comes back with its back-off, to any replica, with the newest
 * meta; it tries again when a channel has failed; it ends a connection that does not answer its heartbeat.
 */
import { Wire } from "../e2e/wire.js"
import { type Seen, View } from "./view.js"
import type { Presence, Tracked, World } from "./world.js"

/** Milliseconds. */
const RECONNECT = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000, 5_000]
const REJOIN = [1_000, 2_000, 5_000, 10_000]

type Metas = Readonly<
  Record<string, { readonly metas: ReadonlyArray<{ readonly phx_ref: string; readonly n: number }> }>
>

const seen = (metas: Metas): ReadonlyArray<Seen> =>
  Object.entries(metas).flatMap(([key, { metas }]) => metas.map(({ phx_ref, n }) => ({ key, ref: phx_ref, n })))

export class Member implements Tracked {
  room: string | undefined
  n = 0
  /** The replica that it is connected to. */
  port: number | undefined
  readonly view = new View()
  private readonly presence: Presence
  private wire: Wire | undefined
  private isJoined = false
  /** Each join has a number of its own, by which its answers are known. */
  private ref = 0
  /** The meta that the server has taken. */
  private taken = 0
  private attempts = 0
  private refusals = 0
  private beats = 0

  constructor(
    readonly key: string,
    private readonly world: World
  ) {
    this.presence = world.enrol(this)
  }

  /** The server has answered for all that is wanted. */
  get isSettled(): boolean {
    return this.room === undefined || (this.isJoined && this.taken === this.n)
  }

  come(room: string): void {
    this.room = room
    this.connect()
  }

  /** Leaves for good, with a word or without one. */
  go(saysSo: boolean): void {
    if (saysSo && this.isJoined) {
      this.say("phx_leave", {})
      this.wire?.end()
    } else this.wire?.cut()
    this.room = undefined
    this.wire = undefined
    this.port = undefined
    this.isJoined = false
    this.presence.leaves()
  }

  /** The network fails. */
  drop(): void {
    this.wire?.cut()
  }

  update(): void {
    this.n++
    if (this.isJoined) this.track()
  }

  beat(): void {
    if (this.port === undefined) return
    if (this.beats++ > 0) this.wire?.cut()
    else this.wire?.say('[null,"beat","phoenix","heartbeat",{}]')
  }

  private track(): void {
    this.say("presence", { type: "presence", event: "track", payload: { n: this.n } }, `n${this.n}`)
  }

  private say(event: string, payload: unknown, ref = event): void {
    this.wire?.say(JSON.stringify([`${this.ref}`, ref, this.room, event, payload]))
  }

  private connect(): void {
    const port = this.world.port()
    const wire: Wire = new Wire(port, "/socket/websocket?vsn=2.0.0", {
      onOpen: () => {
        if (this.wire !== wire) return
        this.port = port
        this.beats = 0
        this.attempts = 0
        this.join()
      },
      onFrame: (bytes) => {
        if (this.wire === wire) this.hear(JSON.parse(bytes.toString()))
      },
      onClose: () => {
        if (this.wire !== wire) return
        this.lost()
        this.port = undefined
        this.later(RECONNECT, this.attempts++, wire, () => this.connect())
      }
    })
    this.wire = wire
  }

  private join(): void {
    this.ref++
    this.taken = this.n
    this.say("phx_join", { key: this.key, meta: { n: this.n } }, "join")
  }

  private lost(): void {
    if (!this.isJoined) return
    this.isJoined = false
    this.presence.gone()
    this.world.returns++
  }

  /** Unless it is on another connection by then, or nowhere. */
  private later(delays: ReadonlyArray<number>, attempt: number, wire: Wire | undefined, what: () => void): void {
    setTimeout(() => this.wire === wire && what(), delays[Math.min(attempt, delays.length - 1)])
  }

  private hear([joinRef, ref, , event, payload]: readonly [string | null, string, string, string, never]): void {
    if (ref === "beat") this.beats = 0
    if (joinRef !== null && joinRef !== `${this.ref}`) return
    if (event === "presence_diff") {
      const { joins, leaves } = payload as { readonly joins: Metas; readonly leaves: Metas }
      const gone = this.view.changes(seen(joins), seen(leaves))
      if (this.room !== undefined) this.world.told(this.room, gone, this.key)
    } else if (event === "presence_state") this.view.is(seen(payload))
    else if (event === "phx_reply") this.answered(ref, payload)
    else if (event === "phx_error") this.again()
  }

  private answered(ref: string, { status }: { readonly status: string }): void {
    if (ref === "join" && status === "ok") {
      this.isJoined = true
      this.refusals = 0
      this.presence.here()
      // It has changed since.
      if (this.taken !== this.n) this.track()
    } else if (ref === "join") this.again()
    else if (ref.startsWith("n") && status === "ok") this.taken = Number(ref.slice(1))
    // Redis is away, or the like: what is wanted is said again.
    else if (ref.startsWith("n")) this.later(REJOIN, 0, this.wire, () => this.isJoined && this.track())
  }

  private again(): void {
    this.lost()
    this.later(REJOIN, this.refusals++, this.wire, () => this.join())
  }
}
