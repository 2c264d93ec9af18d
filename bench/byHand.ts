/**
 * Presence in Redis as one writes it first: the same script, called for each operation by itself, the calls in pipelines
 * of a hundred. The measure of what the batches in this package are worth.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { Callback, ChainableCommander, Redis } from "ioredis"
import * as calls from "../src/redis/protocol/calls.js"
import { Keys } from "../src/redis/protocol/keys.js"
import { apply } from "../src/redis/protocol/scripts.js"
import { type Joins, Server, terms } from "./redisServer.js"

const PIPELINE = 100
/** Pipelines on their way at once, as many as this package has calls. */
const WINDOW = 16

type Operation = ReadonlyArray<string | number>

/** A replica that has claimed its lease, under a prefix of its own. */
export class ByHand extends Context.Tag("bench/ByHand")<ByHand, Hand>() {
  static readonly layer = Layer.effect(
    ByHand,
    Effect.flatMap(Server, ({ client, port }) =>
      Effect.promise(async () => {
        const replica = "hand"
        const keys = new Keys(replica, 0)
        const claim = {
          mode: "claim",
          replica,
          number: 1,
          tag: `${replica}.1`,
          settled: "",
          whole: false,
          seen: []
        } as const
        await calls.beat(port, keys, { ...terms, partitions: 1 }, claim)
        return new Hand(client, keys, replica)
      })
    )
  )
}

class Hand {
  private readonly index: string
  private readonly evicted: string
  private number = 1
  private seq = 0
  private pipeline: ChainableCommander | undefined

  constructor(
    private readonly client: Redis,
    readonly keys: Keys,
    readonly replica: string
  ) {
    this.index = keys.index(replica)
    this.evicted = keys.evicted(replica)
  }

  /** Joins all of these, as fast as it goes, and answers with what ends them again. */
  async joinAll(joins: Joins, meta: unknown): Promise<() => Promise<void>> {
    const first = this.seq + 1
    await this.applyAll(joins.length, (i, add) => {
      const join = joins[i]
      if (join !== undefined) add(join.topic, this.joining(join.key, meta))
    })
    return () =>
      this.applyAll(joins.length, (i, add) => {
        const join = joins[i]
        if (join !== undefined) add(join.topic, ["-", 1, first + i, "r"])
      })
  }

  /** What many fibers want in one turn goes out together. */
  track(topic: string, key: string, meta: unknown): Effect.Effect<number, Error, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        const join = this.joining(key, meta)
        return Effect.as(this.apply(topic, join), this.seq)
      }),
      (seq) => Effect.orDie(this.apply(topic, ["-", 1, seq, "r"]))
    )
  }

  private async applyAll(
    count: number,
    one: (i: number, add: (topic: string, operation: Operation) => void) => void
  ): Promise<void> {
    let i = 0
    const run = async (): Promise<void> => {
      while (i < count) {
        const pipeline = this.client.pipeline()
        const add = (topic: string, operation: Operation): void => this.add(pipeline, topic, operation)
        for (const end = Math.min(i + PIPELINE, count); i < end; i++) one(i, add)
        for (const [error, reply] of (await pipeline.exec()) ?? []) {
          const refusal = refusalOf(error, reply)
          if (refusal !== undefined) throw refusal
        }
      }
    }
    await Promise.all(Array.from({ length: WINDOW }, run))
  }

  private joining(key: string, meta: unknown): Operation {
    const seq = ++this.seq
    return ["+", 1, seq, seq, key, JSON.stringify(meta)]
  }

  private apply(topic: string, operation: Operation): Effect.Effect<void, Error> {
    return Effect.async((resume) => {
      if (this.pipeline === undefined) {
        this.pipeline = this.client.pipeline()
        setImmediate(() => this.flush())
      }
      this.add(this.pipeline, topic, operation, (error, reply) => {
        const refusal = refusalOf(error, reply)
        resume(refusal === undefined ? Effect.void : Effect.fail(refusal))
      })
      if (this.pipeline.length >= PIPELINE) this.flush()
    })
  }

  private flush(): void {
    void this.pipeline?.exec()
    this.pipeline = undefined
  }

  private add(pipeline: ChainableCommander, topic: string, operation: Operation, done: Callback<unknown> = ignore) {
    const { keys, index, evicted, replica } = this
    const number = ++this.number
    pipeline.evalsha(
      apply.hash,
      7,
      keys.leases,
      keys.versions,
      index,
      evicted,
      keys.members(topic),
      keys.keys(topic),
      keys.keyIndex,
      "own",
      replica,
      number,
      `${replica}.${number}`,
      keys.channel,
      1,
      topic,
      ...operation,
      done
    )
  }
}

const ignore = (): void => {}

/** Why a call did nothing, if so. */
const refusalOf = (error: unknown, reply: unknown): Error | undefined => {
  if (error !== null) return new Error("a call failed", { cause: error })
  const [status] = reply as ReadonlyArray<unknown>
  return status === "OK" ? undefined : new Error(`a call was answered with ${status}`)
}
