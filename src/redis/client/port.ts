/**
 * All that this package asks of a Redis client, and nothing of which client it is.
 *
 * Two connections: one for commands, one for subscriptions. Nothing is queued while a connection is down, nothing is
 * sent again by the client, and nothing is subscribed again behind our back: a call fails at once or after the
 * timeout, and the replica, which knows what it wants, decides. A call that failed may still be carried out later.
 */
import type { Script } from "../protocol/scripts.js"

/** What a call answers: RESP as plain values. */
export type RedisReply = string | number | null | ReadonlyArray<RedisReply>

export interface PortEvents {
  /** A message on a channel that was subscribed to. */
  readonly onMessage: (channel: string, text: string) => void
  /** The connection for commands is there (again); in a cluster: to one node. */
  readonly onReady: () => void
  /** The subscriber is there (again) and subscribed to nothing. */
  readonly onSubscriberReady: () => void
  /** The connection for commands was lost, or the subscriber was. They come back by themselves. */
  readonly onDown: (reason: string) => void
  readonly onSubscriberDown: () => void
}

export interface Port {
  readonly mode: "standalone" | "sentinel" | "cluster"
  /** 1, or 16 in a cluster. */
  readonly partitions: number
  /** Keys of databases are apart, and channels are not. */
  readonly database: number
  /** What may need somebody's attention about the server's settings. */
  readonly warnings: ReadonlyArray<string>
  /** A command whose first argument is its key. */
  readonly command: (name: string, args: ReadonlyArray<string | number>) => Promise<RedisReply>
  /** A script by its hash, and with its text when the server does not know it. */
  readonly run: (
    script: Script,
    keys: ReadonlyArray<string>,
    args: ReadonlyArray<string | number>
  ) => Promise<RedisReply>
  /** Resolves with the server's acknowledgement. */
  readonly subscribe: (channels: ReadonlyArray<string>) => Promise<void>
  readonly unsubscribe: (channels: ReadonlyArray<string>) => Promise<void>
  readonly publish: (channel: string, text: string) => Promise<void>
  /**
   * Resolves when everything has come that the subscriber's server has published before: an answer on a connection
   * overtakes no message. In a cluster another node may have published what is still on its way to that server.
   */
  readonly heard: () => Promise<void>
  /**
   * Dials again where the server is a replica by now: one takes what is published and passes it to nobody. Who writes need
   * not ask, as a replica refuses that. In a cluster whatever a node is told reaches all.
   */
  readonly checkMaster: () => Promise<void>
  /** Whether the connection for commands is there, as far as known. */
  readonly isReady: () => boolean
  readonly isSubscriberReady: () => boolean
  /** Makes the subscriber anew, its name resolved again: it is there, and hears nothing. */
  readonly renewSubscriber: (reason: string) => void
  readonly close: () => void
}
