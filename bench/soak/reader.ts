/**
 * An event stream, as an `EventSource` is one: it comes back where it was, after the time that it was told. With a key it
 * is a member for as long as it reads.
 */
import { get, type IncomingMessage } from "node:http"
import { type Seen, View } from "./view.js"
import type { Presence, Tracked, World } from "./world.js"

interface Connection {
  readonly key: string
  readonly ref: string
  readonly meta: { readonly n: number }
}
type Change =
  | { readonly _tag: "Snapshot"; readonly connections: ReadonlyArray<Connection> }
  | {
      readonly _tag: "Diff"
      readonly joins: ReadonlyArray<Connection>
      readonly leaves: ReadonlyArray<Connection>
      readonly updates: ReadonlyArray<Connection & { readonly previousRef: string }>
    }

const seen = (connections: ReadonlyArray<Connection>): ReadonlyArray<Seen> =>
  connections.map(({ key, ref, meta: { n } }) => ({ key, ref, n }))

export class Reader implements Tracked {
  room: string | undefined
  readonly n = 0
  port: number | undefined
  readonly view = new View()
  private readonly presence: Presence | undefined
  private response: IncomingMessage | undefined
  private retry = 1_000
  private lastId: string | undefined

  constructor(
    readonly key: string,
    isMember: boolean,
    private readonly world: World
  ) {
    this.presence = isMember ? world.enrol(this) : undefined
  }

  get isSettled(): boolean {
    return this.room === undefined || this.port !== undefined
  }

  come(room: string): void {
    this.room = room
    this.connect()
  }

  go(): void {
    this.room = undefined
    this.port = undefined
    this.presence?.leaves()
    this.response?.destroy()
  }

  private connect(): void {
    const port = this.world.port()
    const join = this.presence === undefined ? "" : `?key=${this.key}&meta=${encodeURIComponent('{"n":0}')}`
    const headers = this.lastId === undefined ? {} : { "last-event-id": this.lastId }
    const request = get(
      { host: "127.0.0.1", port, path: `/presence/${this.room}/events${join}`, headers, agent: false },
      (response) => {
        response.on("error", () => {})
        if (response.statusCode !== 200 || this.room === undefined) return response.destroy()
        this.response = response
        this.port = port
        this.presence?.here()
        this.read(response)
        return
      }
    )
    request.on("error", () => {})
    // Whether it was answered or not.
    request.on("close", () => this.closed())
  }

  private closed(): void {
    if (this.port !== undefined) this.world.returns++
    this.port = undefined
    this.presence?.gone()
    setTimeout(() => this.room !== undefined && this.connect(), this.retry)
  }

  private read(response: IncomingMessage): void {
    let rest = ""
    response.setEncoding("utf8").on("data", (text: string) => {
      const events = (rest + text).split("\n\n")
      rest = events.pop() ?? ""
      for (const event of events) this.hear(event)
    })
  }

  private hear(event: string): void {
    for (const line of event.split("\n")) {
      if (line.startsWith("retry: ")) this.retry = Number(line.slice(7))
      else if (line.startsWith("id: ")) this.lastId = line.slice(4)
      else if (line.startsWith("data: ")) this.apply(JSON.parse(line.slice(6)))
    }
  }

  private apply(change: Change): void {
    if (change._tag === "Snapshot") {
      this.view.is(seen(change.connections))
      return
    }
    // A new ref for the old one, in one step, so that nobody seems to be gone.
    const { joins, leaves, updates } = change
    const gone = this.view.changes(seen([...joins, ...updates]), [
      ...leaves,
      ...updates.map(({ key, previousRef }) => ({ key, ref: previousRef }))
    ])
    if (this.room !== undefined) this.world.told(this.room, gone, this.key)
  }
}
