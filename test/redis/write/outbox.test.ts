import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import type { ApplyAnswer } from "../../../src/redis/protocol/calls.js"
import { BATCH, type Batch, type Cell, Outbox, type Written } from "../../../src/redis/write/outbox.js"
import { isCollected } from "../../support/memory.js"

const ok = (
  batch: Batch,
  more: Partial<ApplyAnswer & { readonly status: "OK" }> = {}
): ApplyAnswer & { status: "OK" } => ({
  status: "OK",
  epoch: "e",
  changed: batch.operations.length,
  emptied: false,
  lost: [],
  versions: new Map(batch.operations.map(({ topic }) => [topic, batch.number])),
  forbidden: [],
  prevented: [],
  ...more
})

class Numbered {
  readonly writer = new Outbox()
  private number = 0
  take = (): Batch | undefined => this.writer.take(() => ++this.number)
  /** Takes a batch that must be there. */
  must = (): Batch => {
    const batch = this.take()
    if (batch === undefined) throw new Error("there is nothing to write")
    return batch
  }
}

const waiting = (writer: Outbox, cell: Cell): { got: Written | undefined } => {
  const result: { got: Written | undefined } = { got: undefined }
  writer.wait(cell, (written) => {
    result.got = written
  })
  return result
}

describe("the writer", () => {
  it("sends the dirty connections of all topics together, at most 128 in a call", () => {
    const { writer, take, must } = new Numbered()
    for (let i = 1; i <= BATCH + 2; i++) writer.join(`topic ${i % 7}`, "alice", i, {})
    expect(must().operations).toHaveLength(BATCH)
    expect(must().operations.map(({ seq }) => seq)).toEqual([BATCH + 1, BATCH + 2])
    expect(take()).toBeUndefined()
  })

  it("ends a call early whose metas are large", () => {
    const { writer, must } = new Numbered()
    for (let i = 1; i <= 100; i++) writer.join("t", "alice", i, "x".repeat(16_000))
    expect(must().operations.length).toBeLessThan(20)
  })

  it("makes the connections of a call that failed dirty again, and sends the state, not a log", () => {
    const { writer, must, take } = new Numbered()
    const cell = writer.join("t", "alice", 1, "first")
    const lost = must()
    writer.update(cell, 2, "second")
    writer.update(cell, 3, "third")
    writer.failed(lost.number)
    const again = must()
    expect(again.operations).toEqual([{ type: "put", topic: "t", seq: 1, revision: 3, key: "alice", meta: '"third"' }])
    expect(again.number).toBeGreaterThan(lost.number)
    expect(take()).toBeUndefined()
  })

  it("lets a later call decide that carries the connection already", () => {
    const { writer, must, take } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const first = must()
    writer.leave(cell, "released")
    const second = must()
    writer.failed(first.number)
    expect(take()).toBeUndefined()
    writer.succeeded(second.number, ok(second))
    expect(writer.present).toBe(0)
    expect(writer.get(1)).toBeUndefined()
    expect(writer.idle).toBe(true)
  })

  it("writes an absence if anything was ever sent, and nothing if nothing was", () => {
    const { writer, must, take } = new Numbered()
    const unsent = writer.join("t", "alice", 1, {})
    writer.leave(unsent, "released")
    expect(take()).toBeUndefined()
    const sent = writer.join("t", "bob", 2, {})
    writer.failed(must().number)
    writer.leave(sent, "expired")
    const batch = must()
    expect(batch.operations).toEqual([{ type: "remove", topic: "t", seq: 2, reason: "expired" }])
    writer.succeeded(batch.number, ok(batch))
    expect(take()).toBeUndefined()
    expect(writer.idle).toBe(true)
  })

  it.live("keeps nothing of those who came and went while nothing could be said", () =>
    Effect.gen(function* () {
      const writer = new Outbox()
      const stays = writer.join("t", "alice", 1, {})
      const comeAndGo = (seq: number): WeakRef<object> => {
        const meta = { seq }
        writer.leave(writer.join("t", "bob", seq, meta), "released")
        return new WeakRef(meta)
      }
      const [first] = Array.from({ length: 1_000 }, (_, i) => comeAndGo(2 + i))
      expect(yield* isCollected(first as WeakRef<object>)).toBe(true)
      expect(writer.dirty).toBe(1)
      expect(writer.take(() => 1)?.operations.map(({ seq }) => seq)).toEqual([stays.seq])
    })
  )

  it("answers who waits when what they wanted, or something newer, is written", () => {
    const { writer, must } = new Numbered()
    const cell = writer.join("t", "alice", 1, 1)
    const joined = waiting(writer, cell)
    const first = must()
    writer.update(cell, 2, 2)
    const updated = waiting(writer, cell)
    writer.succeeded(first.number, ok(first))
    expect(joined.got).toEqual({ type: "written", epoch: "e", version: 1 })
    expect(updated.got).toBeUndefined()
    const second = must()
    writer.failed(second.number)
    expect(updated.got).toBeUndefined()
    const third = must()
    writer.succeeded(third.number, ok(third))
    expect(updated.got).toEqual({ type: "written", epoch: "e", version: 3 })
    expect(writer.isWritten(cell)).toBe(true)
  })

  it("tells whose connection was evicted by another, and stops writing it", () => {
    const { writer, must, take } = new Numbered()
    const one = writer.join("t", "alice", 1, 1)
    const two = writer.join("t", "alice", 2, 1)
    const three = writer.join("t", "alice", 3, 1)
    const result = waiting(writer, one)
    const batch = must()
    writer.update(one, 4, 2)
    writer.succeeded(batch.number, ok(batch, { forbidden: [0] }))
    expect(result.got).toEqual({ type: "evicted" })
    writer.evictedAt(["2:t", "9:t", "nonsense"])
    expect(writer.evicted).toEqual([one, two])
    expect(take()).toBeUndefined()
    expect(writer.present).toBe(1)
    expect(writer.get(3)).toBe(three)
  })

  it("says everything again when Redis may have lost it, and removes what it does not hold", () => {
    const { writer, must, take } = new Numbered()
    writer.join("t", "alice", 1, 1)
    const batch = must()
    writer.succeeded(batch.number, ok(batch))
    expect(take()).toBeUndefined()
    writer.rewrite()
    writer.disown(["1:t", "7:other: topic", ""])
    expect(must().operations).toEqual([
      { type: "put", topic: "t", seq: 1, revision: 1, key: "alice", meta: "1" },
      { type: "remove", topic: "other: topic", seq: 7, reason: "released" }
    ])
  })

  it("has nothing left to say, whatever happened, once everything it last said was carried out", () => {
    const command = fc.record({
      do: fc.constantFrom("join", "update", "leave", "take", "succeed", "fail", "rewrite"),
      n: fc.nat(9)
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const { writer, take } = new Numbered()
        const cells: Array<Cell> = []
        const gone = new Set<number>()
        const flying: Array<Batch> = []
        // Redis carries out in the order of the numbers, and refuses what comes late.
        const redis = new Map<number, number>()
        const carryOut = (batch: Batch): void => {
          for (const operation of batch.operations) {
            if (operation.type === "remove") redis.delete(operation.seq)
            else if ((redis.get(operation.seq) ?? 0) < operation.revision) redis.set(operation.seq, operation.revision)
          }
          writer.succeeded(batch.number, ok(batch))
        }
        let seq = 0
        for (const { do: what, n } of commands) {
          const cell = cells[n % Math.max(1, cells.length)]
          if (what === "join") cells.push(writer.join("t", "alice", ++seq, n))
          else if (what === "update" && cell !== undefined && !gone.has(cell.seq)) writer.update(cell, ++seq, n)
          else if (what === "leave" && cell !== undefined) {
            gone.add(cell.seq)
            writer.leave(cell, "released")
          } else if (what === "take") {
            const batch = take()
            if (batch !== undefined) flying.push(batch)
          } else if (what === "succeed") {
            const batch = flying.shift()
            if (batch !== undefined) carryOut(batch)
          } else if (what === "fail") {
            const batch = flying.shift()
            if (batch !== undefined) writer.failed(batch.number)
          } else if (what === "rewrite") writer.rewrite()
        }
        for (const batch of flying) writer.failed(batch.number)
        for (let batch = take(); batch !== undefined; batch = take()) carryOut(batch)
        const held = cells.filter((cell) => !gone.has(cell.seq))
        expect(redis).toEqual(new Map(held.map((cell) => [cell.seq, cell.revision])))
        expect(writer.present).toBe(held.length)
        expect(writer.idle).toBe(true)
      }),
      { numRuns: 500 }
    )
  })
})
