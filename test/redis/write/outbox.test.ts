import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import type { ApplyAnswer } from "../../../src/redis/protocol/values.js"
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
  /** How many numbers were used. */
  get used(): number {
    return this.number
  }
  take = (only?: "leaves"): Batch | undefined => this.writer.take(() => ++this.number, only)
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
    // With its quotes each has 16,384 characters, so that sixteen of them fill a call.
    for (let i = 1; i <= 100; i++) writer.join("t", "alice", i, "x".repeat(16_382))
    expect(must().operations).toHaveLength(16)
  })

  it("uses no number while there is nothing to say", () => {
    const numbered = new Numbered()
    const { writer, must, take } = numbered
    writer.join("t", "alice", 1, {})
    const batch = must()
    expect(take()).toBeUndefined()
    writer.succeeded(batch.number, ok(batch))
    expect(take()).toBeUndefined()
    expect(numbered.used).toBe(1)
  })

  it("repeats what Redis has, and neither who is on the way there nor who leaves", () => {
    const { writer, must, take } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const joining = must()
    writer.repeat()
    expect(take()).toBeUndefined()
    writer.succeeded(joining.number, ok(joining))
    writer.repeat()
    const again = must()
    expect(again.operations).toEqual(joining.operations)
    writer.succeeded(again.number, ok(again))
    writer.leave(cell, "released")
    must()
    writer.repeat()
    expect(take()).toBeUndefined()
  })

  it("says leaves alone when it is asked for those, and the rest afterwards", () => {
    const { writer, must, take } = new Numbered()
    const cells = [1, 2, 3].map((seq) => writer.join("t", "alice", seq, {}))
    const joins = must()
    writer.succeeded(joins.number, ok(joins))
    writer.update(cells[0] as Cell, 4, {})
    writer.leave(cells[1] as Cell, "released")
    writer.update(cells[2] as Cell, 5, {})
    const leaves = take("leaves")
    expect(leaves?.operations).toEqual([{ type: "remove", topic: "t", seq: 2, reason: "released" }])
    expect(take("leaves")).toBeUndefined()
    expect(writer.flying).toBe(1)
    expect(must().operations.map(({ type, seq }) => [type, seq])).toEqual([
      ["put", 1],
      ["put", 3]
    ])
  })

  it("forgets nothing of the rest, however many leaves there are", () => {
    const { writer, must, take } = new Numbered()
    const [stays, ...go] = Array.from({ length: 301 }, (_, i) => writer.join("t", "alice", i + 1, {}))
    for (let batch = take(); batch !== undefined; batch = take()) writer.succeeded(batch.number, ok(batch))
    writer.update(stays as Cell, 400, {})
    for (const cell of go) writer.leave(cell, "released")
    const sizes = Array.from({ length: 4 }, () => take("leaves")?.operations.length)
    expect(sizes).toEqual([BATCH, BATCH, 300 - 2 * BATCH, undefined])
    expect(must().operations.map(({ type, seq }) => [type, seq])).toEqual([["put", 1]])
  })

  it("counts who is to be there, and is idle once Redis has all that is wanted", () => {
    const { writer, must } = new Numbered()
    const [one] = [1, 2, 3].map((seq) => writer.join("t", "alice", seq, {}))
    const cell = one as Cell
    expect([writer.present, writer.idle, writer.isWritten(cell)]).toEqual([3, false, false])
    const joins = must()
    expect([writer.present, writer.idle, writer.isWritten(cell)]).toEqual([3, false, false])
    writer.succeeded(joins.number, ok(joins))
    expect([writer.present, writer.idle, writer.isWritten(cell)]).toEqual([3, true, true])
    writer.leave(cell, "released")
    expect([writer.present, writer.idle, writer.isWritten(cell)]).toEqual([2, false, false])
    const leaves = must()
    expect([writer.present, writer.idle, writer.isWritten(cell)]).toEqual([2, false, false])
    writer.succeeded(leaves.number, ok(leaves))
    expect([writer.present, writer.idle]).toEqual([2, true])
    writer.disown(["9:t"])
    expect([writer.present, writer.idle]).toEqual([2, false])
  })

  it("knows of nothing more by an answer that comes twice", () => {
    const { writer, must, take } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const batch = must()
    writer.succeeded(batch.number, ok(batch))
    writer.succeeded(batch.number, ok(batch, { forbidden: [0] }))
    writer.failed(batch.number)
    expect(take()).toBeUndefined()
    expect([writer.present, writer.isWritten(cell)]).toEqual([1, true])
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

  it.live("keeps nothing of what Redis has been told of those who left", () =>
    Effect.gen(function* () {
      const { writer, must } = new Numbered()
      const carryOut = (): void => {
        const batch = must()
        writer.succeeded(batch.number, ok(batch))
      }
      const comeAndGo = (seq: number): WeakRef<object> => {
        const meta = { seq }
        const cell = writer.join("t", "bob", seq, meta)
        carryOut()
        writer.leave(cell, "released")
        carryOut()
        return new WeakRef(meta)
      }
      // One that is wanted again and again, so that there is always something to say.
      const stays = writer.join("t", "alice", 1, {})
      const all = Array.from({ length: 50 }, (_, i) => {
        const gone = comeAndGo(2 + i)
        writer.update(stays, 100 + i, {})
        return gone
      })
      for (const gone of all) expect(yield* isCollected(gone)).toBe(true)
      expect(must().operations.map(({ seq }) => seq)).toEqual([1])
    })
  )

  it("tells who waits for one that came and went, unsaid, that nothing is left to wait for", () => {
    const { writer } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const result = waiting(writer, cell)
    writer.leave(cell, "released")
    expect(result.got).toEqual({ type: "written", epoch: "", version: 0 })
  })

  it("tells nothing to who has ended the waiting, and all the same to who has not", () => {
    const { writer, must } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const told: Array<string> = []
    const end = writer.wait(cell, () => told.push("ended"))
    writer.wait(cell, () => told.push("waits"))
    end()
    const batch = must()
    writer.succeeded(batch.number, ok(batch))
    expect(told).toEqual(["waits"])
    // Also when there is nobody left.
    end()
    writer.succeeded(batch.number, ok(batch))
    expect(told).toEqual(["waits"])
  })

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

  it("counts whom Redis may show though they left, until it has taken them away", () => {
    const { writer, must } = new Numbered()
    const cells = [1, 2].map((seq) => writer.join("t", "alice", seq, {}))
    const joins = must()
    writer.succeeded(joins.number, ok(joins))
    writer.leave(cells[0] as Cell, "released")
    expect(writer.ghosts).toBe(0)
    const before = must()
    // Redis may have lost it, whether or not it has carried it out.
    writer.rewrite()
    writer.disown(["9:t"])
    expect(writer.ghosts).toBe(2)
    writer.rewrite()
    expect(writer.ghosts).toBe(2)
    writer.succeeded(before.number, ok(before))
    expect(writer.ghosts).toBe(2)
    const again = must()
    expect(again.operations.map(({ type, seq }) => [type, seq])).toEqual([
      ["remove", 1],
      ["put", 2],
      ["remove", 9]
    ])
    writer.succeeded(again.number, ok(again))
    expect([writer.ghosts, writer.present, writer.idle]).toEqual([0, 1, true])
  })

  it("goes on saying a leave until the last call that says so was carried out", () => {
    const { writer, must } = new Numbered()
    const cell = writer.join("t", "alice", 1, {})
    const join = must()
    writer.leave(cell, "released")
    writer.succeeded(join.number, ok(join))
    const first = must()
    writer.rewrite()
    const second = must()
    // Redis has lost the first since.
    writer.succeeded(first.number, ok(first))
    writer.failed(second.number)
    expect(must().operations).toEqual([{ type: "remove", topic: "t", seq: 1, reason: "released" }])
  })

  describe("what Redis does not take as it is", () => {
    const refused = (numbered: Numbered, count = 1): Array<Cell> => {
      const { writer, must } = numbered
      const cells = Array.from({ length: count }, (_, i) => writer.join("t", "alice", i + 1, i))
      const batch = must()
      writer.succeeded(batch.number, ok(batch, { prevented: batch.operations.map((_, index) => index) }))
      return cells
    }

    it("waits, as wanted by then, for the next try", () => {
      const numbered = new Numbered()
      const { writer, take, must } = numbered
      const [cell] = refused(numbered) as [Cell]
      const result = waiting(writer, cell)
      expect([writer.idle, writer.dirty, writer.isWritten(cell)]).toEqual([false, 1, false])
      expect(take()).toBeUndefined()
      writer.update(cell, 2, "newer")
      expect(take()).toBeUndefined()
      writer.retry()
      const again = must()
      expect(again.operations).toMatchObject([{ seq: 1, revision: 2, meta: '"newer"' }])
      writer.retry()
      expect(take()).toBeUndefined()
      writer.succeeded(again.number, ok(again))
      expect([writer.idle, result.got?.type]).toEqual([true, "written"])
    })

    it("stands back behind a later call that carries it, and is nobody's who was evicted meanwhile", () => {
      const { writer, take, must } = new Numbered()
      const [one, two, three] = [1, 2, 3].map((seq) => writer.join("t", "alice", seq, 1)) as [Cell, Cell, Cell]
      const first = must()
      writer.update(one, 4, 2)
      const later = must()
      writer.update(two, 5, 2)
      writer.evictedAt(["3:t"])
      writer.succeeded(first.number, ok(first, { prevented: [0, 1, 2] }))
      expect(writer.evicted).toEqual([three])
      expect(writer.dirty).toBe(1)
      expect(must().operations.map(({ seq }) => seq)).toEqual([2])
      writer.retry()
      expect(take()).toBeUndefined()
      writer.succeeded(later.number, ok(later))
      expect(writer.isWritten(one)).toBe(true)
    })
  })

  it("has done with one that was evicted, whatever its owner and its calls still say", () => {
    const { writer, must, take } = new Numbered()
    const cells = [1, 2, 3].map((seq) => writer.join("t", "alice", seq, 1)) as [Cell, Cell, Cell]
    const [one, two] = cells
    const first = must()
    writer.update(one, 4, 2)
    writer.update(two, 5, 2)
    const second = must()
    writer.succeeded(first.number, ok(first, { forbidden: [0, 1] }))
    writer.succeeded(second.number, ok(second, { forbidden: [0, 1] }))
    expect([writer.evicted, writer.present]).toEqual([[one, two], 1])
    writer.update(one, 6, 3)
    writer.leave(two, "released")
    expect([take(), writer.present, writer.idle]).toEqual([undefined, 1, true])
    writer.update(cells[2], 7, 2)
    const third = must()
    writer.evictedAt(["3:t"])
    writer.failed(third.number)
    expect([take(), writer.present, writer.idle]).toEqual([undefined, 0, true])
    expect(waiting(writer, cells[2]).got).toBeUndefined()
  })

  it("does not mistake one that Redis shows for another that had its number before", () => {
    const { writer, must } = new Numbered()
    const cell = writer.join("t", "alice", 1, 1)
    const first = must()
    writer.update(cell, 2, 2)
    const second = must()
    writer.succeeded(first.number, ok(first, { forbidden: [0] }))
    writer.disown(["1:t"])
    // The answer is about the one that was evicted.
    writer.succeeded(second.number, ok(second, { forbidden: [0] }))
    writer.update(cell, 3, 3)
    expect([writer.ghosts, writer.dirty]).toEqual([1, 1])
    expect(must().operations).toEqual([{ type: "remove", topic: "t", seq: 1, reason: "released" }])
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
