import { describe, expect, it } from "@effect/vitest"
import type { ApplyCall, BeatAnswer, BeatCall } from "../../../src/redis/protocol/values.js"
import { ReplicaLease } from "../../../src/redis/write/lease.js"

const beaten = (more: Partial<BeatAnswer & { readonly status: "OK" }> = {}): BeatAnswer => ({
  status: "OK",
  epoch: "e",
  history: "h",
  connections: 0,
  late: [],
  evicted: [],
  heartbeat: 5_000,
  lease: 15_000,
  ...more
})

const written = (call: ApplyCall) => ({
  status: "OK" as const,
  epoch: "e",
  changed: call.operations.length,
  emptied: false,
  lost: [],
  versions: new Map<string, number>(),
  forbidden: [],
  prevented: []
})

/** A replica that has its lease, and one connection that Redis has. */
const settled = (): ReplicaLease => {
  const replica = new ReplicaLease("r")
  const claim = replica.beat()
  expect(claim.mode).toBe("claim")
  replica.beatAnswered(claim, beaten())
  replica.outbox.join("t", "alice", 1, {})
  const call = write(replica)
  replica.written(call, written(call))
  return replica
}

const write = (replica: ReplicaLease): ApplyCall => {
  const call = replica.write()
  if (call === undefined) throw new Error("there is nothing to write")
  return call
}

const quiet = { beat: false, recover: false, late: [], epochChanged: false, refused: undefined }

describe("a replica", () => {
  it("writes nothing before it has claimed its lease", () => {
    const replica = new ReplicaLease("r")
    replica.outbox.join("t", "alice", 1, {})
    expect(replica.write()).toBeUndefined()
    replica.beatAnswered(replica.beat(), undefined)
    expect(replica.write()).toBeUndefined()
    expect(replica.beatAnswered(replica.beat(), beaten())).toEqual(quiet)
    expect(write(replica).operations).toHaveLength(1)
  })

  it("is believed by others in no history before it has looked through what Redis has of it", () => {
    const replica = new ReplicaLease("r")
    const claim = replica.beat()
    expect(claim.settled).toBe("")
    replica.beatAnswered(claim, beaten({ connections: 1 }))
    replica.outbox.join("t", "alice", 1, {})
    const call = write(replica)
    expect(replica.written(call, written(call))).toEqual(quiet)
    expect(replica.beat().settled).toBe("")
  })

  it("numbers everything that it sends, each with a tag of its own", () => {
    const replica = settled()
    const calls: Array<BeatCall | ApplyCall> = [replica.beat(), replica.about("reap", "s", []), replica.beat()]
    const numbers = calls.map(({ number }) => number)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(new Set(calls.map(({ tag }) => tag)).size).toBe(3)
  })

  it("beats again without waiting for an answer", () => {
    const replica = settled()
    const lost = replica.beat()
    const next = replica.beat()
    expect(next.mode).toBe("beat")
    expect(replica.beatAnswered(next, beaten({ connections: 1 }))).toEqual(quiet)
    expect(replica.beatAnswered(lost, undefined)).toEqual(quiet)
  })

  it("that hears SHARED writes nothing, claims, and writes everything when it is let in", () => {
    const replica = settled()
    const theirs = "format 3, regions 7"
    expect(replica.beatAnswered(replica.beat(), { status: "SHARED", theirs })).toEqual({ ...quiet, refused: theirs })
    replica.outbox.join("t", "bob", 2, {})
    expect(replica.write()).toBeUndefined()
    const claim = replica.beat()
    expect(claim.mode).toBe("claim")
    expect(replica.beatAnswered(claim, beaten({ connections: 1 }))).toEqual({ ...quiet, recover: true })
    expect(write(replica).operations).toHaveLength(2)
  })

  it.each(["beat", "write"])("that hears LEASE from a %s claims, writes everything and disowns the rest", (from) => {
    const replica = settled()
    if (from === "beat") {
      expect(replica.beatAnswered(replica.beat(), { status: "LEASE" })).toEqual({ ...quiet, beat: true })
    } else {
      replica.outbox.join("t", "bob", 2, {})
      expect(replica.written(write(replica), { status: "LEASE" })).toEqual({ ...quiet, beat: true })
    }
    expect(replica.write()).toBeUndefined()
    const claim = replica.beat()
    expect(claim.mode).toBe("claim")
    expect(replica.beatAnswered(claim, beaten())).toEqual({ ...quiet, recover: true })
    expect(
      write(replica)
        .operations.map(({ seq }) => seq)
        .sort()
    ).toEqual(from === "beat" ? [1] : [1, 2])
  })

  it("claims once, however many calls were refused, and forgets what was refused before the claim", () => {
    const replica = settled()
    replica.outbox.join("t", "bob", 2, {})
    const first = write(replica)
    replica.outbox.join("t", "carol", 3, {})
    const second = write(replica)
    const late = replica.beat()
    expect(replica.written(first, { status: "LEASE" }).beat).toBe(true)
    expect(replica.written(second, { status: "LEASE" }).beat).toBe(false)
    replica.beatAnswered(replica.beat(), beaten())
    expect(replica.isIn).toBe(true)
    expect(replica.beatAnswered(late, { status: "LEASE" })).toEqual(quiet)
    expect(replica.isIn).toBe(true)
  })

  it("recovers when Redis counts other connections than it holds, but not while it writes", () => {
    const replica = settled()
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1 })).recover).toBe(false)
    const repeated = write(replica)
    replica.written(repeated, written(repeated))
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 0 })).recover).toBe(true)
    const call = write(replica)
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 0 })).recover).toBe(false)
    replica.written(call, written(call))
    const before = replica.beat()
    replica.outbox.join("t", "bob", 2, {})
    const meanwhile = write(replica)
    replica.written(meanwhile, written(meanwhile))
    expect(replica.beatAnswered(before, beaten({ connections: 1 })).recover).toBe(false)
  })

  it("writes what Redis has again, a part with each heartbeat, when nothing else is to be said", () => {
    const replica = settled()
    const seqs = Array.from({ length: 200 }, (_, i) => i + 2)
    for (const seq of seqs) replica.outbox.join("t", `user ${seq}`, seq, {})
    for (let n = 0; n < 2; n++) {
      const call = write(replica)
      replica.written(call, written(call))
    }
    const leaving = replica.outbox.get(5)
    const repeated = (): ReadonlyArray<number> => {
      replica.beatAnswered(replica.beat(), beaten({ connections: replica.outbox.present }))
      const call = replica.write()
      if (call === undefined) return []
      // Each is the same as before.
      expect(call.operations.every(({ type }) => type === "put")).toBe(true)
      replica.written(call, written(call))
      return call.operations.map(({ seq }) => seq)
    }
    const first = repeated()
    expect(first).toEqual(Array.from({ length: 128 }, (_, i) => i + 1))
    // Who comes meanwhile is among the next, who leaves is not.
    replica.outbox.join("t", "late", 202, {})
    const joined = write(replica)
    replica.written(joined, written(joined))
    if (leaving !== undefined) replica.outbox.leave(leaving, "released")
    const left = write(replica)
    replica.written(left, written(left))
    expect(repeated()).toEqual(Array.from({ length: 74 }, (_, i) => i + 129))
    // Then from the first on.
    expect(repeated().slice(0, 5)).toEqual([1, 2, 3, 4, 6])
    // What waits is said first.
    replica.outbox.join("t", "another", 203, {})
    replica.beatAnswered(replica.beat(), beaten({ connections: 1 }))
    expect(write(replica).operations.map(({ seq }) => seq)).toEqual([203])
  })

  it("writes everything again when somebody deleted the versions, and so the epoch is another", () => {
    const replica = settled()
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, epoch: "new" })).recover).toBe(true)
    const call = write(replica)
    expect(call.operations).toHaveLength(1)
    expect(replica.written(call, { ...written(call), epoch: "newer" })).toMatchObject({
      recover: true,
      epochChanged: true
    })
    expect(write(replica).operations).toHaveLength(1)
  })

  it("recovers when Redis restarted or failed over, as the last writes may be lost", () => {
    const replica = settled()
    replica.beatAnswered(replica.beat(), beaten({ connections: 1 }))
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, history: "other" })).recover).toBe(true)
    expect(write(replica).operations).toHaveLength(1)
  })

  it("beats again when its beat was overtaken, unless another is on its way", () => {
    const replica = settled()
    const first = replica.beat()
    const second = replica.beat()
    expect(replica.beatAnswered(first, { status: "STALE" }).beat).toBe(false)
    expect(replica.beatAnswered(second, { status: "STALE" }).beat).toBe(true)
  })

  it("says again what was refused as stale", () => {
    const replica = settled()
    replica.outbox.join("t", "bob", 2, {})
    const stale = write(replica)
    expect(replica.written(stale, { status: "STALE" })).toEqual(quiet)
    expect(write(replica).operations).toEqual(stale.operations)
  })

  it("hears of evictions, says that it has until Redis knows, and does not write them again", () => {
    const replica = settled()
    replica.beatAnswered(replica.beat(), beaten({ connections: 0, evicted: ["1:t"] }))
    expect(replica.outbox.evicted.map(({ key }) => key)).toEqual(["alice"])
    const lost = replica.beat()
    expect(lost.seen).toEqual(["1:t"])
    replica.beatAnswered(lost, undefined)
    const next = replica.beat()
    expect(next.seen).toEqual(["1:t"])
    replica.beatAnswered(next, beaten())
    expect(replica.beat().seen).toEqual([])
    expect(replica.write()).toBeUndefined()
  })

  it("hears of evictions by its own writes too, and says so", () => {
    const replica = settled()
    replica.outbox.join("t", "bob", 2, {})
    replica.outbox.join("t: other", "carol", 3, {})
    const call = write(replica)
    expect(replica.written(call, { ...written(call), forbidden: [1] })).toEqual(quiet)
    expect(replica.outbox.evicted.map(({ key }) => key)).toEqual(["carol"])
    expect(replica.beat().seen).toEqual(["3:t: other"])
  })

  it("asks for more evictions at once when an answer is full, and says of a thousand at a time that it has seen them", () => {
    const replica = settled()
    const places = (count: number) => Array.from({ length: count }, (_, i) => `${i + 10}:t`)
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, evicted: places(999) })).beat).toBe(false)
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, evicted: places(1_000) })).beat).toBe(true)
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, evicted: ["9:t"] })).beat).toBe(false)
    expect(replica.beat().seen).toEqual(["9:t"])
    replica.beatAnswered({ ...replica.beat(), seen: [] }, beaten({ connections: 1, evicted: places(1_000) }))
    expect(replica.beat().seen).toHaveLength(1_000)
  })

  it("gives its lease back by a call of its own", () => {
    const replica = settled()
    expect(replica.leave()).toMatchObject({ mode: "leave", replica: "r", settled: "h", seen: [] })
  })

  it("is let in by the last claim, whatever was said of a beat before it", () => {
    const replica = settled()
    const late = replica.beat()
    replica.beatAnswered(replica.beat(), { status: "LEASE" })
    replica.beatAnswered(replica.beat(), beaten({ connections: 1 }))
    expect(replica.beatAnswered(late, { status: "SHARED", theirs: "x" }).refused).toBe("x")
    expect(replica.isIn).toBe(true)
  })

  it("says so when a new data set is there, and when others live by other settings; it never reaps itself", () => {
    const replica = settled()
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 1, epoch: "new" })).epochChanged).toBe(true)
    expect(replica.beatAnswered(replica.beat(), { status: "SHARED", theirs: "x" }).refused).toBe("x")
    expect(
      replica.beatAnswered(replica.beat(), beaten({ connections: 1, epoch: "new", late: ["s", "r"] })).late
    ).toEqual(["s"])
  })

  it("whose index is lost writes all again and looks for all, and says once that it is whole", () => {
    const replica = settled()
    const lost = beaten({ connections: undefined })
    expect(replica.beat().whole).toBe(false)
    expect(replica.beatAnswered(replica.beat(), lost)).toEqual({ ...quiet, recover: true })
    // Once is enough.
    expect(replica.beatAnswered(replica.beat(), lost)).toEqual(quiet)
    replica.outbox.disown(["9:t"])
    expect(replica.recovered()).toEqual(quiet)
    const again = write(replica)
    expect(again.operations.map(({ type, seq }) => [type, seq]).sort()).toEqual([
      ["put", 1],
      ["remove", 9]
    ])
    // What is to be said meanwhile is to be written too.
    replica.outbox.join("t", "bob", 2, {})
    expect(replica.written(again, written(again))).toEqual(quiet)
    expect(replica.beat().whole).toBe(false)
    const bob = write(replica)
    expect(replica.written(bob, written(bob))).toEqual({ ...quiet, beat: true })
    expect(replica.beat().whole).toBe(true)
    // The answer to a beat of before says nothing of that.
    expect(replica.beatAnswered(replica.beat(), lost)).toEqual(quiet)
    expect(replica.beat().whole).toBe(true)
    // Until Redis has heard it.
    expect(replica.beatAnswered(replica.beat(), undefined)).toEqual(quiet)
    expect(replica.beat().whole).toBe(true)
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 2 }))).toEqual(quiet)
    expect(replica.beat().whole).toBe(false)
    // Another time the same.
    expect(replica.beatAnswered(replica.beat(), lost).recover).toBe(true)
  })

  it("whose index is lost is asked for all of it once, also when it has nothing more to say", () => {
    const replica = settled()
    const lost = beaten({ connections: undefined })
    expect(replica.beatAnswered(replica.beat(), lost).recover).toBe(true)
    const again = write(replica)
    expect(replica.written(again, written(again))).toEqual(quiet)
    expect(replica.beatAnswered(replica.beat(), lost)).toEqual(quiet)
    expect(replica.recovered()).toEqual(quiet)
    const repeated = write(replica)
    expect(replica.written(repeated, written(repeated))).toEqual({ ...quiet, beat: true })
  })

  it("is to be believed in a new history when it has removed who left before, and says so at once", () => {
    const replica = settled()
    // When it came it had nothing there.
    expect(replica.beat().settled).toBe("h")
    replica.outbox.join("t", "bob", 2, {})
    const bob = replica.outbox.get(2)
    const joined = write(replica)
    replica.written(joined, written(joined))
    if (bob !== undefined) replica.outbox.leave(bob, "released")
    // Bob's leave was told to others, and its answer lost.
    const lost = write(replica)
    replica.written(lost, undefined)
    replica.beatAnswered(replica.beat(), beaten({ connections: 1, history: "h" }))
    expect(replica.beatAnswered(replica.beat(), beaten({ connections: 3, history: "new" })).recover).toBe(true)
    // Redis has one that is not held any more.
    replica.outbox.disown(["9:t"])
    expect(replica.recovered().beat).toBe(false)
    expect(replica.beat().settled).toBe("h")
    const again = write(replica)
    expect(again.operations.map(({ type, seq }) => [type, seq]).sort()).toEqual([
      ["put", 1],
      ["remove", 2],
      ["remove", 9]
    ])
    expect(replica.written(again, written(again))).toEqual({ ...quiet, beat: true })
    expect(replica.beat()).toMatchObject({ settled: "new", whole: false })
    expect(replica.recovered().beat).toBe(false)
    // Another one: the same again.
    replica.beatAnswered(replica.beat(), beaten({ connections: 1, history: "newer" }))
    const more = write(replica)
    expect(replica.written(more, written(more)).beat).toBe(false)
    expect(replica.recovered().beat).toBe(true)
    expect(replica.beat().settled).toBe("newer")
  })
})
