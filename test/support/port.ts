/**
 * A port whose calls a test answers by hand, in any order, or not at all.
 */

import type { Port, RedisReply } from "../../src/redis/client/port.js"
import type { PartitionEvents } from "../../src/redis/write/partition.js"

/** A call that waits for its answer. */
export interface Asked {
  /** The script's or the command's name, or `subscribe`, `unsubscribe`, `publish`. */
  readonly name: string
  /** Of a script. */
  readonly keys: ReadonlyArray<string>
  readonly args: ReadonlyArray<string | number>
  readonly answer: (reply?: RedisReply) => void
  /** Without a cause: the connection is lost. */
  readonly fail: (cause?: unknown) => void
}

export class FakePort implements Port {
  readonly mode = "standalone"
  readonly database = 0
  readonly warnings: ReadonlyArray<string> = []
  ready = true
  /** How often the subscriber was to be made anew. */
  renewals = 0
  /** What waits for an answer, oldest first. */
  readonly asked: Array<Asked> = []

  constructor(readonly partitions = 1) {}

  readonly command: Port["command"] = (name, args) => this.ask(name, args)
  readonly run: Port["run"] = (script, keys, args) => this.ask(script.name, args, keys)
  readonly subscribe: Port["subscribe"] = async (channels) => void (await this.ask("subscribe", channels))
  readonly unsubscribe: Port["unsubscribe"] = async (channels) => void (await this.ask("unsubscribe", channels))
  readonly publish: Port["publish"] = async (channel, text) => void (await this.ask("publish", [channel, text]))
  readonly heard: Port["heard"] = async () => void (await this.ask("heard", []))
  readonly checkMaster: Port["checkMaster"] = async () => {}
  readonly isReady: Port["isReady"] = () => this.ready
  readonly isSubscriberReady: Port["isSubscriberReady"] = () => this.ready
  readonly renewSubscriber: Port["renewSubscriber"] = () => void this.renewals++
  readonly close: Port["close"] = () => {}

  get names(): ReadonlyArray<string> {
    return this.asked.map(({ name }) => name)
  }

  /** The oldest call of a name that waits, which the test will answer. */
  take(name: string): Asked {
    const index = this.asked.findIndex((asked) => asked.name === name)
    const [asked] = index < 0 ? [] : this.asked.splice(index, 1)
    if (asked === undefined) throw new Error(`nobody asked for ${name}, but for ${this.names.join(", ") || "nothing"}`)
    return asked
  }

  private ask(
    name: string,
    args: ReadonlyArray<string | number>,
    keys: ReadonlyArray<string> = []
  ): Promise<RedisReply> {
    return new Promise((resolve, reject) => {
      const answer = (reply: RedisReply = null): void => resolve(reply)
      const fail = (cause: unknown = new Error("Connection is closed.")): void => reject(cause)
      this.asked.push({ name, keys, args, answer, fail })
    })
  }
}

/** Nobody who wants to know what becomes of a partition, but for what fails. */
export const silent = (onFailure: PartitionEvents<unknown>["onFailure"]): PartitionEvents<unknown> => ({
  onEvicted: () => {},
  onWritten: () => {},
  onEpochChanged: () => {},
  onRefused: () => {},
  onHealthChanged: () => {},
  onBeaten: () => {},
  onLost: () => {},
  onReaped: () => {},
  onForeign: () => {},
  onFailure
})

/** Until all that follows from what was just answered has happened, timers aside. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
