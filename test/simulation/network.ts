/**
 * The network between replicas and Redis: connections as `ioredis` gives them, bytes that come late, or not, or after
 * who sent them has given up, and an address that leads to one host today and to another tomorrow.
 */
import { EventEmitter } from "node:events"
import type { ConnectionOptions, RedisConnection } from "../../src/redis/client/connection.js"
import type { RedisReply } from "../../src/redis/client/port.js"
import type { SimulatedHost } from "./host.js"
import type { Process, VirtualTime } from "./time.js"

export type Kind = "commands" | "subscriber"

/** How bytes pass on the connections of one kind that a process has. */
interface Line {
  cutUntil: number
  lateUntil: number
  /** Milliseconds there, and back, while it is late. */
  delay: number
}

const line = (): Line => ({ cutUntil: 0, lateUntil: 0, delay: 0 })

export class Network {
  readonly connections = new Set<SimulatedConnection>()
  private readonly lines = new Map<Process, Record<Kind, Line>>()

  constructor(
    readonly time: VirtualTime,
    /** Where the address leads. */
    readonly master: () => SimulatedHost
  ) {}

  lineOf(process: Process, kind: Kind): Line {
    let lines = this.lines.get(process)
    if (lines === undefined) {
      lines = { commands: line(), subscriber: line() }
      this.lines.set(process, lines)
    }
    return lines[kind]
  }

  /** Everything passes again. */
  heal(): void {
    for (const { commands, subscriber } of this.lines.values()) {
      Object.assign(commands, line())
      Object.assign(subscriber, line())
    }
  }

  of(process: Process, kind: Kind): ReadonlyArray<SimulatedConnection> {
    return [...this.connections].filter((connection) => connection.process === process && connection.kind === kind)
  }

  /** To those who are subscribed at such a host. */
  publish(at: (host: SimulatedHost) => boolean, channel: string, text: string): void {
    for (const connection of this.connections) {
      const { host, channels } = connection
      if (host !== undefined && channels.has(channel) && at(host)) connection.hear(channel, text)
    }
  }

  /** The host closes all its connections, or those of a process. */
  reset(isMeant: (connection: SimulatedConnection) => boolean): void {
    for (const connection of [...this.connections]) if (isMeant(connection)) connection.lose("read ECONNRESET")
  }
}

export class SimulatedConnection extends EventEmitter implements RedisConnection {
  status = "wait"
  kind: Kind = "commands"
  host: SimulatedHost | undefined
  readonly channels = new Set<string>()
  /** Nobody publishes where it is subscribed. */
  isDeaf = false
  private readonly waiting = new Set<(cause: Error) => void>()
  private sentUntil = 0
  private heardUntil = 0
  private heardAt = 0
  /** Since when it is owed an answer. */
  private askedAt = 0
  /** What is on its way when it is lost may have been carried out, or not. */
  private losesRest = false
  private watching: NodeJS.Timeout | undefined

  constructor(
    private readonly network: Network,
    readonly process: Process,
    private readonly options: ConnectionOptions
  ) {
    super()
  }

  connect(): Promise<void> {
    const { network, options } = this
    const { time } = network
    this.status = "connecting"
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => {
        const error = new Error(reason)
        this.emit("error", error)
        this.end()
        reject(error)
      }
      const at = this.passes(this.passes(time.now))
      if (at - time.now > options.connectTimeout) {
        time.at(time.now + options.connectTimeout, this.process, () => fail("connect ETIMEDOUT"))
        return
      }
      time.at(at, this.process, () => {
        if (this.status !== "connecting") return reject(new Error("Connection is closed."))
        const host = network.master()
        if (host.refuses) return fail("ERR max number of clients reached")
        this.host = host
        this.heardAt = time.now
        this.status = "ready"
        network.connections.add(this)
        this.emit("ready")
        resolve()
      })
    })
  }

  disconnect(): void {
    if (this.status === "end" || this.status === "disconnecting") return
    this.status = "disconnecting"
    const { network } = this
    network.time.at(this.passes(network.time.now), undefined, () => network.connections.delete(this))
    network.time.at(network.time.now, this.process, () => this.end())
  }

  /** It ends from the other side, or on the way. */
  lose(reason: string): void {
    if (this.status !== "ready") return
    this.losesRest = this.network.time.random() < 0.5
    this.network.connections.delete(this)
    this.network.time.at(this.network.time.now, this.process, () => {
      if (this.status !== "ready") return
      this.emit("error", new Error(reason))
      this.end()
    })
  }

  call(command: string, ...args: Array<string | number>): Promise<RedisReply> {
    return this.ask((host) => host.execute(command, args.map(String)))
  }

  subscribe(...channels: Array<string>): Promise<RedisReply> {
    this.kind = "subscriber"
    return this.ask(() => {
      for (const channel of channels) this.channels.add(channel)
      return channels.length
    })
  }

  unsubscribe(...channels: Array<string>): Promise<RedisReply> {
    return this.ask(() => {
      for (const channel of channels) this.channels.delete(channel)
      return channels.length
    })
  }

  ping(): Promise<RedisReply> {
    return this.ask(() => "PONG")
  }

  hear(channel: string, text: string): void {
    if (!this.isDeaf) this.receive(() => this.emit("message", channel, text))
  }

  private ask(execute: (host: SimulatedHost) => RedisReply): Promise<RedisReply> {
    const { network, host } = this
    if (this.status !== "ready" || host === undefined) return Promise.reject(new Error("Connection is closed."))
    return new Promise((resolve, reject) => {
      if (this.waiting.size === 0) this.askedAt = network.time.now
      this.waiting.add(reject)
      this.watch()
      this.sentUntil = Math.max(this.sentUntil, this.passes(network.time.now))
      network.time.at(this.sentUntil, undefined, () => {
        if (this.losesRest) return
        let answer: () => void
        try {
          const reply = execute(host)
          answer = () => resolve(reply)
        } catch (cause) {
          answer = () => reject(cause)
        }
        this.receive(() => {
          this.waiting.delete(reject)
          answer()
        })
      })
    })
  }

  private receive(run: () => void): void {
    const { time } = this.network
    this.heardUntil = Math.max(this.heardUntil, this.passes(time.now))
    time.at(this.heardUntil, this.process, () => {
      if (this.status !== "ready") return
      this.heardAt = time.now
      run()
    })
  }

  /** When bytes that are sent at a time have passed. */
  private passes(at: number): number {
    const { time } = this.network
    const { cutUntil, lateUntil, delay } = this.network.lineOf(this.process, this.kind)
    return Math.max(at, cutUntil) + 0.2 + time.random() * 2 + (at < lateUntil ? delay * (0.5 + time.random()) : 0)
  }

  /** One that is owed an answer and is sent no byte is dead. */
  private watch(): void {
    if (this.watching !== undefined) return
    const { socketTimeout } = this.options
    const look = (): void => {
      this.watching = undefined
      if (this.waiting.size === 0 || this.status !== "ready") return
      const silent = this.network.time.now - Math.max(this.askedAt, this.heardAt)
      if (silent < socketTimeout) {
        this.watching = setTimeout(look, socketTimeout - silent)
        return
      }
      this.emit("error", new Error(`Socket timeout. Expecting data, but didn't receive any in ${socketTimeout}ms.`))
      this.disconnect()
    }
    this.watching = setTimeout(look, socketTimeout)
  }

  private end(): void {
    if (this.status === "end") return
    this.status = "end"
    clearTimeout(this.watching)
    this.emit("end")
    const { waiting } = this
    for (const reject of [...waiting]) reject(new Error("Connection is closed."))
    waiting.clear()
  }
}
