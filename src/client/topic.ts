/**
 * One topic of a client: its channel, for all rooms on it.
 *
 * A socket has one presence on a topic, so rooms share it. It knows what it wants the server to have (a key and a meta)
 * and what the server was given last, and sends the difference, one push at a time: what is wanted while an answer is on
 * its way is sent after it, and of several only the last. A join carries what is wanted in the moment it is sent.
 */
import type { Channel, Push, Socket } from "phoenix"
import { isReserved } from "../internal/input/events.js"
import { callEach } from "./errors.js"
import type { RoomState } from "./room.js"
import { apply, type Diff, type Entries, type State, sync, without } from "./roster.js"

/** What others shall see. Compared by identity: a new object is a new wish. */
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

const INITIAL: RoomState = Object.freeze({
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
  private readonly channel: Channel
  /** What the server was given, since the last join. */
  private sent: Wanted | undefined
  private pushed: Push | undefined
  /** What came between a join and its state, which it continues. */
  private early: Array<Diff> | undefined = []
  private waiting: Array<{ readonly event: string; readonly payload: object; readonly at: number }> = []

  constructor(
    socket: Socket,
    readonly name: string,
    private wanted: Wanted,
    private readonly on: {
      /** What the token grants has ended, or it grants too little. */
      readonly refused: () => void
      /** The server has put it out for good. */
      readonly closed: () => void
    }
  ) {
    const payload: JoinPayload = (token) => this.joining(token)
    this.channel = socket.channel(name, () => payload)
    this.channel.onMessage = (event, payload) => {
      this.hear(event, payload)
      return payload
    }
    this.channel.join().receive("error", ({ reason }) => {
      on.refused()
      this.refused(reason)
    })
  }

  get current(): Wanted {
    return this.wanted
  }

  want(wanted: Wanted): void {
    if (this.state.status === "closed") return
    this.wanted = wanted
    this.change({})
    this.flush()
  }

  broadcast(event: string, payload: object): void {
    if (this.state.status === "joined") {
      this.channel.push(event, payload).receive("error", ({ reason }) => this.change({ reason: String(reason) }))
    } else if (this.state.status !== "closed") {
      this.waiting = [...this.waiting, { event, payload, at: performance.now() }].slice(-WAITING)
    }
  }

  /** There is a newer token for what is granted already. */
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

  private joining(token: string | undefined): object {
    this.sent = this.wanted
    this.pushed = undefined
    this.early = []
    const { key, meta } = this.wanted
    return { ...(key === undefined ? {} : { key, meta }), ...(token === undefined ? {} : { access_token: token }) }
  }

  private hear(event: string, payload: unknown): void {
    if (event === "presence_state") this.joined(payload as State)
    else if (event === "presence_diff") {
      if (this.early === undefined) this.change({ entries: apply(this.state.entries, payload as Diff) })
      else this.early.push(payload as Diff)
    } else if (event === "phx_error") this.lost((payload as { readonly source?: unknown }).source === "transport")
    else if (event === "phx_close") {
      if (this.state.status === "closed") return
      this.end(PUT_OUT)
      this.on.closed()
    } else if (!isReserved(event)) callEach(this.events.get(event) ?? [], payload)
  }

  private joined(state: State): void {
    const entries = (this.early ?? []).reduce(apply, sync(this.state.entries, state))
    this.early = undefined
    this.change({ entries, status: "joined", reason: undefined })
    const since = performance.now() - WAITING_FOR
    for (const { event, payload, at } of this.waiting.splice(0)) if (at > since) this.broadcast(event, payload)
    this.flush()
  }

  private lost(byTransport: boolean): void {
    if (!byTransport) this.on.refused()
    if (this.state.status === "joined") this.change({ status: "reconnecting" })
  }

  private flush(): void {
    const { wanted, sent } = this
    if (this.state.status !== "joined" || this.pushed !== undefined || sent === undefined || wanted === sent) return
    const push = this.channel.push("presence", difference(sent, wanted))
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
    const { key } = this.wanted
    const entries = changed.entries ?? this.state.entries
    this.set({
      ...this.state,
      ...changed,
      others: without(this.state.others, entries, key),
      me: entries.find((entry) => entry.key === key)
    })
  }

  private set(state: RoomState): void {
    const before = this.state
    if (FIELDS.every((name) => before[name] === state[name])) return
    this.state = Object.freeze(state)
    callEach(this.listeners, this.state)
  }
}

const FIELDS = ["entries", "others", "me", "status", "reason"] as const

const difference = (sent: Wanted, { key, meta }: Wanted): object => {
  if (key === sent.key) return { event: "track", payload: meta }
  return key === undefined ? { event: "untrack" } : { event: "track", key, payload: meta }
}
