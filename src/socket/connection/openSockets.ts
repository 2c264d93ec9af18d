/**
 * The open sockets of a route, how they end one after the other, and how all are told to come back.
 */
import { Duration, Effect } from "effect"
import { Turns } from "../../web/turns.js"
import type { FlowControl } from "./flowControl.js"

/** Milliseconds between two groups of sockets that are told to come back. */
const PULSE = 20

/** Milliseconds that something may be late in a process that is only busy. */
const LATE = 1_000

/** What there is to do with an open socket. */
export type Open = Pick<FlowControl<unknown>, "close" | "cut" | "tick" | "unsent" | "unfinished">

export class OpenSockets {
  private readonly open = new Map<Open, string>()
  private readonly byAddress = new Map<string, number>()
  private stopped = false
  /** When it was last looked at all of them. */
  private last: { readonly now: number; readonly real: number } | undefined
  private readonly endings = new Turns()
  private readonly empty = Effect.unsafeMakeLatch(true)

  constructor(
    private readonly drain: Duration.Duration,
    /** Bytes that all of them together may have unsent, and of messages that are not whole. */
    private readonly most: { readonly unsent: number; readonly unfinished: number },
    /** Runs it beyond the end of the request that was first to hear of the end. */
    private readonly run: (effect: Effect.Effect<void>) => void
  ) {}

  get stopping(): boolean {
    return this.stopped
  }

  add(socket: Open, address: string): void {
    this.open.set(socket, address)
    this.byAddress.set(address, this.from(address) + 1)
    this.empty.unsafeClose()
  }

  delete(socket: Open): void {
    const address = this.open.get(socket)
    if (address === undefined) return
    this.open.delete(socket)
    const left = this.from(address) - 1
    if (left > 0) this.byAddress.set(address, left)
    else this.byAddress.delete(address)
    if (this.open.size === 0) this.empty.unsafeOpen()
  }

  get size(): number {
    return this.open.size
  }

  /** How many come from an address. */
  from(address: string): number {
    return this.byAddress.get(address) ?? 0
  }

  /** Does what there is to do for a socket that has ended, when it is its turn: of a crowd that goes each waits for it. */
  finish(end: () => void): void {
    this.endings.add(end)
  }

  /**
   * To be called every `pulse` milliseconds, with the time of the program's clock and of the real one: when both have gone
   * further than that the process stood still, suspended or blocked. A clock that a test sets is late for nobody.
   */
  tick(pulse: number, now: number, real: number): void {
    const { last = { now, real } } = this
    this.last = { now, real }
    const late = Math.min(now - last.now, real - last.real) - pulse
    const stoodStill = late > LATE ? late : 0
    let unsent = 0
    let unfinished = 0
    for (const socket of this.open.keys()) {
      socket.tick(stoodStill)
      unsent += socket.unsent
      unfinished += socket.unfinished
    }
    if (unsent > this.most.unsent) this.relieve("unsent", unsent)
    if (unfinished > this.most.unfinished) this.relieve("unfinished", unfinished)
  }

  /** Cuts off those with the most of something, until the others have no more than they may. */
  private relieve(what: "unsent" | "unfinished", all: number): void {
    let left = all
    for (const socket of Array.from(this.open.keys()).sort((a, b) => b[what] - a[what])) {
      if (left <= this.most[what]) return
      left -= socket[what]
      socket.cut()
    }
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
    const flows = Array.from(this.open.keys())
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
