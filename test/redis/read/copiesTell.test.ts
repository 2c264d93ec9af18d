import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys, partitionOf } from "../../../src/redis/protocol/keys.js"
import { Copies, type CopiesOptions, type FollowedTopic } from "../../../src/redis/read/copies.js"
import { type Asked, FakePort, turn } from "../../support/port.js"

/** What `read` answers of a topic at a version. */
const standing = (version: number, members: RedisReply = ["r.1", "1 1 {}\nr.1"], size = 1): RedisReply => [
  "e 0",
  `${version} t${version}`,
  "h",
  ["r"],
  size,
  members
]

const message = (to: number): string =>
  JSON.stringify(["e", to - 1, `t${to - 1}`, to, `t${to}`, 0, "+", `r.${to}`, 1, `r.${to}`, {}])

describe("the followed topics", () => {
  let port: FakePort
  let copies: Copies
  let told: Array<ReadonlyArray<unknown>>
  let now: number
  const tell =
    (what: string) =>
    (...args: ReadonlyArray<unknown>): void =>
      void told.push([what, ...args])

  const begin = (
    partitions = 1,
    mode: FakePort["mode"] | "cluster" = "standalone",
    more: Partial<CopiesOptions> = {}
  ) => {
    port = Object.assign(new FakePort(partitions), { mode })
    copies = new Copies({
      port,
      partitions: Array.from({ length: partitions }, (_, i) => new Keys("p", i)),
      retention: () => 20_000,
      now: () => now,
      leaseTime: () => now,
      onDelta: ({ topic, version }) => tell("delta")(topic, version),
      onEmpty: tell("empty"),
      onResync: tell("resync"),
      onForeign: tell("foreign"),
      onFailure: (what, cause) => tell("failure")(what, cause instanceof Error ? cause.message : cause),
      ...more
    })
  }

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    told = []
    now = 0
    begin()
  })
  afterEach(() => {
    copies.close()
    vi.useRealTimers()
  })

  const pass = async (ms: number): Promise<void> => {
    now += ms
    vi.advanceTimersByTime(ms)
    await turn()
  }
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
  const followed = async (topic = "room"): Promise<FollowedTopic> => {
    const followed = copies.acquire(topic)
    await answered("subscribe")
    await answered("read", standing(5))
    return followed
  }
  const hear = (text: string, topic = "room", partition = 0): boolean =>
    copies.onMessage(`p:{${partition}}:t:${topic}`, text)

  it("are known by their names, and can be read once their first snapshot is through", async () => {
    const room = copies.acquire("room")
    expect([copies.size, copies.get("room"), copies.live("room"), room.isFollowable]).toEqual([
      1,
      room,
      undefined,
      false
    ])
    await answered("subscribe")
    await answered("read", standing(5))
    expect([copies.live("room"), room.isFollowable, room.isSubscribed]).toEqual([room, true, true])
    expect([copies.get("other"), copies.live("other"), hear(message(6), "other")]).toEqual([
      undefined,
      undefined,
      false
    ])
    expect(copies.acquire("room")).toBe(room)
    expect([port.names, told]).toEqual([[], []])
    copies.release(room)
    copies.release(room)
    expect([copies.size, copies.get("room")]).toEqual([0, undefined])
    // That it could not be unsubscribed from is no matter.
    await failed("unsubscribe")
  })

  it("are each in the partition of their name", async () => {
    begin(16)
    const partition = partitionOf("room", 16)
    const room = copies.acquire("room")
    expect([room.partition, room.channel]).toEqual([partition, `p:{${partition}}:t:room`])
    await answered("subscribe")
    await answered("read", standing(5))
    expect(hear(message(6), "room", partition)).toBe(true)
    expect(told).toEqual([["delta", "room", 6]])
  })

  it("are compared by partitions, of one alone when it is named, and only those that can be read", async () => {
    begin(2)
    const [a, b] = [0, 1].map((partition) => {
      const topic = Array.from({ length: 50 }, (_, i) => `room ${i}`).find((name) => partitionOf(name, 2) === partition)
      return topic ?? ""
    }) as [string, string]
    for (const topic of [a, b]) await followed(topic)
    copies.acquire(Array.from({ length: 50 }, (_, i) => `new ${i}`).find((name) => partitionOf(name, 2) === 1) ?? "")
    port.take("subscribe")
    const one = copies.digest("nudge", 1)
    expect((await answered("HMGET", ["e 0", "5 t5"])).args).toEqual(["p:{1}:v", "", b])
    expect([await one, port.names]).toEqual([0, []])
    const all = copies.digest()
    expect((await answered("HMGET", ["e 0", "6 t6"])).args).toEqual(["p:{0}:v", "", a])
    await answered("heard")
    expect((await answered("HMGET", ["e 0", "6 t6"])).args).toEqual(["p:{1}:v", "", b])
    await answered("heard")
    expect(await all).toBe(2)
    expect(told).toEqual([
      ["resync", "digest"],
      ["resync", "digest"]
    ])
    expect(port.names).toEqual(["read", "read"])
  })

  it("tell whoever waits that something came, unless they have gone by then", async () => {
    const room = await followed()
    const woken: Array<string> = []
    copies.changed(room, () => woken.push("a"))
    const stop = copies.changed(room, () => woken.push("b"))
    stop()
    hear(message(6))
    expect(woken).toEqual(["a"])
    hear(message(7))
    expect(woken).toEqual(["a"])
    // Also what changes nothing, as it may be what somebody waits for.
    copies.changed(room, () => woken.push("c"))
    hear(message(7))
    expect(woken).toEqual(["a", "c"])
    copies.changed(room, () => woken.push("d"))
    copies.close()
    expect(woken).toEqual(["a", "c", "d"])
  })

  it("say which channel has what no replica wrote, and go on", async () => {
    await followed()
    expect(hear("nonsense")).toBe(true)
    expect(told).toEqual([["foreign", "p:{0}:t:room", "has a message that cannot be read"]])
    hear(message(6))
    expect(told.slice(1)).toEqual([["delta", "room", 6]])
  })

  it("say which key has what no replica wrote: another type, or members that are none", async () => {
    copies.acquire("room")
    await answered("subscribe")
    await failed("read", new Error("WRONGTYPE Operation against a key"))
    expect(told.splice(0)).toEqual([
      ["foreign", "p:{0}:m:room", "is no hash, as it should be"],
      ["failure", "reading a topic", "WRONGTYPE Operation against a key"]
    ])
    await pass(20)
    await failed("read")
    expect(told.splice(0)).toEqual([["failure", "reading a topic", "Connection is closed."]])
    await pass(40)
    await answered("read", standing(5, ["r.1", "1 1 {}\nr.1", "x", "y"], 2))
    expect(told.splice(0)).toEqual([["foreign", "p:{0}:m:room", "holds what is no member"]])
    expect(copies.live("room")?.copy.roster.connections).toBe(1)
    // The same by pages.
    hear(message(9))
    await answered("read", standing(9, null, 2_000))
    await answered("HSCAN", ["0", ["r.1", "1 1 {}\nr.1", "x", "y"]])
    await answered("read", standing(9, null, 2_000))
    expect(told.splice(0)).toEqual([
      ["resync", "gap"],
      ["foreign", "p:{0}:m:room", "holds what is no member"],
      ["delta", "room", 9]
    ])
  })

  it("say why they are read again, and not that they are read at first", async () => {
    await followed()
    hear(JSON.stringify(["f", 0, "", 1, "t1", 1, "+", "r.9", 1, "r.9", {}]))
    expect(told).toEqual([["resync", "epoch"]])
    await failed("read")
    await pass(20)
    expect(told.slice(1)).toEqual([
      ["failure", "reading a topic", "Connection is closed."],
      ["resync", "failed"]
    ])
    told = []
    await answered("read", [null, null, "h", [], 0, []])
    expect(told).toEqual([["empty", 0]])
    await pass(40)
    expect(told.slice(1)).toEqual([["resync", "unfinished"]])
    // A gap in what came meanwhile.
    hear(message(9))
    await answered("read", standing(5))
    await pass(80)
    expect(told.slice(2)).toEqual([["resync", "gap"]])
    await answered("read", standing(9))
    expect([port.names, told.slice(3)]).toEqual([[], [["delta", "room", 9]]])
  })

  it("are told that a subscription failed, once for all that ask for it", async () => {
    copies.acquire("room")
    await failed("subscribe")
    await answered("read", standing(5))
    expect(told.splice(0)).toEqual([["failure", "subscribing", "Connection is closed."]])
    copies.onSubscriberDown()
    const refused = expect(copies.onSubscriberReady()).rejects.toThrow("Connection is closed.")
    await failed("subscribe")
    await failed("HMGET")
    await refused
    now += 10_000
    const patrol = copies.patrol()
    await answered("subscribe")
    await failed("HMGET")
    await patrol
    expect(told.splice(0)).toEqual([
      ["failure", "subscribing", "Connection is closed."],
      ["failure", "looking for what was missed", "Connection is closed."]
    ])
    // It looked, so the next look is ten seconds from then.
    now += 9_999
    await copies.patrol()
    expect(port.names).toEqual([])
  })

  it("say why the subscriber that came back makes them read again", async () => {
    const room = await followed()
    for (const [version, reason] of [
      [6, undefined],
      [7, "new master"]
    ] as const) {
      copies.onSubscriberDown()
      expect(room.isSubscribed).toBe(false)
      const ready = copies.onSubscriberReady(reason)
      expect((await answered("subscribe")).args).toEqual(["p:{0}:t:room"])
      await answered("HMGET", ["e 0", `${version} t${version}`])
      await answered("heard")
      await ready
      expect(told.splice(0)).toEqual([["resync", reason ?? "reconnect"]])
      await answered("read", standing(version))
      told = []
    }
  })

  it("are subscribed to once, and compared 500 with a command, none with none", async () => {
    expect([await copies.digest(), port.names]).toEqual([0, []])
    for (let i = 0; i < 500; i++) await followed(`room ${i}`)
    now += 10_000
    const patrol = copies.patrol()
    expect((await answered("subscribe")).args).toEqual([])
    await answered("HMGET", ["e 0", ...Array.from({ length: 500 }, () => "5 t5")])
    await patrol
    expect(port.names).toEqual([])
  })

  it("say why the subscriber is made anew, and why a topic is looked at before those leave whom Redis lost", async () => {
    await followed()
    Object.assign(port, { renewSubscriber: tell("renew") })
    for (const version of [6, 7]) {
      now += 10_000
      const patrol = copies.patrol()
      await answered("subscribe")
      await answered("HMGET", ["e 0", `${version} t${version}`])
      await answered("heard")
      await answered("read", standing(version))
      await patrol
    }
    expect(told).toContainEqual(["renew", "it does not hear what is published"])
    hear(message(9))
    await answered("read", ["f 0", null, "h", ["r"], 0, []])
    told = []
    now += 20_000
    void copies.patrol()
    expect(told).toEqual([["resync", "retention"]])
  })

  it("wait in a cluster also for what is on its way from node to node", async () => {
    begin(1, "cluster")
    await followed()
    const digest = copies.digest()
    await answered("HMGET", ["e 0", "6 t6"])
    await answered("heard")
    expect(port.names).toEqual([])
    await pass(299)
    expect(port.names).toEqual([])
    hear(message(6))
    await pass(1)
    expect([await digest, port.names]).toEqual([0, []])
  })

  describe("after our own writes", () => {
    it("are nothing to wait for where nobody follows, or all has come", async () => {
      copies.onWritten("e", new Map([["room", 6]]))
      const room = await followed()
      copies.onWritten("e", new Map([["other", 6]]))
      copies.onWritten("e", new Map([["room", 5]]))
      await pass(300)
      expect([room.hasReached, room.isConfirming, port.names]).toEqual([true, false, []])
    })

    it("expect the newest of one epoch, and what another says of another", async () => {
      const room = await followed()
      copies.onWritten("e", new Map([["room", 7]]))
      copies.onWritten("e", new Map([["room", 6]]))
      expect(room.expected).toEqual({ epoch: "e", version: 7 })
      copies.onWritten("f", new Map([["room", 1]]))
      expect(room.expected).toEqual({ epoch: "f", version: 1 })
      // What is of another epoch than the copy's says nothing about that.
      expect(room.hasReached).toBe(true)
    })

    it("are asked about once at a time, and by nobody any more when all have gone", async () => {
      const room = await followed()
      copies.onWritten("e", new Map([["room", 6]]))
      copies.onWritten("e", new Map([["room", 7]]))
      expect(room.isConfirming).toBe(true)
      await pass(300)
      expect(port.names).toEqual(["heard"])
      await answered("heard")
      expect([port.names, room.isConfirming]).toEqual([["read"], false])
      await answered("read", standing(7))
      copies.onWritten("e", new Map([["room", 8]]))
      copies.release(room)
      await answered("unsubscribe")
      await pass(300)
      expect([port.names, room.isConfirming]).toEqual([[], false])
      const again = await followed()
      copies.onWritten("e", new Map([["room", 8]]))
      copies.close()
      await pass(300)
      expect([port.names, again.isConfirming]).toEqual([[], false])
    })

    it("are waited for by who is not there yet, once they are", async () => {
      const room = copies.acquire("room")
      copies.onWritten("e", new Map([["room", 6]]))
      expect([room.hasReached, room.isConfirming]).toEqual([false, false])
      await answered("subscribe")
      await answered("read", standing(6))
      expect([room.hasReached, port.names]).toEqual([true, []])
    })
  })

  it("are read by one reading at a time, which begins once more when there was news meanwhile", async () => {
    await followed()
    hear(message(9))
    const digest = copies.digest()
    await answered("HMGET", ["e 0", "10 t10"])
    await answered("heard")
    expect([await digest, port.names]).toEqual([1, ["read"]])
    await answered("read", standing(9))
    await pass(20)
    expect(port.names).toEqual(["read"])
    await answered("read", standing(10))
    await pass(10_000)
    expect(port.names).toEqual([])
  })

  it("are asked for, at the start and at the end of all pages, with the history that Redis is in", async () => {
    copies.acquire("room")
    await answered("subscribe")
    expect((await answered("read", standing(5, null, 2_000))).args).toEqual(["room", 1_000, "follow"])
    await answered("HSCAN", ["7", []])
    await answered("HSCAN", ["0", ["r.1", "1 1 {}\nr.1", "r.2", "1 2 {}\nr.2"]])
    expect((await answered("read", standing(5, null, 2_000))).args).toEqual(["room", 0, "follow"])
    expect([copies.live("room")?.copy.roster.connections, told]).toEqual([2, []])
  })

  it("are read again, which is no failure, when Redis has nothing any more at the end of all pages", async () => {
    copies.acquire("room")
    await answered("subscribe")
    await answered("read", standing(5, null, 2_000))
    await answered("HSCAN", ["0", ["r.1", "1 1 {}\nr.1"]])
    await answered("read", [null, null, "h", [], 0, []])
    await pass(20)
    expect([port.names, told]).toEqual([["read"], []])
  })

  it("are read no more once their last follower has gone", async () => {
    const room = copies.acquire("room")
    await answered("subscribe")
    copies.release(room)
    await failed("read")
    await answered("unsubscribe")
    await pass(10_000)
    expect(port.names).toEqual([])
  })

  it("that are large are read no further once their last follower has gone", async () => {
    const room = copies.acquire("room")
    await answered("subscribe")
    await answered("read", standing(5, null, 2_000))
    copies.release(room)
    await answered("unsubscribe")
    await answered("HSCAN", ["7", ["r.1", "1 1 {}\nr.1"]])
    await pass(10_000)
    expect([port.names, room.copy.isLive]).toEqual([[], false])
  })

  it("are read no more once all is closed", async () => {
    copies.acquire("room")
    await answered("subscribe")
    copies.close()
    await failed("read")
    await pass(10_000)
    expect(port.names).toEqual([])
  })
})
