import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import type { Delta } from "../../../src/internal/feed/delta.js"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { Copies, type FollowedTopic } from "../../../src/redis/read/copies.js"
import { type Asked, FakePort, turn } from "../../support/port.js"

const HOLD = 20_000

const connections = (...names: ReadonlyArray<string>): ReadonlyArray<RedisReply> =>
  names.flatMap((name) => [name, `1 1 {}\n${name}`])

/** What `read` answers of a topic with one member at a version; its members by pages when `history` is asked for so. */
const standing = (
  version: number,
  members: RedisReply = connections("r.1"),
  history = "h",
  epoch = "e"
): RedisReply => [`${epoch} 0`, `${version} t${version}`, history, ["r"], 1, members]

/** Another joins. */
const message = (to: number): string =>
  JSON.stringify(["e", to - 1, `t${to - 1}`, to, `t${to}`, 0, "+", `r.${to}`, 1, `r.${to}`, {}])

describe("the topics that are followed", () => {
  let port: FakePort
  let followers: Copies
  let deltas: Array<Delta>
  let resyncs: Array<string>
  let now: number
  let leaseTime: number

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    port = new FakePort()
    deltas = []
    resyncs = []
    now = 0
    leaseTime = 0
    followers = new Copies({
      port,
      partitions: [new Keys("presence", 0)],
      retention: () => HOLD,
      now: () => now,
      leaseTime: () => leaseTime,
      onDelta: (delta) => deltas.push(delta),
      onEmpty: () => resyncs.push("empty"),
      onResync: (reason) => resyncs.push(reason),
      onForeign: () => {},
      onFailure: () => {}
    })
  })
  afterEach(() => {
    followers.close()
    vi.useRealTimers()
  })

  const pass = async (ms: number): Promise<void> => {
    now += ms
    leaseTime += ms
    vi.advanceTimersByTime(ms)
    await turn()
  }

  /** A topic that is read and stands at version 5. */
  const followed = async (topic = "room"): Promise<FollowedTopic> => {
    const followed = followers.acquire(topic)
    port.take("subscribe").answer()
    await turn()
    port.take("read").answer(standing(5))
    await turn()
    expect(followers.live(topic)).toBe(followed)
    return followed
  }

  const hear = (text: string, topic = "room"): boolean => followers.onMessage(`presence:{0}:t:${topic}`, text)

  const answered = async (asked: Asked, reply?: RedisReply): Promise<void> => {
    asked.answer(reply)
    await turn()
  }

  it("are read once the subscription is acknowledged, so that nothing between is missed", async () => {
    const room = followers.acquire("room")
    await turn()
    expect(port.names).toEqual(["subscribe"])
    await answered(port.take("subscribe"))
    expect(port.names).toEqual(["read"])
    hear(message(6))
    await answered(port.take("read"), standing(5))
    expect(room.copy.standing.version).toBe(6)
    expect(port.names).toEqual([])
  })

  it("are read again, after a pause that grows, until a read succeeds", async () => {
    followers.acquire("room")
    await answered(port.take("subscribe"))
    port.take("read").fail()
    await turn()
    await pass(20)
    port.take("read").fail()
    await turn()
    await pass(39)
    expect(port.names).toEqual([])
    await pass(1)
    await answered(port.take("read"), standing(5))
    expect(followers.live("room")).toBeDefined()
  })

  it("are read and compared without a subscriber, as it may be refused for long", async () => {
    const room = followers.acquire("room")
    port.take("subscribe").fail()
    await turn()
    await answered(port.take("read"), standing(5))
    expect(followers.live("room")).toBe(room)
    now += 10_000
    const patrol = followers.patrol()
    port.take("subscribe").fail()
    await turn()
    await answered(port.take("HMGET"), ["e 0", "6 t6"])
    port.take("heard").fail()
    await turn()
    await patrol
    port.take("subscribe").fail()
    await turn()
    await answered(port.take("read"), standing(6, connections("r.1", "r.6")))
    expect(room.copy.standing.version).toBe(6)
    expect(deltas).toHaveLength(1)
  })

  it("make the subscriber anew when two digests in a row find what it should have heard", async () => {
    await followed()
    const renewals: Array<number> = []
    for (const version of [6, 7, 7]) {
      now += 10_000
      const patrol = followers.patrol()
      await answered(port.take("subscribe"))
      await answered(port.take("HMGET"), ["e 0", `${version} t${version}`])
      if (renewals.length < 2) {
        await answered(port.take("heard"))
        await answered(port.take("read"), standing(version))
      }
      await patrol
      renewals.push(port.renewals)
    }
    expect(renewals).toEqual([0, 1, 1])
  })

  it("make it anew too where little is said: a digest that finds nothing proves nothing while nothing is heard", async () => {
    await followed()
    const patrol = async (version: number, isMissed: boolean) => {
      now += 10_000
      const patrol = followers.patrol()
      await answered(port.take("subscribe"))
      await answered(port.take("HMGET"), ["e 0", `${version} t${version}`])
      if (isMissed) {
        await answered(port.take("heard"))
        await answered(port.take("read"), standing(version))
      }
      await patrol
      return port.renewals
    }
    expect(await patrol(6, true)).toBe(0)
    expect(await patrol(6, false)).toBe(0)
    // It hears, so what it missed was missed once.
    hear(message(7))
    expect(await patrol(7, false)).toBe(0)
    expect(await patrol(8, true)).toBe(0)
    expect(await patrol(8, false)).toBe(0)
    expect(await patrol(9, true)).toBe(1)
  })

  it("ask for a claim of a partition that has no data at all, and are read again", async () => {
    followers.acquire("room")
    await answered(port.take("subscribe"))
    await answered(port.take("read"), [null, null, "h", [], 0, []])
    expect(resyncs).toEqual(["empty"])
    await pass(20)
    await answered(port.take("read"), standing(5))
    expect(followers.live("room")).toBeDefined()
  })

  it("that are large are read by pages, from the start again when the pages came from two Redis", async () => {
    const room = followers.acquire("room")
    await answered(port.take("subscribe"))
    const first = port.take("read")
    expect(first.args).toEqual(["room", 1_000, "follow"])
    await answered(first, standing(5, null))
    expect(port.asked.map(({ args }) => args)).toEqual([["presence:{0}:m:room", "0", "COUNT", 500]])
    await answered(port.take("HSCAN"), ["8", connections("r.1", "r.2")])
    expect(port.asked.map(({ args }) => args[1])).toEqual(["8"])
    await answered(port.take("HSCAN"), ["0", connections("r.3")])
    await answered(port.take("read"), standing(5, null, "another"))
    expect(room.copy.isLive).toBe(false)
    await pass(20)
    await answered(port.take("read"), standing(5, null, "another"))
    await answered(port.take("HSCAN"), ["0", connections("r.1", "r.3")])
    await answered(port.take("read"), standing(5, null, "another"))
    expect(room.copy.isLive).toBe(true)
  })

  it("wait at the end of a read for messages that are on their way, and are read again when these do not come", async () => {
    const room = await followed()
    room.again = undefined
    hear(message(8))
    await turn()
    const read = async (): Promise<void> => {
      await answered(port.take("read"), standing(8, null))
      await answered(port.take("HSCAN"), ["0", connections("r.1")])
      await answered(port.take("read"), standing(9, null))
    }
    await read()
    hear(message(9))
    await answered(port.take("heard"))
    expect(room.copy.standing.version).toBe(9)
    hear(message(11))
    await turn()
    await answered(port.take("read"), standing(11, null))
    await answered(port.take("HSCAN"), ["0", connections("r.1")])
    await answered(port.take("read"), standing(12, null))
    expect(port.names).toEqual(["heard"])
    await answered(port.take("heard"))
    await pass(20)
    expect(port.names).toEqual(["read"])
  })

  it("are read again when the message of our own write is lost, which late ones are not", async () => {
    const room = await followed()
    expect(room.hasReached).toBe(true)
    followers.onWritten("e", new Map([["room", 6]]))
    expect(room.hasReached).toBe(false)
    hear(message(6))
    await pass(300)
    expect([room.hasReached, port.names]).toEqual([true, []])
    followers.onWritten("e", new Map([["room", 7]]))
    // An older write's answer comes late.
    followers.onWritten("e", new Map([["room", 6]]))
    await pass(300)
    // It comes before the answer, however long both take; another write is on its way by then.
    hear(message(7))
    followers.onWritten("e", new Map([["room", 8]]))
    await answered(port.take("heard"))
    expect([room.hasReached, port.names]).toEqual([false, ["heard"]])
    expect(resyncs).toEqual([])
    await answered(port.take("heard"))
    expect(port.names).toEqual(["read"])
    expect(resyncs).toEqual(["late message"])
  })

  it("are not read once more for our own write while they are being read", async () => {
    const room = await followed()
    followers.onWritten("e", new Map([["room", 6]]))
    await pass(300)
    // Something else was missed meanwhile.
    hear(message(8))
    await turn()
    expect(resyncs).toEqual(["gap"])
    await answered(port.take("heard"))
    await answered(port.take("read"), standing(8))
    await pass(300)
    expect([room.hasReached, port.names, resyncs]).toEqual([true, [], ["gap"]])
  })

  it("retain who is gone where Redis had answered that it had come further", async () => {
    await followed()
    hear(message(6))
    for (const version of [6, 5]) {
      now += 10_000
      void followers.patrol()
      await turn()
      await answered(port.take("subscribe"))
      await answered(port.take("HMGET"), ["e 0", `${version} t${version}`])
    }
    await answered(port.take("heard"))
    await answered(port.take("read"), standing(5))
    expect(deltas.map(({ epoch, changes }) => [epoch, changes.map(({ type }) => type)])).toEqual([
      ["e", ["join"]],
      ["e~1+", []]
    ])
  })

  it("are read where Redis has no data at all", async () => {
    await followed()
    now += 10_000
    void followers.patrol()
    await turn()
    await answered(port.take("subscribe"))
    await answered(port.take("HMGET"), [null, null])
    await answered(port.take("heard"))
    await answered(port.take("read"), [null, null, "h", [], 0, []])
    expect(resyncs).toEqual(["digest", "empty"])
  })

  it("that are large are left alone for a while after each reading, however often messages are lost", async () => {
    followers.acquire("room")
    await answered(port.take("subscribe"))
    await answered(port.take("read"), standing(5, null))
    const members = Array.from({ length: 10_000 }, (_, n) => `r.${n}`)
    await answered(port.take("HSCAN"), ["0", connections(...members)])
    await answered(port.take("read"), standing(5, null))
    hear(message(8))
    await turn()
    expect(port.names).toEqual([])
    await pass(499)
    expect(port.names).toEqual([])
    await pass(1)
    expect(port.names).toEqual(["read"])
  })

  it("are compared with Redis every ten seconds, and read again if they still differ once all has come", async () => {
    await followed("a")
    await followed("b")
    await followed("c")
    await pass(9_999)
    await followers.patrol()
    expect(port.names).toEqual([])
    await pass(1)
    void followers.patrol()
    await answered(port.take("subscribe"))
    const digest = port.take("HMGET")
    expect(digest.args).toEqual(["presence:{0}:v", "", "a", "b", "c"])
    await answered(digest, ["e 0", "5 t5", "6 t6", "6 t6"])
    hear(message(6), "b")
    // Further than Redis was when it was asked.
    hear(message(7), "b")
    expect(port.names).toEqual(["heard"])
    await answered(port.take("heard"))
    expect(port.asked.map(({ args }) => args[0])).toEqual(["c"])
    expect(resyncs).toEqual(["digest"])
  })

  it("are all subscribed to again when the subscriber is back, and then compared, 500 with a command", async () => {
    for (let i = 0; i < 1_200; i++) followers.acquire(`room ${i}`)
    for (let i = 0; i < 1_200; i++) port.take("subscribe").answer()
    await turn()
    for (let i = 0; i < 1_200; i++) port.take("read").answer(standing(5))
    await turn()
    followers.onSubscriberDown()
    void followers.onSubscriberReady()
    await turn()
    expect(port.names).toEqual(["subscribe"])
    const subscribe = port.take("subscribe")
    expect(subscribe.args).toHaveLength(1_200)
    await answered(subscribe)
    for (const topics of [500, 500, 200]) {
      expect(port.names).toEqual(["HMGET"])
      const digest = port.take("HMGET")
      expect(digest.args).toHaveLength(topics + 2)
      await answered(digest, ["e 0", ...Array.from({ length: topics }, () => "5 t5")])
    }
    expect(port.names).toEqual([])
  })

  it("are subscribed to again by the next digest when that failed", async () => {
    await followed()
    followers.onSubscriberDown()
    const ready = followers.onSubscriberReady()
    port.take("subscribe").fail()
    await turn()
    await answered(port.take("HMGET"), ["e 0", "5 t5"])
    await ready
    await pass(10_000)
    void followers.patrol()
    expect(port.take("subscribe").args).toEqual(["presence:{0}:t:room"])
  })

  it("are looked at once more before those leave whom Redis has lost", async () => {
    await followed()
    followers.onSubscriberDown()
    void followers.onSubscriberReady()
    await answered(port.take("subscribe"))
    await answered(port.take("HMGET"), ["f 0", null])
    await answered(port.take("heard"))
    await answered(port.take("read"), ["f 0", null, "h", ["r"], 0, []])
    expect(deltas.map(({ changes }) => changes)).toEqual([[]])
    now += HOLD
    leaseTime = HOLD - 1
    void followers.patrol()
    await turn()
    if (port.names.includes("subscribe")) await answered(port.take("subscribe"))
    if (port.names.includes("HMGET")) await answered(port.take("HMGET"), ["f 0", null])
    expect(port.names).toEqual([])
    leaseTime = HOLD
    void followers.patrol()
    await turn()
    await answered(port.take("read"), ["f 0", null, "h", ["r"], 0, []])
    expect(deltas.map(({ changes }) => changes.map(({ type, key }) => [type, key]))).toEqual([[], [["leave", "r.1"]]])
  })

  it("that go while they are read again tell nothing of what was read by then", async () => {
    const room = await followed()
    hear(message(8))
    await answered(port.take("read"), standing(8, null))
    followers.release(room)
    // Who follows it anew has a copy of their own; the old one, half read, would tell them of leaves.
    followers.acquire("room")
    await answered(port.take("HSCAN"), ["9", connections("r.2")])
    while (port.names.includes("read")) await answered(port.take("read"), standing(8, null))
    expect(deltas).toEqual([])
  })

  it("are not followed from a state whose changes are still being told", async () => {
    const seen: Array<readonly [number, boolean]> = []
    followers.close()
    followers = new Copies({
      port,
      partitions: [new Keys("presence", 0)],
      retention: () => HOLD,
      now: () => now,
      leaseTime: () => leaseTime,
      onDelta: ({ version }) => {
        seen.push([version, room.isFollowable])
        followers.changed(room, () => seen.push([version, room.isFollowable]))
      },
      onEmpty: () => {},
      onResync: () => {},
      onForeign: () => {},
      onFailure: () => {}
    })
    const room = await followed()
    hear(message(8))
    hear(message(9))
    await answered(port.take("read"), standing(8, connections("r.1", "r.6", "r.8")))
    expect(seen.slice(0, 4)).toEqual([
      [8, false],
      [9, false],
      [8, true],
      [9, true]
    ])
  })

  it("that go while they are told, and are followed anew, tell nobody what is left", async () => {
    const told: Array<number> = []
    followers.close()
    followers = new Copies({
      port,
      partitions: [new Keys("presence", 0)],
      retention: () => HOLD,
      now: () => now,
      leaseTime: () => leaseTime,
      onDelta: ({ version }) => {
        told.push(version)
        followers.release(room)
        followers.acquire("room")
      },
      onEmpty: () => {},
      onResync: () => {},
      onForeign: () => {},
      onFailure: () => {}
    })
    const room = await followed()
    hear(message(8))
    hear(message(9))
    await answered(port.take("read"), standing(8, connections("r.1", "r.6", "r.8")))
    expect(told).toEqual([8])
  })

  it("are unsubscribed from when the last holder goes", async () => {
    const room = await followed()
    expect(followers.acquire("room")).toBe(room)
    followers.release(room)
    expect(port.names).toEqual([])
    followers.release(room)
    expect(port.take("unsubscribe").args).toEqual(["presence:{0}:t:room"])
    expect([followers.size, hear(message(6))]).toEqual([0, false])
  })

  it("that go while they are subscribed to are unsubscribed from, unless they are followed anew by then", async () => {
    followers.release(followers.acquire("gone"))
    followers.release(followers.acquire("back"))
    const back = followers.acquire("back")
    await answered(port.take("subscribe"))
    expect(port.take("unsubscribe").args).toEqual(["presence:{0}:t:gone"])
    await answered(port.take("subscribe"))
    expect(port.names).not.toContain("unsubscribe")
    await answered(port.take("subscribe"))
    await answered(port.take("read"), standing(5))
    await answered(port.take("read"), standing(5))
    await answered(port.take("read"), standing(5))
    expect(followers.live("back")).toBe(back)
    // The same when the subscriber comes back.
    followers.onSubscriberDown()
    void followers.onSubscriberReady()
    followers.release(back)
    await answered(port.take("subscribe"))
    expect(port.take("unsubscribe").args).toEqual(["presence:{0}:t:back"])
  })
})
