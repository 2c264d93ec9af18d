import { describe, expect, it } from "@effect/vitest"
import { weigh } from "../../../src/internal/input/json.js"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { type Read, ReadCache } from "../../../src/redis/read/cache.js"
import { FakePort } from "../../support/port.js"

interface Found {
  readonly head?: RedisReply
  readonly version?: RedisReply
  readonly members?: ReadonlyArray<string> | null
  readonly doubted?: ReadonlyArray<string>
}

/** What `read` answers. */
const found = ({ head = "e 0", version = "5 t5", members = [], doubted = [] }: Found): RedisReply => [
  head,
  version,
  "",
  ["r"],
  members === null ? 2_000 : members.length,
  members === null
    ? null
    : members.flatMap((member) => [member.split(" ")[0] ?? "", member.slice(member.indexOf(" ") + 1)]),
  doubted
]

/** One member whose meta is a text of a length. */
const long = (length: number): string => `r.1 1 1 ${JSON.stringify("x".repeat(length))}\nalice`

/** What a topic with that one member weighs: itself, the member and the meta. */
const weight = (length: number): number => 1_000 + 400 + weigh("x".repeat(length))

const refs = (read: Read | undefined): ReadonlyArray<unknown> =>
  Array.from(read?.roster.list() ?? []).map(({ key, metas }) => [key, ...metas])

describe("topics that are read", () => {
  const keys = new Keys("presence", 0)
  const reading = (budget?: number) => {
    const port = new FakePort()
    const cache = new ReadCache(port, budget)
    return async (topic: string, answer: Found): Promise<Read | undefined> => {
      const read = cache.read(keys, topic, 1_000)
      port.take("read").answer(found(answer))
      return read
    }
  }

  it("are whoever is there, a key's connections oldest first", async () => {
    const read = reading()
    const members = ["r.2 3 2 2\nbob", "r.10 2 10 10\nalice", "s.1 1 1 1\nalice", "r.9 2 9 9\nalice"]
    const topic = await read("a", { members })
    expect(topic?.standing).toEqual({ epoch: "e", version: 5, tag: "t5" })
    expect(refs(topic)).toEqual([
      ["alice", 1, 9, 10],
      ["bob", 2]
    ])
  })

  it("are empty where nobody has written anything, and none where they are too large", async () => {
    const read = reading()
    const empty = await read("a", { head: null, version: null })
    expect([empty?.standing, refs(empty)]).toEqual([{ epoch: "", version: 0, tag: "" }, []])
    expect(await read("a", { members: null })).toBeUndefined()
  })

  it("are the same array as long as they are as they were, by epoch, version and tag", async () => {
    const read = reading()
    const members = [long(10)]
    let last = await read("a", { members })
    expect((await read("a", { members }))?.roster).toBe(last?.roster)
    expect((await read("a", { members }))?.roster).toBe(last?.roster)
    for (const other of [{ head: "f 0" }, { head: "f 0", version: "6 t5" }, { head: "f 0", version: "6 t6" }]) {
      const next = await read("a", { members, ...other })
      expect(next?.roster).not.toBe(last?.roster)
      expect((await read("a", { members, ...other }))?.roster).toBe(next?.roster)
      last = next
    }
    expect((await read("a", { head: null, members }))?.roster).not.toBe(last?.roster)
  })

  it("are without those of doubted replicas, and not remembered so", async () => {
    const read = reading()
    const members = ["r.1 1 1 1\nalice", "s.1 2 1 2\nbob"]
    const whole = await read("a", { members })
    const part = await read("a", { members, doubted: ["s", "t"] })
    expect([refs(whole), refs(part)]).toEqual([
      [
        ["alice", 1],
        ["bob", 2]
      ],
      [["alice", 1]]
    ])
    const again = await read("a", { members })
    expect([again?.roster === whole?.roster, again?.roster === part?.roster]).toEqual([false, false])
    // Where it is nobody's who is here, nobody is left out.
    expect((await read("a", { members, doubted: ["t"] }))?.roster).toBe(again?.roster)
  })

  it("are remembered up to a number of bytes, and the longest unread goes first", async () => {
    const read = reading(2 * weight(16_000))
    const topic = { members: [long(16_000)] }
    const [a, b] = [await read("a", topic), await read("b", topic)]
    expect((await read("a", topic))?.roster).toBe(a?.roster)
    await read("c", { members: [long(1)] })
    expect((await read("a", topic))?.roster).toBe(a?.roster)
    expect((await read("b", topic))?.roster).not.toBe(b?.roster)
  })

  it("weigh what their members do, and those that are forgotten nothing", async () => {
    for (const [missing, isKept] of [
      [0, true],
      [1, false]
    ] as const) {
      const read = reading(weight(100) + weight(200) + 400 + weigh("y") - missing)
      const small = { members: [long(100)] }
      const large = { members: [long(200), 'r.2 1 2 "y"\nbob'] }
      const first = await read("a", small)
      for (let version = 0; version < 10; version++) await read("b", { ...large, version: `${version} t` })
      expect((await read("a", small))?.roster === first?.roster).toBe(isKept)
    }
  })

  it("are not remembered when nobody is there: there is nothing to remember", async () => {
    const read = reading(weight(100))
    const first = await read("a", { members: [long(100)] })
    const [b] = [await read("b", {}), await read("b", {})]
    expect((await read("b", {}))?.roster).not.toBe(b?.roster)
    expect((await read("a", { members: [long(100)] }))?.roster).toBe(first?.roster)
  })

  it("have a key's connections, oldest first, and all topics of a partition, by pages", async () => {
    const port = new FakePort()
    const cache = new ReadCache(port)
    const connections = cache.get(keys, "a", "alice")
    port.take("get").answer(["r.2", "7 2 2\nalice", "r.1", "4 1 1\nalice"])
    expect((await connections).map(({ ref, meta }) => [ref, meta])).toEqual([
      ["r.1.1", 1],
      ["r.2.2", 2]
    ])
    const topics = cache.topics(keys)
    port.take("HSCAN").answer(["3", ["", "e 0", "a", "1 t"]])
    await new Promise((resolve) => setImmediate(resolve))
    port.take("HSCAN").answer(["0", ["b", "1 t", "a", "1 t"]])
    expect(await topics).toEqual(new Set(["a", "b"]))
  })
})
