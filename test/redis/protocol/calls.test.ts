import { beforeEach, describe, expect, it } from "@effect/vitest"
import type { Port, RedisReply } from "../../../src/redis/client/port.js"
import * as calls from "../../../src/redis/protocol/calls.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import * as scripts from "../../../src/redis/protocol/scripts.js"
import type { ApplyCall, BeatCall, Operation, Settings } from "../../../src/redis/protocol/values.js"
import { FakePort } from "../../support/port.js"

const keys = new Keys("p", 0)

describe("a call says by its keys and arguments what its script reads, and answers values", () => {
  let port: FakePort
  beforeEach(() => {
    port = new FakePort()
  })

  /** What is asked, and what becomes of an answer. */
  const ask = async <A>(called: Promise<A>, name: string, reply: RedisReply) => {
    const { keys, args, answer } = port.take(name)
    answer(reply)
    return { keys, args, answer: await called }
  }

  describe("apply", () => {
    const put = (topic: string, seq: number): Operation => ({
      ...{ type: "put", topic, seq, revision: 9, key: "alice", meta: "{}" }
    })
    const remove = (topic: string, seq: number, reason: "released" | "replicaLost" = "released"): Operation => ({
      ...{ type: "remove", topic, seq, reason }
    })
    const call = (mode: ApplyCall["mode"], ...operations: ReadonlyArray<Operation>): ApplyCall => ({
      ...{ mode, replica: "r", number: 5, tag: "r.5", operations }
    })
    const own = ["p:{0}:l", "p:{0}:v", "p:{0}:i:r", "p:{0}:x:r"]

    it("names each topic once, and operations by its number", async () => {
      const operations = [put("a", 1), remove("b", 2), put("b", 3), remove("a", 4, "replicaLost")]
      const reply = ["OK", "e", 3, 0, ["7", "8"], [2], [], [1, 3]]
      const asked = await ask(calls.apply(port, keys, call("own", ...operations)), "apply", reply)
      expect(asked.keys).toEqual([...own, "p:{0}:m:a", "p:{0}:k:a", "p:{0}:m:b", "p:{0}:k:b", "p:{0}:o"])
      expect(asked.args).toEqual([
        ...["own", "r", 5, "r.5", "p:{0}:t:", 2, "a", "b"],
        ...["+", 1, 1, 9, "alice", "{}"],
        ...["-", 2, 2, "r"],
        ...["+", 2, 3, 9, "alice", "{}"],
        ...["-", 1, 4, "l"]
      ])
      const versions = new Map([
        ["a", 7],
        ["b", 8]
      ])
      const { epoch, changed, emptied, forbidden, lost, prevented } = {
        ...{ epoch: "e", changed: 3, emptied: false, forbidden: [2], lost: [], prevented: [1, 3] }
      }
      expect(asked.answer).toEqual({ status: "OK", epoch, changed, emptied, versions, forbidden, lost, prevented })
    })

    it.each(["LEASE", "STALE", "ALIVE"])("is told %s", async (status) => {
      const asked = await ask(calls.apply(port, keys, call("own", put("a", 1))), "apply", [status])
      expect(asked.answer).toEqual({ status })
    })

    it("says whom a reap ended, and that nothing is left; what no replica wrote is nobody", async () => {
      const operations = [remove("a", 1), remove("b", 2), remove("b", 3)]
      const lost = [2, "4 5 1\nbob", 0, "4 5 1\nalice", 1, "x", 9, "4 5 1\ncarol", 1]
      const reply = ["OK", "e", 3, 1, ["7", "8"], [], lost, []]
      const { answer } = await ask(calls.apply(port, keys, call("reap", ...operations)), "apply", reply)
      const member = (connection: string, key: string) => ({ connection, joined: 4, revision: 5, key, meta: 1 })
      expect(answer).toMatchObject({ emptied: true })
      expect(answer.status === "OK" && answer.lost).toEqual([
        { topic: "b", member: member("r.3", "bob") },
        { topic: "a", member: member("r.1", "alice") }
      ])
    })

    it("is another script where nobody joins or updates, as that one is taken when the memory is full", async () => {
      const asked: Array<unknown> = []
      const run: Port["run"] = async (script) => {
        asked.push(script)
        return ["OK", "e", 0, 0, [], [], [], []]
      }
      const operations = [[], [remove("a", 1)], [remove("a", 1), put("a", 2)], [put("a", 1), put("a", 2)]]
      for (const some of operations) await calls.apply({ ...port, run }, keys, call("own", ...some))
      expect(asked).toEqual([scripts.applyLeaves, scripts.applyLeaves, scripts.apply, scripts.apply])
    })
  })

  describe("beat", () => {
    const settings: Settings = { lease: 15_000, heartbeat: 5_000, partitions: 16 }
    const call: BeatCall = {
      mode: "claim",
      replica: "r",
      number: 5,
      tag: "r.5",
      settled: "h",
      whole: true,
      seen: ["1:a", "2:b"]
    }
    const names = ["p:{0}:l", "p:{0}:v", "p:{0}:i:r", "p:{0}:x:r", "p:{0}:c", "p:{0}:r"]
    const reply: ReadonlyArray<RedisReply> = ["OK", "e", "h", 3, ["s"], ["1:a"], 2_000, 60_000]

    it("says how this replica lives and what it has seen, and is told how others do", async () => {
      const asked = await ask(calls.beat(port, keys, settings, call), "beat", reply)
      expect(asked.keys).toEqual(names)
      expect(asked.args).toEqual(["claim", "r", 5, "r.5", 15_000, 5_000, "h", 16, "p:{0}:n:", "1", "1:a", "2:b"])
      expect(asked.answer).toEqual({
        ...{ status: "OK", epoch: "e", history: "h", connections: 3, late: ["s"], evicted: ["1:a"] },
        ...{ heartbeat: 2_000, lease: 60_000 }
      })
    })

    it("is told nothing of how much there is where the index is lost, and says that it is not whole", async () => {
      const lost = { ...call, whole: false }
      const asked = await ask(calls.beat(port, keys, settings, lost), "beat", reply.toSpliced(3, 1, null))
      expect(asked.args).toEqual(["claim", "r", 5, "r.5", 15_000, 5_000, "h", 16, "p:{0}:n:", "", "1:a", "2:b"])
      expect(asked.answer).toMatchObject({ status: "OK", connections: undefined })
    })

    it("is given the key index by who keeps it", async () => {
      const asked = await ask(calls.beat(port, keys, { ...settings, keyIndex: true }, call), "beat", reply)
      expect(asked.keys).toEqual([...names, "p:{0}:o"])
    })

    it.each([
      [["LEASE"], { status: "LEASE" }],
      [["STALE"], { status: "STALE" }],
      [["SHARED", "format 3"], { status: "SHARED", theirs: "format 3" }]
    ])("is told %j", async (reply, answer) => {
      expect((await ask(calls.beat(port, keys, settings, call), "beat", reply)).answer).toEqual(answer)
    })
  })

  it("read asks to list unless somebody follows, and tells an empty topic from one that is too large", async () => {
    const reply = (members: RedisReply): RedisReply => ["e 3", "7 t7", "h", ["r", "s"], 1, members, ["s"]]
    const members = ["r.1", "2 3 1\nalice"]
    const listed = await ask(calls.read(port, keys, "t", 100), "read", reply(members))
    expect(listed.keys).toEqual(["p:{0}:l", "p:{0}:v", "p:{0}:m:t", "p:{0}:r"])
    expect(listed.args).toEqual(["t", 100, "list"])
    expect(listed.answer).toEqual({
      ...{ standing: { epoch: "e", version: 7, tag: "t7" }, history: "h", size: 1 },
      ...{ replicas: new Set(["r", "s"]), doubted: new Set(["s"]) },
      members: [{ connection: "r.1", joined: 2, revision: 3, key: "alice", meta: 1 }]
    })
    const followed = await ask(calls.read(port, keys, "t", 0, "follow"), "read", reply(null))
    expect([followed.args, followed.answer.members]).toEqual([["t", 0, "follow"], undefined])
    const empty = await ask(calls.read(port, keys, "t", 1), "read", reply([]))
    expect(empty.answer.members).toEqual([])
    // Of an answer that is none nothing is known.
    const none = await ask(calls.read(port, keys, "t", 1), "read", [])
    expect(none.answer).toMatchObject({ standing: undefined, members: undefined, replicas: new Set() })
  })

  it("get has the connections of a key, oldest first", async () => {
    const reply = ["r.2", "2 2 2\na", "r.1", "1 1 1\na"]
    const asked = await ask(calls.get(port, keys, "t", "a"), "get", reply)
    expect([asked.keys, asked.args]).toEqual([["p:{0}:k:t", "p:{0}:m:t", "p:{0}:r"], ["a"]])
    expect(asked.answer.map(({ connection }) => connection)).toEqual(["r.1", "r.2"])
  })

  it("counts has keys and connections of each topic", async () => {
    const asked = await ask(calls.counts(port, keys, ["a", "b"]), "counts", [1, 2, 3, 4])
    expect([asked.keys, asked.args]).toEqual([["p:{0}:k:a", "p:{0}:m:a", "p:{0}:k:b", "p:{0}:m:b"], []])
    expect(asked.answer).toEqual([
      { keys: 1, connections: 2 },
      { keys: 3, connections: 4 }
    ])
  })

  it("having finds topics by their place among those that were asked for", async () => {
    const asked = await ask(calls.having(port, keys, ["a", "b", "c"], "alice"), "having", [2, 0])
    expect([asked.keys, asked.args]).toEqual([["p:{0}:k:a", "p:{0}:k:b", "p:{0}:k:c"], ["alice"]])
    expect(asked.answer).toEqual(["a", "c"])
  })

  it("standings says where topics stand", async () => {
    const asked = await ask(calls.standings(port, keys, ["a", "b"]), "HMGET", ["e 3", "7 t7", null])
    expect(asked.args).toEqual(["p:{0}:v", "", "a", "b"])
    expect(asked.answer).toEqual([
      { epoch: "e", version: 7, tag: "t7" },
      { epoch: "e", version: 3, tag: "" }
    ])
    const empty = await ask(calls.standings(port, keys, ["a"]), "HMGET", [null, null])
    expect(empty.answer).toEqual([undefined])
  })
})

it("a call failed because of a key of another type when Redis says so", () => {
  expect(calls.isForeign(new Error("WRONGTYPE Operation against a key"))).toBe(true)
  expect(calls.isForeign(new Error("ERR WRONGTYPE"))).toBe(false)
  expect(calls.isForeign("WRONGTYPE")).toBe(false)
})
