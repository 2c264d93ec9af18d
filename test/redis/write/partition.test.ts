import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { Partition } from "../../../src/redis/write/partition.js"
import { type Asked, FakePort, silent, turn } from "../../support/port.js"

const beaten = (late: ReadonlyArray<string> = [], connections = 0, longest = 15_000): RedisReply => [
  "OK",
  "e",
  "h",
  connections,
  late,
  [],
  5_000,
  longest
]

/** What an `apply` says: its mode, whose connections, and how many operations on one topic. */
const said = ({ args }: Asked) => {
  const [mode, replica, , , , topics, ...rest] = args
  const signs = rest.slice(Number(topics)).filter((arg) => arg === "+" || arg === "-")
  return { mode, replica, operations: signs.length }
}

const carried = (asked: Asked, changed = said(asked).operations, emptied = 0): void => {
  const topics = Number(asked.args[5])
  asked.answer(["OK", "e", changed, emptied, Array.from({ length: topics }, () => 1), []])
}

describe("a replica at work in a partition", () => {
  let port: FakePort
  let partition: Partition<unknown>
  const failures: Array<string> = []
  const nothing = silent((what) => failures.push(what))

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] })
    failures.length = 0
    port = new FakePort()
    const settings = { lease: 15_000, heartbeat: 5_000, partitions: 1 }
    partition = new Partition({ port, keys: new Keys("presence", 0), settings, replica: "r" }, nothing)
    partition.use()
    port.take("beat").answer(beaten())
    await turn()
  })
  afterEach(() => {
    partition.stop()
    vi.useRealTimers()
  })

  const join = (from: number, to: number): void => {
    for (let seq = from; seq <= to; seq++) partition.join("room", `user ${seq}`, seq, {}, null)
  }

  it("sends a full call at once, and what is left at the end of the turn", async () => {
    join(1, 130)
    expect(port.asked.map(said)).toEqual([{ mode: "own", replica: "r", operations: 128 }])
    await turn()
    expect(port.asked.map((asked) => said(asked).operations)).toEqual([128, 2])
  })

  it("has at most sixteen calls on their way, so that a heartbeat does not wait for more", async () => {
    join(1, 18 * 128)
    await turn()
    expect(port.asked).toHaveLength(16)
    carried(port.take("apply"))
    await turn()
    expect(port.asked).toHaveLength(16)
  })

  it("counts on a lease that a Redis which lost data does not know any more, for as long as it is", async () => {
    const heard = async (longest: number): Promise<void> => {
      partition.beat()
      port.take("beat").answer(beaten([], 0, longest))
      await turn()
    }
    expect(partition.longestLease).toBe(15_000)
    await heard(60_000)
    expect(partition.longestLease).toBe(60_000)
    const pass = async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; left -= 5_000) {
        vi.advanceTimersByTime(Math.min(left, 5_000))
        await heard(15_000)
      }
    }
    await heard(15_000)
    await pass(59_999)
    expect(partition.longestLease).toBe(60_000)
    await heard(60_000)
    await heard(30_000)
    await pass(59_999)
    expect(partition.longestLease).toBe(60_000)
    await pass(1)
    expect(partition.longestLease).toBe(15_000)
  })

  it("knows time by heartbeats that are answered, and of a time without them counts one", async () => {
    const heard = async (): Promise<void> => {
      partition.beat()
      port.take("beat").answer(beaten())
      await turn()
    }
    await heard()
    const start = partition.now
    vi.advanceTimersByTime(4_999)
    expect(partition.now - start).toBe(4_999)
    vi.advanceTimersByTime(5_001)
    expect(partition.now - start).toBe(5_000)
    await heard()
    expect(partition.now - start).toBe(10_000)
    vi.advanceTimersByTime(10_001)
    await heard()
    expect(partition.now - start).toBe(15_000)
    partition.beat()
    port.take("beat").fail()
    await turn()
    vi.advanceTimersByTime(20_000)
    expect(partition.now - start).toBe(20_000)
  })

  it("says what failed again after a pause that grows, and at once when the connection is back", async () => {
    join(1, 1)
    await turn()
    for (const pause of [100, 200, 400, 800, 1_000, 1_000]) {
      port.take("apply").fail()
      await turn()
      vi.advanceTimersByTime(pause - 1)
      expect(port.names).toEqual([])
      vi.advanceTimersByTime(1)
      expect(port.names).toEqual(["apply"])
    }
    port.take("apply").fail()
    await turn()
    partition.onReady()
    expect(port.names).toEqual(["beat", "apply"])
    port.take("apply").fail()
    await turn()
    vi.advanceTimersByTime(100)
    expect(port.names).toEqual(["beat", "apply"])
    expect(failures).toContain("writing")
  })

  it("sends nothing into a connection that is not there", async () => {
    port.ready = false
    join(1, 200)
    await turn()
    expect(port.names).toEqual([])
    port.ready = true
    partition.onReady()
    expect(port.names).toEqual(["beat", "apply", "apply"])
  })

  it("beats whether or not the last beat was answered, and is healthy as the last answer says", async () => {
    partition.beat()
    partition.beat()
    expect(port.names).toEqual(["beat", "beat"])
    port.take("beat").fail()
    await turn()
    expect(partition.isHealthy).toBe(false)
    port.take("beat").answer(beaten())
    await turn()
    expect(partition.isHealthy).toBe(true)
    port.ready = false
    partition.onDown()
    expect(partition.isHealthy).toBe(false)
  })

  it("asks by a beat when one of several connections is lost, and is healthy until that fails", async () => {
    partition.onDown()
    expect([partition.isHealthy, port.names]).toEqual([true, ["beat"]])
    port.take("beat").answer(beaten())
    await turn()
    expect(partition.isHealthy).toBe(true)
    partition.onDown()
    port.take("beat").fail()
    await turn()
    expect(partition.isHealthy).toBe(false)
  })

  it("looks once, however often it is told that something was evicted", async () => {
    for (let i = 0; i < 100; i++) partition.nudge()
    await turn()
    expect(port.names).toEqual(["beat"])
    partition.nudge()
    await turn()
    expect(port.names).toEqual(["beat", "beat"])
  })

  it("claims, writes everything and removes what it has not, when its lease is lost", async () => {
    join(1, 2)
    await turn()
    port.take("apply").answer(["LEASE"])
    await turn()
    const claim = port.take("beat")
    expect(claim.args[0]).toBe("claim")
    claim.answer(beaten())
    await turn()
    expect(said(port.take("apply"))).toEqual({ mode: "own", replica: "r", operations: 2 })
    port.take("HSCAN").answer(["7", ["9:other", "", "", "12"]])
    await turn()
    expect(said(port.take("apply"))).toEqual({ mode: "own", replica: "r", operations: 1 })
    port.take("HSCAN").fail()
    await turn()
    // From the first page again, as nobody knows which were read.
    vi.advanceTimersByTime(1_000)
    await turn()
    const again = port.take("HSCAN")
    expect(again.args[1]).toBe("0")
    again.answer(["0", ["", "12"]])
    await turn()
    vi.advanceTimersByTime(10_000)
    expect(port.names).toEqual([])
  })

  it("looks again for what it has not, when it loses its lease while it looks", async () => {
    const lose = async (): Promise<void> => {
      partition.beat()
      port.take("beat").answer(["LEASE"])
      await turn()
      port.take("beat").answer(beaten())
      await turn()
    }
    await lose()
    const first = port.take("HSCAN")
    await lose()
    expect(port.names).toEqual([])
    first.answer(["0", ["", "12"]])
    await turn()
    expect(port.names).toEqual(["HSCAN"])
  })

  const late = async (): Promise<void> => {
    partition.beat()
    port.take("beat").answer(beaten(["s"]))
    await turn()
  }
  const page = (cursor: string, ...places: ReadonlyArray<string>): RedisReply => [
    cursor,
    places.flatMap((place) => [place, ""])
  ]

  it("ends the connections of who is late page by page, once at a time, until it is forgotten", async () => {
    await late()
    await late()
    expect(port.names).toEqual(["HSCAN"])
    // A page may hold more than a call carries.
    port.take("HSCAN").answer(page("7", "", ...Array.from({ length: 130 }, (_, i) => `${i + 1}:room`)))
    await turn()
    const first = port.take("apply")
    expect(said(first)).toEqual({ mode: "reap", replica: "s", operations: 128 })
    carried(first)
    await turn()
    const second = port.take("apply")
    expect(said(second).operations).toBe(2)
    carried(second, 2, 1)
    await turn()
    port.take("HSCAN").answer(page("0"))
    await turn()
    expect(port.names).toEqual([])
    await late()
    expect(port.names).toEqual(["HSCAN"])
  })

  /** Of one whose index is gone: whether it has a lease all the same. */
  const lateWithoutIndex = async (deadline: RedisReply): Promise<void> => {
    await late()
    port.take("HSCAN").answer(page("0"))
    await turn()
    port.take("ZSCORE").answer(deadline)
    await turn()
  }

  it("looks nowhere else when somebody else has ended it with its index meanwhile", async () => {
    await lateWithoutIndex(null)
    expect(port.names).toEqual(["apply"])
  })

  it("looks on all topics for the connections of who is late when somebody has deleted its index", async () => {
    await lateWithoutIndex("-inf")
    const topics = port.take("HSCAN")
    expect(topics.args[0]).toBe("presence:{0}:v")
    topics.answer(["0", ["", "e 4", "room", "4 t", "hall", "2 t"]])
    await turn()
    const room = port.take("HSCAN")
    expect(room.args[0]).toBe("presence:{0}:m:room")
    room.answer(["0", ["s.7", "1 7 {}\nalice", "r.1", "2 1 {}\nbob", "s.8", "3 8 {}\ncarol"]])
    await turn()
    const first = port.take("apply")
    expect(said(first)).toEqual({ mode: "reap", replica: "s", operations: 2 })
    // It is forgotten with the first of them, as there is no index, and has more all the same.
    carried(first, 2, 1)
    await turn()
    const hall = port.take("HSCAN")
    expect(hall.args[0]).toBe("presence:{0}:m:hall")
    hall.answer(["0", ["s.9", "1 9 {}\nalice"]])
    await turn()
    const second = port.take("apply")
    expect(said(second)).toEqual({ mode: "reap", replica: "s", operations: 1 })
    carried(second, 1, 1)
    await turn()
    expect(port.names).toEqual([])
  })

  it.each([
    ["somebody else ends them", (asked: Asked) => carried(asked, 0)],
    ["it is not late any more", (asked: Asked) => asked.answer(["ALIVE"])],
    ["the call fails", (asked: Asked) => asked.fail()]
  ])("leaves them alone when %s", async (_, answer) => {
    await late()
    port.take("HSCAN").answer(page("7", "1:room"))
    await turn()
    answer(port.take("apply"))
    await turn()
    expect(port.names).toEqual([])
  })

  it("forgets one that is late and has nothing", async () => {
    await late()
    port.take("HSCAN").answer(page("0", ""))
    await turn()
    const call = port.take("apply")
    expect(said(call)).toEqual({ mode: "reap", replica: "s", operations: 0 })
    carried(call, 0, 1)
    await turn()
    expect(port.names).toEqual([])
  })

  it("evicts what others own, and tells each owner", async () => {
    const evicted = partition.evict("room", "alice")
    port.take("HGET").answer(" r.1 s.2 t.3 s.4 ")
    await turn()
    const ofS = port.take("apply")
    expect(said(ofS)).toEqual({ mode: "evict", replica: "s", operations: 2 })
    carried(ofS)
    await turn()
    expect(port.take("publish").args[0]).toBe("presence:{0}:n:s")
    const ofT = port.take("apply")
    expect(said(ofT)).toEqual({ mode: "evict", replica: "t", operations: 1 })
    // It has left by itself meanwhile.
    carried(ofT, 0)
    expect(await evicted).toBe(2)
    expect(port.take("publish").args[0]).toBe("presence:{0}:n:t")
    expect(port.names).toEqual([])
  })

  it.each([
    ["carried out", (call: Asked) => carried(call)],
    ["lost", (call: Asked) => call.fail()]
  ])("says nothing any more after it was stopped, also when its last call was %s", async (_, answer) => {
    join(1, 1)
    await turn()
    const call = port.take("apply")
    join(2, 2)
    partition.stop()
    answer(call)
    partition.beat()
    await turn()
    vi.advanceTimersByTime(10_000)
    partition.onReady()
    expect(port.names).toEqual([])
  })
})
