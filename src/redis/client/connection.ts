/**
 * One connection to Redis, as far as anything is asked of it here: a `Redis` of `ioredis`, or what behaves as one.
 */
import type { RedisOptions } from "ioredis"

/**
 * What is asked of a connection. The `Redis` of `ioredis` 5.10 and 6 is one.
 *
 * @since 0.2.0
 * @category models
 */
export interface RedisConnection {
  /** `ready` when it can be used, `end` when it has ended for good. */
  readonly status: string
  /** Fails when it cannot connect, or has begun to already. */
  readonly connect: () => Promise<unknown>
  /** Ends it at once. */
  readonly disconnect: () => void
  /** Sends a command with its arguments, and gives what Redis answers. */
  readonly call: (command: string, ...args: Array<string | number>) => Promise<unknown>
  /** Done when Redis has acknowledged it. */
  readonly subscribe: (...channels: Array<string>) => Promise<unknown>
  /** Done when Redis has acknowledged it. */
  readonly unsubscribe: (...channels: Array<string>) => Promise<unknown>
  /** Answered in line with what is published, also while it is subscribed. */
  readonly ping: () => Promise<unknown>
  /** `ready`, `end`, `error` with an error, `message` with a channel and a text. */
  // biome-ignore lint/suspicious/noExplicitAny: an event's arguments are its own
  readonly on: (event: string, listener: (...args: Array<any>) => void) => unknown
}

/**
 * The options of `ioredis` that a connection of this package has: put yours behind them, and leave these as they are. The
 * connection is made when it is told to, queues nothing, and does not come back by itself: another is made instead.
 *
 * @since 0.2.0
 * @category models
 */
export interface ConnectionOptions {
  readonly connectionName: string
  readonly lazyConnect: true
  readonly enableOfflineQueue: false
  /** Never again by itself. */
  readonly retryStrategy: () => null
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds without a byte after which a connection that waits for one is dead. */
  readonly socketTimeout: number
  /** Milliseconds until TCP asks whether the other side is there. */
  readonly keepAlive: number
}

/**
 * Makes a connection to the master: a new one at each call, which is made for each of the two that a replica has, and
 * again whenever one has ended.
 *
 * @since 0.2.0
 * @category models
 */
export type Connect = (options: ConnectionOptions) => RedisConnection | Promise<RedisConnection>

/**
 * Where Redis is: the url of a server, of sentinels or of a cluster, or whatever makes connections to a master.
 *
 * @since 0.2.0
 * @category models
 */
export type Where =
  | {
      /**
       * `redis://user:password@host:6379/0`, `rediss://` for TLS, several hosts between commas, or
       * `unix:///path/of/its.sock`. For sentinels the path may name the master.
       */
      readonly url: string
      readonly connect?: undefined
    }
  | {
      /** For what no url says: a certificate authority of one's own, credentials that expire, an agent that traces. */
      readonly connect: Connect
      readonly url?: undefined
    }

/** What every connection has, wherever it leads. */
export const connectionOptions = (name: string, timeout: number): ConnectionOptions =>
  ({
    connectionName: name,
    lazyConnect: true,
    enableOfflineQueue: false,
    // It does not come back by itself, so there is nothing that it could send or subscribe to again.
    retryStrategy: () => null,
    connectTimeout: timeout,
    // A connection that takes bytes and gives none is dead, whatever TCP says.
    socketTimeout: timeout,
    keepAlive: 10_000
  }) satisfies RedisOptions

/**
 * Hears all that the socket of a connection has to say. `ioredis` hears its first error, and the next, as what a server says
 * of a handshake that was given up, would end the process.
 */
export const hearErrors = (connection: RedisConnection): void => {
  const hear = (): void => {
    const { stream } = connection as { readonly stream?: Partial<NodeJS.EventEmitter> }
    if (stream?.listeners?.("error").includes(ignore) === false) stream.on?.("error", ignore)
  }
  // It has a socket soon after it says so.
  connection.on("connecting", () => setImmediate(hear))
  connection.on("connect", hear)
  connection.on("error", hear)
}

const ignore = (): void => {}
