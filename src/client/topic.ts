/**
 * One topic of a client: its channel, for all rooms on it.
 *
 * A socket has one presence on a topic, so rooms share it. It knows what it wants the server to have (a key and a meta)
 * and what the server was given last. A join carries what is wanted in the moment it is sent. Another meta is pushed,
 * one at a time: what is wanted while an answer is on its way is sent after it, and of several only the last. Another
 * key is another join, with a token of its own, so that nobody is left on the list whom the server no longer lets in.
 */
import type { Channel, Push, Socket } from "phoenix"
import { isReserved } from "../internal/input/events.js"
import { equal, type Value } from "../internal/input/json.js"
import { call } from "./errors.js"
import type { RoomState } from "./room.js"
import { apply, type Diff, type Entries, type State, sync, without } from "./roster.js"

/** What others shall see. */
export interface Wanted {
  readonly key: string | undefined
  readonly meta: object
}

/** Gives the payload of a join when it is sent. See `encode` in `connect.ts`. */
export type JoinPayload = (token: string | undefined) => object

/** Broadcasts that wait for the join, and for how long in milliseconds. */
const WAITING = 100
const WAITING_FOR = 10_000

/** Milliseconds that a leave is waited for. Nobody hears its answer. */
const LEAVING = 1_000

const nobody: Entries = Object.freeze([])

/** Why it is over. */
export const LEFT = "it was left"
export const CLOSED = "the client was closed"
export const PUT_OUT = "the server has put it out"

export const INITIAL: RoomState = Object.freeze({
  entries: nobody,
  others: nobody,
  me: undefined,
  status: "connecting",
  reason: undefined
})

export const closed = (reason: string): RoomState => Object.freeze({ ...INITIAL, status: "closed", reason })

export class Topic {
  state = INITIAL
  readonly listeners = new Set<(state: RoomState) => void>()
  readonly events = new Map<string, Set<(payload: unknown) => void>>()
  private channel: Channel
  /** What the last join gave the server, and updates since. */
  private sent: Wanted | undefined
  private pushed: Push | undefined
  /** Who the server says one is, where that is another than it was asked for. */
  private granted: string | undefined
  /** The key of the join whose state is shown. */
  private key: string | undefined
  private waiting: Array<{ readonly event: string; readonly payload: object; readonly at: number }> = []

  constructor(
    private readonly socket: Socket,
    readonly name: string,
    private wanted: Wanted,
    private readonly on: {
      readonly joined: () => void
      /** What the token grants has ended, or it grants too little. */
      readonly refused: () => void
      /** Who one is has changed, so the token is another's. */
      readonly renamed: () => void
      /** The server has put it out for good. */
      readonly closed: () => void
    }
  ) {
    this.channel = this.open()
  }

  get current(): Wanted {
    return this.wanted
  }

  want({ key, meta }: Wanted): void {
    if (this.state.status === "closed") return
    const before = this.wanted
    // The same object as before says that there is nothing to send.
    this.wanted = { key, meta: equal(before.meta as Value, meta as Value) ? before.meta : meta }
    if (key === before.key) this.flush()
    else this.rejoin()
  }

  broadcast(event: string, payload: object): void {
    if (this.state.status === "joined") {
      this.channel.push(event, payload).receive("error", ({ reason }) => this.change({ reason: String(reason) }))
    } else if (this.state.status !== "closed") {
      this.waiting = [...this.waiting, { event, payload, at: performance.now() }].slice(-WAITING)
    }
  }

  /** There is a newer token for what is granted already. Who joins brings it along. */
  renewed(token: string): void {
    if (this.state.status === "joined") this.channel.push("access_token", { access_token: token })
  }

  /** Why it is not joined, and will not be before another try. */
  refused(reason: unknown): void {
    if (this.state.status !== "joined") this.change({ status: "refused", reason: String(reason) })
  }

  leave(reason: string): void {
    if (this.state.status === "closed") return
    this.end(reason)
    this.channel.leave(LEAVING)
  }

  private open(): Channel {
    const payload: JoinPayload = (token) => this.joining(token)
    const channel = this.socket.channel(this.name, () => payload)
    channel.onMessage = (event, payload) => {
      // What Phoenix's client tells itself of a push that it has given up has no name.
      if (event !== null) this.hear(event, payload)
      return payload
    }
    channel
      .join()
      .receive("ok", ({ key }) => {
        if (channel === this.channel) this.granted = typeof key === "string" ? key : undefined
      })
      .receive("error", ({ reason }) => {
        this.on.refused()
        this.refused(reason)
      })
    return channel
  }

  /** A channel of its own for another key. What becomes of the old one is nobody's business. */
  private rejoin(): void {
    this.on.renamed()
    this.channel.onMessage = (_, payload) => payload
    this.channel.leave(LEAVING)
    this.lost()
    this.channel = this.open()
  }

  private joining(token: string | undefined): object {
    this.sent = this.wanted
    this.pushed = undefined
    const { key, meta } = this.wanted
    return { ...(key === undefined ? {} : { key }), meta, ...(token === undefined ? {} : { access_token: token }) }
  }

  private hear(event: string, payload: unknown): void {
    if (event === "presence_state") this.joined(payload as State)
    else if (event === "presence_diff") {
      // Before the state it belongs to a join before this one.
      if (this.state.status === "joined") this.change({ entries: apply(this.state.entries, payload as Diff) })
    } else if (event === "phx_error") {
      if ((payload as { readonly source?: unknown }).source !== "transport") this.on.refused()
      this.lost()
    } else if (event === "phx_close") {
      if (this.state.status === "closed") return
      this.end(PUT_OUT)
      this.on.closed()
    } else if (!isReserved(event)) {
      const listeners = this.events.get(event) ?? []
      for (const listener of Array.from(listeners)) if (this.events.get(event)?.has(listener)) call(listener, payload)
    }
  }

  private joined(state: State): void {
    this.key = this.granted ?? this.sent?.key
    this.change({ entries: sync(this.state.entries, state), status: "joined", reason: undefined })
    this.on.joined()
    const since = performance.now() - WAITING_FOR
    for (const { event, payload, at } of this.waiting.splice(0)) if (at > since) this.broadcast(event, payload)
    this.flush()
  }

  private lost(): void {
    if (this.state.status === "joined") this.change({ status: "reconnecting" })
  }

  private flush(): void {
    const { wanted, sent } = this
    if (this.state.status !== "joined" || this.pushed !== undefined || wanted.meta === sent?.meta) return
    const push = this.channel.push("presence", { event: "track", payload: wanted.meta })
    this.sent = wanted
    this.pushed = push
    const answered = (reason: string | undefined) => {
      // Else there was another join since, which had all.
      if (this.pushed !== push) return
      this.pushed = undefined
      this.change({ reason })
      this.flush()
    }
    push
      .receive("ok", () => answered(undefined))
      .receive("error", ({ reason }) => answered(String(reason)))
      .receive("timeout", () => answered(undefined))
  }

  private end(reason: string): void {
    this.waiting = []
    this.set(closed(reason))
    this.listeners.clear()
    this.events.clear()
  }

  private change(changed: Partial<Pick<RoomState, "entries" | "status" | "reason">>): void {
    if (this.state.status === "closed") return
    const entries = changed.entries ?? this.state.entries
    this.set({
      ...this.state,
      ...changed,
      others: without(this.state.others, entries, this.key),
      me: entries.find(({ key }) => key === this.key)
    })
  }

  private set(state: RoomState): void {
    const before = this.state
    if (FIELDS.every((name) => before[name] === state[name])) return
    this.state = Object.freeze(state)
    for (const listener of Array.from(this.listeners)) {
      // A change that a listener makes is told to all before this one goes on, which is then no longer the newest.
      if (this.state !== state) return
      if (this.listeners.has(listener)) call(listener, state)
    }
  }
}

const FIELDS = ["entries", "others", "me", "status", "reason"] as const
