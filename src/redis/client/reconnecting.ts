/**
 * One connection that is always there or on its way: when it ends, another is made after a pause that grows, and its
 * name is resolved again. Who is answered by the wrong server ends it by `redial`.
 *
 * The client's own reconnecting is not used, as it sends again and subscribes again what it thinks was meant. Commands
 * that wait for an answer when a connection ends fail with it.
 */
import { hearErrors, type RedisConnection } from "./connection.js"
import { isCut, TURNED_AWAY } from "./reasons.js"
import { backoff, jitter } from "./waiting.js"

/** A connection that lasted this long, in ms, was a good one: the next may follow soon. */
const LASTING = 5_000

export class ReconnectingClient {
  /** `undefined` while the next one is not made yet. */
  client: RedisConnection | undefined
  /** Why the last connection ended. */
  reason = "not connected yet"
  private failures = 0
  private readyAt = Number.POSITIVE_INFINITY
  private closed = false
  private timer: NodeJS.Timeout | undefined

  constructor(
    private readonly make: () => RedisConnection | Promise<RedisConnection>,
    private readonly onReady: (client: RedisConnection) => void,
    private readonly onDown: (reason: string) => void
  ) {
    void this.dial()
  }

  isReady(): boolean {
    return this.client?.status === "ready"
  }

  /** Gives up a connection that is there, if it is still this one. Whether it was. */
  redial(client: unknown, reason: string): boolean {
    if (client === undefined || client !== this.client || !this.isReady()) return false
    this.reason = reason
    this.client.disconnect()
    return true
  }

  close(): void {
    this.closed = true
    clearTimeout(this.timer)
    this.client?.disconnect()
  }

  private async dial(): Promise<void> {
    try {
      const made = this.make()
      const client = made instanceof Promise ? await made : made
      if (this.closed) client.disconnect()
      else this.use(client)
    } catch (cause) {
      this.reason = cause instanceof Error ? cause.message : String(cause)
      if (!this.closed) this.ended()
    }
  }

  private use(client: RedisConnection): void {
    this.client = client
    let isTurnedAway = false
    hearErrors(client)
    client.on("connect", () => {
      isTurnedAway = true
    })
    client.on("error", (error: Error) => {
      this.reason = error.message
      isTurnedAway &&= isCut(error.message)
    })
    client.on("ready", () => {
      isTurnedAway = false
      if (this.closed) return
      this.readyAt = performance.now()
      // Any other reason comes as an error.
      this.reason = "the server closed the connection"
      this.onReady(client)
    })
    client.on("end", () => {
      if (isTurnedAway) this.reason = TURNED_AWAY
      if (!this.closed && client === this.client) this.ended()
    })
    client.connect().catch(() => {})
  }

  private ended(): void {
    this.client = undefined
    this.onDown(this.reason)
    // One that was ready for a moment only may be the wrong server's: without this it would be dialled in a storm.
    if (performance.now() - this.readyAt > LASTING) this.failures = 0
    this.readyAt = Number.POSITIVE_INFINITY
    // The first retry soon, as most losses are a restart or a fail-over.
    this.timer = setTimeout(() => void this.dial(), jitter(backoff(50, this.failures++)))
  }
}
