/**
 * The writing side of a replica, without Effect: a partition that nobody listens to.
 */
import { Context, Effect, Layer } from "effect"
import { Keys } from "../src/redis/protocol/keys.js"
import { Partition } from "../src/redis/write/partition.js"
import { silent } from "../test/support/port.js"
import { type Joins, Server, terms } from "./redisServer.js"

/** One that has claimed its lease, under a prefix of its own. */
export class Batches extends Context.Tag("bench/Batches")<Batches, Batching>() {
  static readonly layer = Layer.scoped(
    Batches,
    Effect.gen(function* () {
      const { port } = yield* Server
      const batching = new Batching(port)
      yield* Effect.addFinalizer(() => Effect.sync(() => batching.partition.stop()))
      yield* Effect.promise(() => batching.use())
      return batching
    })
  )
}

class Batching {
  readonly partition: Partition<unknown>
  readonly keys = new Keys("batches", 0)
  private seq = 0
  private idle = (): void => {}

  constructor(port: Server["Type"]["port"]) {
    const failed = silent((what, cause) => {
      throw new Error(`${what} failed`, { cause })
    })
    this.partition = new Partition(
      { port, keys: this.keys, settings: { ...terms, partitions: 1 }, replica: "batches" },
      {
        ...failed,
        onBeaten: () => this.idle(),
        onWritten: () => {
          if (this.partition.outbox.idle) this.idle()
        }
      }
    )
  }

  use(): Promise<void> {
    return this.until(() => this.partition.use())
  }

  /** Joins all of these, and answers with what ends them again. */
  async joinAll(joins: Joins, meta: { readonly role: string }): Promise<() => Promise<void>> {
    const cells: Array<ReturnType<Partition<unknown>["join"]>> = []
    await this.until(() => {
      for (const { topic, key } of joins) cells.push(this.partition.join(topic, key, ++this.seq, meta, undefined))
    })
    return () =>
      this.until(() => {
        for (const cell of cells) this.partition.leave(cell, "released")
      })
  }

  /** Until Redis has all that was wanted. */
  private until(start: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.idle = resolve
      start()
    })
  }
}
