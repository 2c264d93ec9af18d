import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { NotTaken } from "../../../src/redis/client/reasons.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import type { Cell } from "../../../src/redis/write/outbox.js"
import { Partition, type PartitionEvents, WRITING } from "../../../src/redis/write/partition.js"
import { type Asked, FakePort, turn } from "../../support/port.js"

interface Beaten {
  readonly epoch?: string
  readonly history?: string
  readonly connections?: number
  readonly late?: ReadonlyArray<string>
  readonly evicted?: ReadonlyArray<string>
  readonly heartbeat?: number
}

const beaten = (more: Beaten = {}): RedisReply => {
  const { epoch = "e", history = "h", connections = 0, late = [], evicted = [], heartbeat = 5_000 } = more
  return ["OK", epoch, history, connections, late, evicted, heartbeat, 15_000]
}

/** What an `apply` answers that was carried out, with operations that were not. */
const carried = (
  version: number,
  more: { forbidden?: Array<number>; lost?: Array<RedisReply>; prevented?: Array<number> } = {}
): RedisReply => ["OK", "e", 1, 0, [version], more.forbidden ?? [], more.lost ?? [], more.prevented ?? []]

const replyError = (message: string): Error => Object.assign(new Error(message), { name: "ReplyError" })

describe("what a partition tells", () => {
  let port: FakePort
  let partition: Partition<string>
  let told: Array<ReadonlyArray<unknown>>
  const tell =
    (what: string) =>
    (...args: ReadonlyArray<unknown>): void =>
      void told.push([what, ...args])
  const events: PartitionEvents<string> = {
    onEvicted: (cells) => tell("evicted")(...cells.map(({ owner }) => owner)),
    onWritten: (epoch, versions) => tell("written")(epoch, ...versions),
    onEpochChanged: tell("epoch"),
    onRefused: tell("refused"),
    onHealthChanged: () => tell("health")(partition.isHealthy),
    onBeaten: tell("beaten"),
    onLost: (topic, { connection, key }) => tell("lost")(topic, connection, key),
    onReaped: tell("reaped"),
    onForeign: tell("foreign"),
    onFailure: (what, cause) => tell("failure")(what, cause instanceof Error ? cause.message : cause)
  }

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] })
    port = new FakePort()
    told = []
    const settings = { lease: 15_000, heartbeat: 5_000, partitions: 1 }
    partition = new Partition({ port, keys: new Keys("p", 0), settings, replica: "r" }, events)
    expect([partition.isUsed, partition.isClaimed, partition.isHealthy]).toEqual([false, false, undefined])
    partition.use()
    await answered("beat", beaten())
    expect(told.splice(0)).toEqual([["health", true], ["beaten"]])
    expect([partition.isUsed, partition.isClaimed]).toEqual([true, true])
  })
  afterEach(() => {
    partition.stop()
    vi.useRealTimers()
  })

  const answered = async (name: string, reply?: RedisReply): Promise<Asked> => {
    const asked = port.take(name)
    asked.answer(reply)
    await turn()
    return asked
  }
  const failed = async (name: string, cause?: unknown): Promise<void> => {
    port.take(name).fail(cause)
    await turn()
  }
  const beat = async (reply: RedisReply): Promise<Asked> => {
    partition.beat()
    return answered("beat", reply)
  }
  const join = async (seq: number, topic = "room"): Promise<Cell<string>> => {
    const cell = partition.join(topic, "alice", seq, {}, `owner ${seq}`)
    await turn()
    return cell
  }

  it("is what Redis has by its doing: joins, updates and leaves, each at the end of the turn", async () => {
    const cell = await join(1)
    await answered("apply", carried(7))
    partition.update(cell, 2, { busy: true })
    expect(port.names).toEqual([])
    await turn()
    expect((await answered("apply", carried(8))).args.slice(-6)).toEqual(["+", 1, 1, 2, "alice", '{"busy":true}'])
    partition.leave(cell, "released")
    expect(port.names).toEqual([])
    await turn()
    expect((await answered("apply", carried(9))).args.slice(-4)).toEqual(["-", 1, 1, "r"])
    expect(told).toEqual([
      ["written", "e", ["room", 7]],
      ["written", "e", ["room", 8]],
      ["written", "e", ["room", 9]]
    ])
  })

  it("is nothing of a call that was refused", async () => {
    await join(1)
    await answered("apply", ["STALE"])
    expect(told).toEqual([])
  })

  it("is once that it is well, or is not any more, and each beat that keeps its lease", async () => {
    await beat(beaten())
    expect(told.splice(0)).toEqual([["beaten"]])
    await beat(["LEASE"])
    expect(told.splice(0)).toEqual([])
    expect((await answered("beat", beaten())).args[0]).toBe("claim")
    await answered("HSCAN", ["0", []])
    partition.beat()
    await failed("beat")
    partition.beat()
    await failed("beat")
    expect(told.splice(0)).toEqual([
      ["beaten"],
      ["failure", "the heartbeat", "Connection is closed."],
      ["health", false],
      ["failure", "the heartbeat", "Connection is closed."]
    ])
    expect(port.names).not.toContain("TYPE")
  })

  it("is how often all beat", async () => {
    await beat(beaten({ heartbeat: 2_000 }))
    expect(partition.heartbeat).toBe(2_000)
  })

  it("is another data set, and by what others live with whom it cannot", async () => {
    await beat(beaten({ epoch: "f" }))
    expect(told.splice(0)).toEqual([["beaten"], ["epoch"]])
    await beat(["SHARED", "format 3"])
    expect(told.splice(0)).toEqual([
      ["refused", "format 3"],
      ["health", false]
    ])
    expect(partition.isClaimed).toBe(false)
  })

  it("is whose connections somebody else evicted, by a beat or by a write", async () => {
    await join(1)
    await answered("apply", carried(1))
    await join(2)
    await beat(beaten({ connections: 2, evicted: ["1:room"] }))
    await answered("apply", carried(2, { forbidden: [0] }))
    expect(told.filter(([what]) => what === "evicted")).toEqual([
      ["evicted", "owner 1"],
      ["evicted", "owner 2"]
    ])
    expect((await beat(beaten())).args.slice(-2)).toEqual(["1:room", "2:room"])
  })

  it("is which topic's keys somebody else has written, and the rest goes on", async () => {
    await join(1)
    await answered("apply", carried(1, { prevented: [0] }))
    expect(told.splice(0)).toEqual([
      ["written", "e", ["room", 1]],
      ["foreign", "p:{0}:m:room or p:{0}:k:room", "is no hash, as it should be"]
    ])
    expect(partition.refusedWith).toBeInstanceOf(NotTaken)
    expect(String(partition.refusedWith)).toContain("p:{0}:m:room or p:{0}:k:room is no hash, as it should be")
    vi.advanceTimersByTime(99)
    expect(port.names).toEqual([])
    vi.advanceTimersByTime(1)
    await answered("apply", carried(1, { prevented: [0] }))
    // Each time twice as long.
    vi.advanceTimersByTime(199)
    expect(port.names).toEqual([])
    vi.advanceTimersByTime(1)
    await answered("apply", carried(2))
    expect(partition.refusedWith).toBeUndefined()
    await join(2)
    await answered("apply", carried(2, { prevented: [0] }))
    // The one that was taken meanwhile began the count anew.
    vi.advanceTimersByTime(100)
    expect(port.names).toEqual(["apply"])
  })

  it("is what failed; leaves are said at once where a full Redis takes nothing else", async () => {
    const cell = await join(1)
    await answered("apply", carried(1))
    told = []
    await join(2)
    const full = replyError("OOM command not allowed when used memory > 'maxmemory'.")
    partition.leave(cell, "released")
    partition.join("room", "bob", 3, {}, "owner 3")
    await failed("apply", full)
    expect(told).toEqual([["failure", WRITING, full.message]])
    expect(partition.refusedWith).toBe(full)
    // What was on its way besides, then leaves alone.
    await failed("apply", full)
    expect(port.asked.map(({ args }) => args.slice(-4))).toEqual([["-", 1, 1, "r"]])
    await answered("apply", carried(2))
    // That makes room, and says nothing of the joins.
    expect(partition.refusedWith).toBe(full)
  })

  it("is no refusal when the connection was lost, and leaves go with the rest then", async () => {
    const cell = await join(1)
    await answered("apply", carried(1))
    await join(2)
    partition.leave(cell, "released")
    await failed("apply")
    expect(partition.refusedWith).toBeUndefined()
    expect(port.asked.map(({ args }) => args.slice(7))).toEqual([["-", 1, 1, "r", "+", 1, 2, 2, "alice", "{}"]])
  })

  it("is no refusal any more once a join is taken, also with leaves in one call", async () => {
    const cell = await join(1)
    await answered("apply", carried(1))
    await join(2)
    await failed("apply", replyError("NOPERM"))
    expect(partition.refusedWith).toBeInstanceOf(Error)
    partition.leave(cell, "released")
    await turn()
    await answered("apply", carried(2))
    expect(partition.refusedWith).toBeUndefined()
  })

  it("is which key has another type, when Redis says of a beat that one has", async () => {
    partition.beat()
    await failed("beat", replyError("WRONGTYPE Operation against a key holding the wrong kind of value"))
    told = []
    const types = ["zset", "none", "string", "hash", "list", "hash"]
    const keys: Array<unknown> = []
    for (const type of types) keys.push(...(await answered("TYPE", type)).args)
    expect(keys).toEqual(["p:{0}:l", "p:{0}:v", "p:{0}:i:r", "p:{0}:x:r", "p:{0}:c", "p:{0}:r"])
    expect(told).toEqual([
      ["foreign", "p:{0}:i:r", "is a string, where a hash should be"],
      ["foreign", "p:{0}:c", "is a list, where a string should be"]
    ])
    partition.beat()
    await failed("beat", replyError("WRONGTYPE Operation against a key holding the wrong kind of value"))
    told = []
    await failed("TYPE")
    expect(told).toEqual([["failure", "looking at keys", "Connection is closed."]])
    expect(port.names).toEqual([])
  })

  it("is who was lost with another replica, and how many it ended", async () => {
    await beat(beaten({ late: ["s"] }))
    await answered("HSCAN", ["0", ["", "9", "1:room", "", "2:room", ""]])
    const [lost] = [["1", "3 1 {}\nbob"]]
    told = []
    const reap = await answered("apply", ["OK", "e", 2, 1, [4], [], lost as Array<RedisReply>, []])
    expect(reap.args.slice(0, 2)).toEqual(["reap", "s"])
    expect(reap.args.slice(-8)).toEqual(["-", 1, 1, "l", "-", 1, 2, "l"])
    expect(told).toEqual([
      ["lost", "room", "s.2", "bob"],
      ["reaped", "s", 2]
    ])
  })

  it("is what failed of a reap, and only what that had ended", async () => {
    await beat(beaten({ late: ["s"] }))
    told = []
    await failed("HSCAN")
    expect(told.splice(0)).toEqual([["failure", "reaping", "Connection is closed."]])
    await beat(beaten({ late: ["s"] }))
    await answered("HSCAN", ["7", ["1:room", ""]])
    told = []
    await answered("apply", ["OK", "e", 1, 0, [4], [], [], []])
    await failed("HSCAN")
    expect(told).toEqual([
      ["failure", "reaping", "Connection is closed."],
      ["reaped", "s", 1]
    ])
  })

  it("is what failed of looking for what it does not hold, which it tries again after a second", async () => {
    await beat(beaten({ history: "another", connections: 1 }))
    told = []
    await failed("HSCAN")
    expect(told).toEqual([["failure", "recovering", "Connection is closed."]])
    vi.advanceTimersByTime(999)
    await turn()
    expect(port.names).toEqual([])
    vi.advanceTimersByTime(1)
    await turn()
    await answered("HSCAN", ["0", ["", "9"]])
    // It has gone through all, and says so at once.
    const said = port.take("beat")
    expect(said.args[6]).toBe("another")
    // The next time it looks again.
    await beat(beaten({ history: "a third" }))
    expect(port.names).toEqual(["HSCAN"])
  })

  it("is no more than the call on its way where it was stopped while it ended another replica's connections", async () => {
    await beat(beaten({ late: ["s"] }))
    await answered("HSCAN", ["7", Array.from({ length: 130 }, (_, i) => [`${i + 1}:room`, ""]).flat()])
    partition.stop()
    await answered("apply", ["OK", "e", 128, 0, [4], [], [], []])
    expect(port.names).toEqual([])
  })

  it("is of evictions by itself what changed, also where one owner's call is refused", async () => {
    const evicting = partition.evict("room", "alice")
    expect((await answered("HGET", " s.1 t.2 ")).args).toEqual(["p:{0}:k:room", "alice"])
    const first = await answered("apply", ["LEASE"])
    expect(first.args.slice(0, 2)).toEqual(["evict", "s"])
    const second = await answered("apply", ["OK", "e", 1, 0, [4], [], [], []])
    expect(second.args.slice(-4)).toEqual(["-", 1, 2, "v"])
    expect(await evicting).toBe(1)
    expect(told).toEqual([["written", "e", ["room", 4]]])
    // That an owner could not be told is no matter: it finds out by its next beat.
    expect(port.asked.map(({ args }) => args)).toEqual([
      ["p:{0}:n:s", ""],
      ["p:{0}:n:t", ""]
    ])
    await failed("publish")
    await answered("publish")
    const late = partition.evict("room", "alice")
    await answered("HGET", " s.1 ")
    await answered("apply", ["OK", "e", 0, 0, [4], [], [], []])
    expect([await late, told.length]).toEqual([0, 1])
    await answered("publish")
    const none = partition.evict("room", "nobody")
    await answered("HGET", null)
    expect([await none, port.names, told.length]).toEqual([0, [], 1])
  })

  it("goes on with its lease given back, where it has used it", async () => {
    const giving = partition.giveBack()
    expect((await answered("beat", beaten())).args[0]).toBe("leave")
    await giving
    const settings = { lease: 15_000, heartbeat: 5_000, partitions: 1 }
    const unused = new Partition({ port, keys: new Keys("p", 0), settings, replica: "r" }, events)
    await unused.giveBack()
    unused.beat()
    unused.onDown()
    port.ready = false
    unused.onDown()
    port.ready = true
    expect([port.names, unused.isHealthy]).toEqual([[], undefined])
    // Who evicts here begins to live here.
    void unused.evict("room", "alice")
    expect(port.names).toEqual(["beat", "HGET"])
    expect(unused.keys.leases).toBe("p:{0}:l")
    unused.stop()
  })

  it("is nothing yet of those who have members and no lease, when all others had time for one: they are late now", async () => {
    for (const [owners, marked] of [
      [["s.1", "r.2", "t.3"], [["ZADD", "p:{0}:l", "NX", "-inf", "s", "-inf", "t"]]],
      [["r.2"], []]
    ] as const) {
      await beat(beaten({ late: ["*"] }))
      await answered("HSCAN", ["0", ["", "e 0", "room", "1 t"]])
      await answered("HSCAN", ["0", owners.flatMap((owner) => [owner, "1 1 {}\nk"])])
      await answered("ZRANGE", ["r"])
      expect(port.asked.filter(({ name }) => name === "ZADD").map(({ name, args }) => [name, ...args])).toEqual(marked)
      if (marked.length > 0) await answered("ZADD", 2)
      // Nobody has an index of that name, and it is forgotten.
      expect((await answered("HSCAN", ["0", []])).args[0]).toBe("p:{0}:i:*")
      await answered("ZSCORE", null)
      expect((await answered("apply", ["OK", "e", 0, 1, [], [], [], []])).args.slice(0, 2)).toEqual(["reap", "*"])
    }
    expect(told.filter(([what]) => what === "lost" || what === "failure")).toEqual([])
  })

  it("is nothing of who is not late any more", async () => {
    await beat(beaten({ late: ["s"] }))
    await answered("HSCAN", ["7", ["1:room", ""]])
    told = []
    await answered("apply", ["ALIVE"])
    expect([told, port.names]).toEqual([[], []])
  })

  it("ends others' connections also where the memory is full", async () => {
    const texts: Array<string> = []
    const { run } = port
    Object.assign(port, {
      run: (...args: Parameters<typeof run>) => {
        if (args[0].name === "apply") texts.push(args[0].text.split("\n")[0] ?? "")
        return run(...args)
      }
    })
    await beat(beaten({ late: ["s"] }))
    await answered("HSCAN", ["0", ["1:room", ""]])
    void partition.evict("room", "alice")
    await answered("HGET", " t.1 ")
    expect(texts).toEqual(["#!lua flags=allow-oom", "#!lua flags=allow-oom"])
  })

  it("is nothing any more once it was stopped, whatever was on its way", async () => {
    await beat(beaten({ late: ["s"], history: "another" }))
    partition.beat()
    partition.stop()
    told = []
    await answered("beat", beaten({ late: ["t"], epoch: "f" }))
    await answered("HSCAN", ["0", []])
    while (port.names.includes("HSCAN")) await answered("HSCAN", ["0", ["1:room", ""]])
    expect(told).toEqual([])
  })
})
