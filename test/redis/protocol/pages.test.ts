import { beforeEach, describe, expect, it } from "@effect/vitest"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { ownersWithoutLease, pages, placesOf, topics, topicsWith } from "../../../src/redis/protocol/pages.js"
import { FakePort, turn } from "../../support/port.js"

const keys = new Keys("p", 0)

describe("what may be large is read by pages", () => {
  let port: FakePort
  beforeEach(() => {
    port = new FakePort()
  })

  /** All pages, while answers are given to what is asked for, one after the other. */
  const read = async <A>(
    all: AsyncIterable<A>,
    ...answers: ReadonlyArray<readonly [asked: string, reply: RedisReply | Error]>
  ): Promise<ReadonlyArray<A>> => {
    const found: Array<A> = []
    const done = (async () => {
      for await (const page of all) found.push(page)
    })()
    done.catch(() => {})
    for (const [wanted, reply] of answers) {
      await turn()
      const [asked] = port.asked.splice(0)
      expect(asked && [asked.name, ...asked.keys, ...asked.args].join(" ")).toBe(wanted)
      if (reply instanceof Error) asked?.fail(reply)
      else asked?.answer(reply)
    }
    await turn()
    expect(port.names).toEqual([])
    await done
    return found
  }

  const versions = (cursor: string): string => `HSCAN p:{0}:v ${cursor} COUNT 500`

  it("as they come, until Redis says that there are no more, also when one is empty", async () => {
    const answers = [
      ["HSCAN key 0 COUNT 500", ["7", ["a", "1"]]],
      ["HSCAN key 7 COUNT 500", ["9", []]],
      ["HSCAN key 9 COUNT 500", ["0", ["b", "2"]]]
    ] as const
    expect(await read(pages(port, "key"), ...answers)).toEqual([["a", "1"], [], ["b", "2"]])
  })

  it("topics are the fields of the versions, but for the epoch", async () => {
    const found = await read(
      topics(port, keys),
      [versions("0"), ["7", ["a", "1 x", "", "e 0"]]],
      [versions("7"), ["0", ["b", "2 y"]]]
    )
    expect(found).toEqual([["a"], ["b"]])
  })

  describe("the places of a replica", () => {
    const index = (cursor: string): string => `HSCAN p:{0}:i:r ${cursor} COUNT 500`
    const lease = "ZSCORE p:{0}:l r"
    const members = (topic: string): string => `HSCAN p:{0}:m:${topic} 0 COUNT 500`

    it("are its index, on whichever page that says that it is whole", async () => {
      const found = await read(
        placesOf(port, keys, "r"),
        [index("0"), ["7", ["", "3", "1:a", ""]]],
        [index("7"), ["0", ["2:b", ""]]]
      )
      expect(found).toEqual([["", "1:a"], ["2:b"]])
    })

    it("are looked for on all topics where somebody has deleted that", async () => {
      const found = await read(
        placesOf(port, keys, "r"),
        [index("0"), ["0", ["1:a", ""]]],
        [lease, "-inf"],
        [versions("0"), ["0", ["", "e 0", "a", "1 x", "b:c", "1 x"]]],
        [members("a"), ["0", ["r.1", "1 1 1\nk", "s.2", "1 1 1\nk"]]],
        [members("b:c"), ["0", ["s.r.3", "1 1 1\nk", "r.4", "1 1 1\nk"]]]
      )
      expect(found).toEqual([["1:a"], ["1:a"], ["4:b:c"]])
    })

    it("are looked for nowhere else once it has no lease: somebody else has ended them", async () => {
      expect(await read(placesOf(port, keys, "r"), [index("0"), ["0", []]], [lease, null])).toEqual([[]])
    })
  })

  it("replicas without a lease are those who have members on any topic, and are not in l", async () => {
    const owners = async function* () {
      yield await ownersWithoutLease(port, keys)
    }
    const [found] = await read(
      owners(),
      [versions("0"), ["0", ["", "e 0", "a", "1 x", "b", "1 x"]]],
      ["HSCAN p:{0}:m:a 0 COUNT 500", ["4", ["r.1", "1 1 1\nk", "s.2", "1 1 1\nk"]]],
      ["HSCAN p:{0}:m:a 4 COUNT 500", ["0", ["r.2", "1 1 1\nk"]]],
      ["HSCAN p:{0}:m:b 0 COUNT 500", ["0", ["t.3", "1 1 1\nk", "u.4", "1 1 1\nk"]]],
      ["ZRANGE p:{0}:l 0 -1", ["*", "s", "u"]]
    )
    expect([...(found ?? [])]).toEqual(["r", "t"])
  })

  describe("the topics of a key", () => {
    const where = (last: string): string => `where p:{0}:l p:{0}:o alice ${last} 500`
    const full = Array.from({ length: 500 }, (_, i) => `t${i}`)
    let foreign = 0
    const alice = () => topicsWith(port, keys, "alice", () => foreign++)
    beforeEach(() => {
      foreign = 0
    })

    it("are those of the key index, each page behind the last topic of the one before, until one is not full", async () => {
      expect(await read(alice(), [where(""), full], [where("t499"), ["u"]])).toEqual([full, ["u"]])
      expect(await read(alice(), [where(""), full], [where("t499"), []])).toEqual([full, []])
    })

    it("may be any where the index is not believed, also half-way, or is of another program, which is told", async () => {
      const all = [versions("0"), ["0", ["a", "1 x"]]] as const
      expect(await read(alice(), [where(""), null], all)).toEqual([["a"]])
      expect(await read(alice(), [where(""), full], [where("t499"), null], all)).toEqual([full, ["a"]])
      expect(foreign).toBe(0)
      expect(await read(alice(), [where(""), new Error("WRONGTYPE x")], all)).toEqual([["a"]])
      expect(foreign).toBe(1)
    })

    it("are not known when Redis does not answer", async () => {
      await expect(read(alice(), [where(""), new Error("Connection is closed.")])).rejects.toThrow("closed")
      expect(foreign).toBe(0)
    })
  })
})
