import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { PresenceUnavailable } from "../../../src/index.js"
import { Keys, partitionOf } from "../../../src/redis/protocol/keys.js"
import type { Copies } from "../../../src/redis/read/copies.js"
import { makeQueries } from "../../../src/redis/read/queries.js"
import type { Membership } from "../../../src/redis/write/membership.js"
import { FakePort, turn } from "../../support/port.js"

/** Queries of a replica that follows nothing, with as many partitions as the port has. */
const queriesOf = (port: FakePort) =>
  Effect.map(Effect.scope, (layerScope) => {
    const partitions = Array.from({ length: port.partitions }, (_, i) => ({ keys: new Keys("p", i), use: () => {} }))
    const membership = {
      of: (topic: string) => partitions[partitionOf(topic, partitions.length)],
      unavailable: (reason: string) => new PresenceUnavailable({ reason }),
      onFailure: () => {}
    } as unknown as Membership
    const copies = { live: () => undefined } as unknown as Copies
    return makeQueries({
      port,
      membership,
      copies,
      acquire: () => Effect.die("nothing is followed"),
      isUsable: () => true,
      isUsableKey: () => true,
      isClosed: () => false,
      layerScope
    })
  })

const topicsOf = (count: number) => Array.from({ length: count }, (_, i) => `room:${i}`)

/** Two numbers for each of 500 topics, all of them others. */
const answer = Array.from({ length: 1_000 }, (_, i) => i)

describe("counting many topics", () => {
  it.scopedLive("is a call for each partition, all of them sent before any is answered", () =>
    Effect.gen(function* () {
      const port = new FakePort(16)
      const queries = yield* queriesOf(port)
      const counting = yield* Effect.fork(queries.counts(topicsOf(200)))
      yield* Effect.promise(turn)
      expect(port.names).toEqual(Array.from({ length: 16 }, () => "counts"))
      for (let i = 0; i < 16; i++) port.take("counts").answer(answer)
      const counts = yield* Fiber.join(counting)
      expect([...counts.keys()]).toEqual(topicsOf(200))
      // The first of each partition.
      expect([...counts.values()].filter(({ keys, connections }) => keys === 0 && connections === 1)).toHaveLength(16)
      for (const { keys, connections } of counts.values()) expect(connections).toBe(keys + 1)
    })
  )

  it.scopedLive("asks for at most 500 in one call, so that nothing holds Redis up", () =>
    Effect.gen(function* () {
      const port = new FakePort()
      const queries = yield* queriesOf(port)
      const counting = yield* Effect.fork(queries.counts(topicsOf(1_001)))
      yield* Effect.promise(turn)
      expect(port.names).toHaveLength(3)
      for (let i = 0; i < 3; i++) port.take("counts").answer(answer)
      const counts = yield* Fiber.join(counting)
      expect(counts.get("room:499")).toEqual({ keys: 998, connections: 999 })
      expect(counts.get("room:500")).toEqual({ keys: 0, connections: 1 })
      expect(counts.get("room:1000")).toEqual({ keys: 0, connections: 1 })
    })
  )

  it.scopedLive("fails as a whole when one call is not answered, and says what was asked", () =>
    Effect.gen(function* () {
      const port = new FakePort(16)
      const queries = yield* queriesOf(port)
      const counting = yield* Effect.fork(queries.counts(topicsOf(200)))
      yield* Effect.promise(turn)
      for (let i = 0; i < 15; i++) port.take("counts").answer(answer)
      port.take("counts").fail()
      const error = yield* Effect.flip(Fiber.join(counting))
      expect(error).toMatchObject({ _tag: "PresenceUnavailable", reason: "counting 200 topics" })
    })
  )
})
