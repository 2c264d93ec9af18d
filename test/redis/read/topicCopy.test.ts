import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Delta } from "../../../src/internal/feed/delta.js"
import type { MessageOperation, Standing, StoredMember, TopicMessage } from "../../../src/redis/protocol/values.js"
import { TopicCopy } from "../../../src/redis/read/topicCopy.js"
import { isCollected } from "../../support/memory.js"

const HOLD = 20

const at = (version: number, tag = `t${version}`, epoch = "e"): Standing => ({ epoch, version, tag })

const held = (connection: string, joined: number, key = connection, revision = 1): StoredMember => ({
  connection,
  joined,
  revision,
  key,
  meta: `${connection}@${revision}`
})

const put = (connection: string, key = connection, revision = 1): MessageOperation => ({
  type: "put",
  connection,
  revision,
  key,
  meta: `${connection}@${revision}`
})

const remove = (connection: string): MessageOperation => ({ type: "remove", connection, reason: "released" })

const message = (
  to: number,
  operations: ReadonlyArray<MessageOperation>,
  more: Partial<TopicMessage> = {}
): TopicMessage => ({
  epoch: "e",
  from: to - 1,
  fromTag: `t${to - 1}`,
  to,
  tag: `t${to}`,
  born: false,
  operations,
  ...more
})

const end = (standing: Standing, history = "h", ...doubted: ReadonlyArray<string>) => ({
  standing,
  history,
  replicas: new Set(["r"]),
  doubted: new Set(doubted)
})

/** Reads a whole snapshot at once. */
const read = (model: TopicCopy, standing: Standing, members: ReadonlyArray<StoredMember>, now = 0, history = "h") => {
  model.begin()
  model.start(standing)
  model.page(members)
  return model.finish(end(standing, history), now)
}

const live = (standing: Standing, members: ReadonlyArray<StoredMember>): TopicCopy => {
  const model = new TopicCopy("room", () => HOLD)
  expect(read(model, standing, members)).toMatchObject({ type: "done", deltas: [] })
  return model
}

const keys = (model: TopicCopy): ReadonlyArray<string> => model.roster.list().map(({ key }) => key)

describe("the model of a followed topic", () => {
  it("applies a message that continues it: joins and updates, then leaves, and a leave only for keys that are gone", () => {
    const model = live(at(5), [held("r.1", 1, "alice"), held("r.2", 2, "bob")])
    const received = model.receive(message(6, [remove("r.1"), put("r.3", "alice"), put("r.2", "bob", 4)]))
    expect(received).toMatchObject({ type: "applied", delta: { from: 5, version: 6, epoch: "e" } })
    if (received.type !== "applied") return
    expect(received.delta.events).toEqual([
      { type: "join", key: "alice", meta: "r.3@1" },
      { type: "update", key: "bob", meta: "r.2@4" }
    ])
    expect(received.delta.diff.leaves).toMatchObject([{ key: "alice", ref: "r.1.1", reason: "released" }])
    expect(received.delta.diff.updates).toMatchObject([{ ref: "r.2.4", previousRef: "r.2.1" }])
  })

  it.each([
    ["a gap", message(7, [put("r.9")]), "gap"],
    ["the same number of another history", message(6, [put("r.9")], { fromTag: "other" }), "gap"],
    ["the tag of another version", message(8, [put("r.9")], { fromTag: "t5" }), "gap"],
    ["another epoch", message(6, [put("r.9")], { epoch: "f" }), "epoch"],
    ["a birth where somebody is", message(9, [put("r.9")], { born: true, fromTag: "" }), "gap"]
  ])("reads a snapshot after %s", (_, heard, reason) => {
    const model = live(at(5), [held("r.1", 1)])
    expect(model.receive(heard)).toEqual({ type: "resync", reason })
    expect(keys(model)).toEqual(["r.1"])
  })

  it("tells of each change all that it is, the oldest join first", () => {
    const model = live(at(5), [held("r.1", 1, "alice"), held("r.2", 2, "bob"), held("s.2", 2, "bob"), held("r.3", 3)])
    const { deltas } = read(model, at(9), [
      held("r.5", 8, "dave"),
      held("r.4", 7, "carol"),
      held("r.1", 1, "alice", 6),
      held("r.2", 2, "bob", 7),
      held("s.2", 2, "bob")
    ])
    const unsaid = { previousRef: "", previousMeta: null, reason: "released", last: false }
    expect(deltas.map(({ changes }) => changes)).toEqual([
      [
        { ...unsaid, type: "join", key: "carol", ref: "r.4.1", meta: "r.4@1", age: 7 },
        { ...unsaid, type: "join", key: "dave", ref: "r.5.1", meta: "r.5@1", age: 8 },
        {
          ...{ type: "update", key: "alice", ref: "r.1.6", meta: "r.1@6", age: 1, reason: "released" },
          ...{ previousRef: "r.1.1", previousMeta: "r.1@1", last: true }
        },
        {
          ...{ type: "update", key: "bob", ref: "r.2.7", meta: "r.2@7", age: 2, reason: "released" },
          ...{ previousRef: "r.2.1", previousMeta: "r.2@1", last: false }
        },
        { ...unsaid, type: "leave", key: "r.3", ref: "r.3.1", meta: "r.3@1", age: 3, last: true }
      ]
    ])
  })

  it("is whoever was on the last page that showed them, where a page comes twice before the first snapshot is through", () => {
    const model = new TopicCopy("room", () => HOLD)
    model.begin()
    model.start(at(5))
    model.page([held("r.1", 1, "alice"), held("r.2", 2, "bob")])
    model.page([held("r.1", 1, "alice"), held("r.2", 2, "bob", 4)])
    expect(model.finish(end(at(5)), 0)).toEqual({ type: "done", standing: at(5), deltas: [], resync: false })
    expect(model.roster.list()).toEqual([
      { key: "alice", metas: ["r.1@1"] },
      { key: "bob", metas: ["r.2@4"] }
    ])
  })

  it("ignores a message that comes twice", () => {
    const model = live(at(5), [held("r.1", 1)])
    expect(model.receive(message(6, [put("r.2")]))).toMatchObject({ type: "applied" })
    expect(model.receive(message(6, [put("r.2")]))).toEqual({ type: "nothing" })
  })

  it("tells of a version that changed nothing, and nothing where all is as it was", () => {
    const model = live(at(5), [held("r.1", 1)])
    expect(read(model, at(5), [held("r.1", 1)]).deltas).toEqual([])
    const { deltas } = read(model, at(9), [held("r.1", 1)])
    expect(deltas.map(({ from, version, changes }) => [from, version, changes])).toEqual([[5, 9, []]])
  })

  it("keeps a member's age when it is updated, and takes that of Redis when it is written again", () => {
    const model = live(at(5), [held("r.1", 1, "alice"), held("s.1", 2, "alice")])
    model.receive(message(6, [put("r.1", "alice", 3)]))
    expect(model.roster.list()).toEqual([{ key: "alice", metas: ["r.1@3", "s.1@1"] }])
    read(model, at(0, "", "f"), [])
    model.receive(message(1, [put("s.1", "alice")], { epoch: "f", from: 0, fromTag: "", born: true }))
    model.receive(message(2, [put("r.1", "alice", 3)], { epoch: "f" }))
    expect(model.roster.list()).toEqual([{ key: "alice", metas: ["s.1@1", "r.1@3"] }])
  })

  it("counts the times that Redis went back within an epoch only", () => {
    const model = live(at(5), [])
    read(model, at(4, ""), [])
    read(model, at(3, ""), [])
    expect(model.epoch).toBe("e~2")
    read(model, at(0, "", "f"), [])
    expect(model.epoch).toBe("f")
  })

  it("is not taken back by a snapshot that shows it empty where its last message left it so", () => {
    const model = live(at(5), [held("r.1", 1)])
    model.receive(message(6, [remove("r.1")]))
    expect(read(model, at(6, ""), []).deltas).toEqual([])
    expect([model.epoch, model.standing]).toEqual(["e", at(6, "")])
  })

  it("counts another history when it was told a version that Redis has by another way", () => {
    const model = live(at(7), [held("r.1", 1)])
    model.receive(message(8, [put("r.2")], { tag: "forged" }))
    const [healed] = read(model, at(8), [held("r.1", 1), held("r.3", 8)]).deltas
    expect(healed).toMatchObject({
      epoch: "e~1",
      changes: [
        { type: "join", key: "r.3" },
        { type: "leave", key: "r.2" }
      ]
    })
  })

  it("retains nobody of whom a message said why it left, and no meta that is newer", () => {
    const model = live(at(5), [held("r.1", 1), held("r.2", 2), held("r.3", 3)])
    read(model, at(5), [held("r.1", 1), held("r.2", 2), held("r.3", 3)], 0, "other")
    model.begin()
    model.start(at(6))
    model.page([held("r.1", 1, "r.1", 4)])
    model.receive(message(7, [remove("r.2")]))
    const { deltas } = model.finish(end(at(7), "other"), 1)
    expect(deltas.map(({ changes }) => changes.map(({ type, ref }) => `${type} ${ref}`))).toEqual([
      ["update r.1.4", "leave r.2.1"]
    ])
    expect(keys(model)).toEqual(["r.1", "r.3"])
  })

  it("needs no snapshot for a birth on an empty copy, whatever was missed before it, and ignores what is old", () => {
    const model = live(at(5, ""), [])
    expect(model.receive(message(5, [put("r.8")]))).toEqual({ type: "nothing" })
    expect(model.receive(message(12, [put("r.9")], { born: true, from: 11, fromTag: "" }))).toMatchObject({
      type: "applied",
      delta: { from: 5, version: 12 }
    })
    expect(keys(model)).toEqual(["r.9"])
  })

  it("tells the net difference of a snapshot, with the reason that the leases give", () => {
    const model = live(at(5), [held("r.1", 1, "alice"), held("s.1", 2, "bob"), held("r.2", 3, "carol")])
    const { deltas } = read(model, at(9), [held("r.2", 3, "carol", 7), held("r.5", 8, "dave")])
    expect(deltas).toHaveLength(1)
    expect(deltas[0]?.diff).toMatchObject({
      from: 5,
      version: 9,
      joins: [{ key: "dave" }],
      updates: [{ key: "carol", ref: "r.2.7", previousRef: "r.2.1" }],
      leaves: [
        { key: "alice", reason: "released" },
        { key: "bob", reason: "replicaLost" }
      ]
    })
  })

  it("joins pages that were read at different moments with the messages that came meanwhile", () => {
    const model = live(at(5), [held("r.1", 1), held("r.2", 2)])
    model.begin()
    model.start(at(6))
    model.receive(message(6, [put("r.3")]))
    model.receive(message(7, [remove("r.2"), put("r.4")]))
    model.page([held("r.1", 1), held("r.2", 2)])
    model.receive(message(8, [remove("r.4"), put("r.1", "r.1", 9)]))
    // This page was read after the last change.
    model.page([held("r.3", 6), held("r.1", 1, "r.1", 9), held("r.5", 9)])
    expect(model.finish(end(at(9)), 0)).toEqual({ type: "wait", deltas: [], resync: false })
    model.receive(message(9, [put("r.5")]))
    model.receive(message(10, [put("r.6")]))
    const finished = model.finish(end(at(9)), 0)
    expect(finished).toMatchObject({ type: "done", resync: false })
    expect(finished.deltas.map(({ from, version }) => [from, version])).toEqual([
      [5, 9],
      [9, 10]
    ])
    expect(keys(model)).toEqual(["r.1", "r.3", "r.5", "r.6"])
    expect(finished.deltas[0]?.diff.leaves).toMatchObject([{ ref: "r.2.1" }])
  })

  it("goes on from the snapshot with what came meanwhile, and asks for another at the first gap", () => {
    const model = live(at(5), [held("r.1", 1)])
    model.begin()
    model.start(at(6))
    model.receive(message(6, [put("r.2")]))
    model.receive(message(7, [put("r.3")]))
    model.receive(message(9, [put("r.5")]))
    model.page([held("r.1", 1), held("r.2", 6)])
    const { type, resync, deltas } = model.finish(end(at(6)), 0)
    expect([type, resync, deltas.map(({ from, version }) => [from, version])]).toEqual([
      "done",
      true,
      [
        [5, 6],
        [6, 7]
      ]
    ])
    // What comes from now on is for that one.
    expect(model.receive(message(10, [put("r.6")]))).toEqual({ type: "nothing" })
    expect(keys(model)).toEqual(["r.1", "r.2", "r.3"])
  })

  it("takes no page and no end for a snapshot that was not begun", () => {
    const again = { type: "again", deltas: [], resync: false }
    const model = new TopicCopy("room", () => HOLD)
    model.page([held("r.1", 1)])
    expect(model.finish(end(at(5)), 0)).toEqual(again)
    model.begin()
    model.page([held("r.1", 1)])
    expect(model.finish(end(at(5)), 0)).toEqual(again)
    expect([model.isLive, keys(model)]).toEqual([false, []])
    const other = new TopicCopy("room", () => HOLD)
    other.start(at(5))
    other.page([])
    expect(other.finish(end(at(5)), 0)).toEqual(again)
  })

  it("starts over when a message was lost while the snapshot was read", () => {
    const model = live(at(5), [held("r.1", 1)])
    model.begin()
    model.start(at(6))
    model.page([held("r.1", 1)])
    model.receive(message(8, [put("r.3")]))
    expect(model.finish(end(at(8)), 0)).toEqual({ type: "again", deltas: [], resync: false })
    expect(keys(model)).toEqual(["r.1"])
    expect(read(model, at(8), [held("r.1", 1), held("r.3", 8)])).toMatchObject({ type: "done", resync: false })
    expect(keys(model)).toEqual(["r.1", "r.3"])
  })

  it("starts over when the topic came to the same version by another way while it was read", () => {
    const model = live(at(5), [held("r.1", 1)])
    model.begin()
    model.start(at(6))
    model.page([held("r.1", 1)])
    expect(model.finish(end(at(6, "other")), 0)).toMatchObject({ type: "again" })
  })

  it("takes of the messages that came meanwhile those that lead to the end, and starts over where one does not", () => {
    const reading = (...messages: ReadonlyArray<TopicMessage>) => {
      const model = live(at(5), [held("r.1", 1)])
      model.begin()
      model.start(at(6))
      model.page([held("r.1", 1)])
      for (const message of messages) model.receive(message)
      return model.finish(end(at(7)), 0).type
    }
    expect(reading(message(6, []), message(7, [], { epoch: "d", fromTag: "d6" }), message(7, []))).toBe("done")
    expect(reading(message(7, [], { fromTag: "other" }))).toBe("again")
    expect(reading(message(7, [], { from: 5 }))).toBe("again")
    expect(reading(message(6, []))).toBe("wait")
  })

  it("starts over when the topic was born and emptied while it was read, as a page may show who was there", () => {
    const model = live(at(5, ""), [])
    model.begin()
    model.start(at(5, ""))
    model.page([held("r.1", 6)])
    model.receive(message(6, [put("r.1")], { fromTag: "", born: true }))
    model.receive(message(7, [remove("r.1")]))
    expect(model.finish(end(at(7, "")), 0)).toMatchObject({ type: "again" })
    expect(read(model, at(7, ""), [])).toMatchObject({ type: "done" })
    expect(keys(model)).toEqual([])
  })

  it("keeps the age that a page shows of who was updated meanwhile, and gives who came or was written anew that version", () => {
    const ages = (deltas: ReadonlyArray<Delta>) =>
      deltas.map(({ changes }) => changes.map(({ ref, age }) => [ref, age]))
    const model = live(at(5), [held("r.1", 1)])
    model.begin()
    model.start(at(6))
    model.page([held("r.1", 1), held("r.4", 3)])
    model.receive(message(7, [put("r.1", "r.1", 9), put("r.4", "r.4", 9), put("r.7")]))
    expect(ages(model.finish(end(at(7)), 0).deltas)).toEqual([
      [
        ["r.4.9", 3],
        ["r.7.1", 7],
        ["r.1.9", 1]
      ]
    ])
    const lost = live(at(5), [held("r.1", 1)])
    lost.begin()
    lost.start(at(3, "t3", "f"))
    lost.page([])
    lost.receive(message(4, [put("r.1", "r.1", 9)], { epoch: "f" }))
    expect(ages(lost.finish(end(at(4, "t4", "f")), 0).deltas)).toEqual([[["r.1.9", 4]]])
  })

  it.live("keeps no message of an attempt that failed, as the next one reads what it said", () =>
    Effect.gen(function* () {
      const model = new TopicCopy("t", () => HOLD)
      const receive = (): WeakRef<object> => {
        const said = message(6, [put("r.2")])
        expect(model.receive(said)).toEqual({ type: "nothing" })
        return new WeakRef(said)
      }
      model.begin()
      const said = receive()
      model.begin()
      expect(yield* isCollected(said)).toBe(true)
      model.start(at(6))
      model.page([held("r.1", 5), held("r.2", 6)])
      expect(model.finish(end(at(6)), 0)).toMatchObject({ type: "done", resync: false })
      expect(model.roster.list().map(({ key }) => key)).toEqual(["r.1", "r.2"])
    })
  )

  it("holds after a change of epoch who is missing, is silent when they are written again, and lets the rest go", () => {
    const model = live(at(5), [held("r.1", 1, "alice"), held("r.2", 2, "bob"), held("s.1", 3, "carol")])
    const { deltas } = read(model, at(0, "", "f"), [], 100)
    expect(deltas.map(({ changes, epoch }) => [changes.length, epoch])).toEqual([[0, "f+"]])
    expect(keys(model)).toEqual(["alice", "bob", "carol"])
    const born = message(1, [put("r.1", "alice"), put("r.2", "bob", 4)], {
      epoch: "f",
      from: 0,
      fromTag: "",
      born: true
    })
    const received = model.receive(born)
    expect(received).toMatchObject({ type: "applied", delta: { changes: [{ type: "update", key: "bob" }] } })
    const written = [held("r.1", 1, "alice"), held("r.2", 1, "bob", 4)]
    expect(model.retentionEnds).toBe(100 + HOLD)
    expect(read(model, at(1, "t1", "f"), written, 100 + HOLD - 1).deltas).toEqual([])
    const gone = read(model, at(1, "t1", "f"), written, 100 + HOLD).deltas
    expect(gone.map(({ diff }) => diff)).toMatchObject([
      { epoch: "f", from: 1, version: 1, leaves: [{ key: "carol", reason: "replicaLost" }] }
    ])
    expect(model.retentionEnds).toBe(Number.POSITIVE_INFINITY)
  })

  it("holds also when a fail-over took the topic back, and counts it as another history", () => {
    const model = live(at(9), [held("r.1", 1), held("r.2", 9)])
    const { deltas } = read(model, at(7, "t7'"), [held("r.1", 1)], 0, "other")
    expect(deltas.map(({ changes, epoch }) => [changes.length, epoch])).toEqual([[0, "e~1+"]])
    expect(keys(model)).toEqual(["r.1", "r.2"])
    const again = message(8, [put("r.2")], { fromTag: "t7'", tag: "t8'" })
    expect(model.receive(again)).toMatchObject({ type: "applied", delta: { changes: [], epoch: "e~1" } })
  })

  it("lets whom a message made up go at once, as Redis has lost nothing", () => {
    for (const to of [8, 900]) {
      const model = live(at(7), [held("r.1", 1)])
      const forged = message(to, [put("r.2", "nobody"), remove("r.1")], { from: 7, fromTag: "t7", tag: "forged" })
      expect(model.receive(forged)).toMatchObject({ type: "applied" })
      expect(keys(model)).toEqual(["nobody"])
      expect(model.differsFrom(at(7))).toBe(true)
      model.confirm("another", 900)
      const [healed] = read(model, at(7), [held("r.1", 1)]).deltas
      expect(healed?.diff).toMatchObject({
        joins: [{ key: "r.1" }],
        leaves: [{ key: "nobody", reason: "released" }]
      })
      expect(keys(model)).toEqual(["r.1"])
      expect(model.retentionEnds).toBe(Number.POSITIVE_INFINITY)
    }
  })

  it("holds also when somebody loads old data into a Redis that goes on, if Redis has answered that it had come further", () => {
    for (const confirmed of [8, 9]) {
      const model = live(at(7), [held("r.1", 1)])
      expect(model.receive(message(8, [put("r.2")], { from: 7, fromTag: "t7" }))).toMatchObject({ type: "applied" })
      model.confirm("e", confirmed)
      // An older answer comes late.
      model.confirm("e", 7)
      const [told] = read(model, at(7), [held("r.1", 1)]).deltas
      expect(told?.changes).toEqual([])
      expect(keys(model)).toEqual(["r.1", "r.2"])
      expect(model.retentionEnds).toBeLessThan(Number.POSITIVE_INFINITY)
    }
  })

  it("reads the topic when two messages tell one version otherwise", () => {
    const model = live(at(7), [])
    expect(model.receive(message(8, [put("r.2")], { tag: "forged" }))).toMatchObject({ type: "applied" })
    expect(model.receive(message(8, [put("r.3")]))).toEqual({ type: "resync", reason: "gap" })
  })

  it("holds also when Redis restarted or failed over and went on further than this copy had come", () => {
    const model = live(at(9), [held("r.1", 1), held("r.2", 9), held("r.3", 3)])
    const { deltas } = read(model, at(12, "t12'"), [held("r.1", 1), held("r.4", 11)], 0, "other")
    expect(deltas.map(({ changes, epoch }) => [changes.map(({ type, ref }) => [type, ref]), epoch])).toEqual([
      [[["join", "r.4.1"]], "e+"]
    ])
    expect(keys(model)).toEqual(["r.1", "r.2", "r.3", "r.4"])
    const [gone] = read(model, at(13), [held("r.1", 1), held("r.2", 13), held("r.4", 11)], HOLD, "other").deltas
    expect(gone?.diff.leaves).toMatchObject([{ key: "r.3", reason: "released" }])
  })

  it("holds also who was learned of, after a fail-over, by a late message of the history that was lost", () => {
    const model = live(at(7), [held("r.1", 1), held("r.2", 7)])
    expect(read(model, at(7), [held("r.1", 1), held("r.2", 7)], 0, "other").deltas).toEqual([])
    expect(model.receive(message(8, [put("r.3")]))).toMatchObject({ type: "applied" })
    expect(model.receive(message(9, [put("r.4")], { fromTag: "t8'" }))).toMatchObject({ type: "resync" })
    const found = [held("r.1", 1), held("r.2", 7), held("r.4", 9)]
    const { deltas } = read(model, at(9, "t9'"), found, HOLD - 1, "other")
    expect(deltas.map(({ changes }) => changes.map(({ type, ref }) => [type, ref]))).toEqual([[["join", "r.4.1"]]])
    const [gone] = read(model, at(9, "t9'"), found, HOLD, "other").deltas
    expect(gone?.diff.leaves).toMatchObject([{ key: "r.3" }])
  })

  it("lists a key's metas by age, in whatever order they were read", () => {
    const model = live(at(5), [held("r.10", 4, "alice"), held("s.3", 1, "alice"), held("r.9", 4, "alice")])
    expect(model.roster.list()).toEqual([{ key: "alice", metas: ["s.3@1", "r.9@1", "r.10@1"] }])
    read(model, at(6), [
      held("r.10", 4, "alice"),
      held("s.3", 1, "alice"),
      held("r.9", 4, "alice"),
      held("q.1", 2, "alice")
    ])
    expect(model.roster.list()).toEqual([{ key: "alice", metas: ["s.3@1", "q.1@1", "r.9@1", "r.10@1"] }])
    const two = live(at(5), [held("r.2", 2, "bob"), held("r.1", 1, "bob"), held("r.3", 3)])
    expect(two.roster.list()[0]).toEqual({ key: "bob", metas: ["r.1@1", "r.2@1"] })
  })

  it("stands nowhere, and has reached nothing, before its first snapshot", () => {
    const model = new TopicCopy("room", () => HOLD)
    expect([model.standing, model.epoch]).toEqual([{ epoch: "", version: 0, tag: "" }, ""])
    expect(model.hasReached("", 0)).toBe(false)
    expect(model.hasReached("f", 0)).toBe(false)
  })

  it("has reached its own version and those before it, and all of another epoch", () => {
    const model = live(at(5), [held("r.1", 1)])
    expect([4, 5, 6].map((version) => model.hasReached("e", version))).toEqual([true, true, false])
    expect(model.hasReached("f", 900)).toBe(true)
  })

  it("has caught up when it has come to what Redis said, or gone beyond it, and Redis has not gone back", () => {
    const model = live(at(5), [held("r.1", 1)])
    const before = model.standing
    expect(model.hasCaughtUp(at(5), before)).toBe(true)
    expect(model.hasCaughtUp(at(6), before)).toBe(false)
    // It emptied.
    expect(model.hasCaughtUp(at(5, ""), before)).toBe(false)
    model.receive(message(6, [put("r.2")]))
    expect(model.hasCaughtUp(at(6), before)).toBe(true)
    expect(model.hasCaughtUp(at(6, "other"), before)).toBe(false)
    model.receive(message(7, [put("r.3")]))
    for (const said of [at(5), at(5, ""), at(6), at(6, "other"), at(7)]) {
      expect([said, model.hasCaughtUp(said, before)]).toEqual([said, true])
    }
    // It went back, to another data set, to before, or to the same version by another way.
    for (const said of [undefined, at(6, "t6", "f"), at(4), at(4, ""), at(5, "other"), at(8)]) {
      expect([said, model.hasCaughtUp(said, before)]).toEqual([said, false])
    }
  })

  it("is what Redis has at that version only without those whom it retains or hides", () => {
    const copy = live(at(5), [held("r.1", 1), held("r.2", 2)])
    copy.begin()
    copy.start(at(4))
    copy.page([held("r.1", 1), held("s.1", 3)])
    copy.finish(end(at(4), "other", "s"), 0)
    // One of each.
    expect([copy.epoch, keys(copy)]).toEqual(["e~1+", ["r.1", "r.2"]])
  })

  it("differs from Redis by version, by tag, by epoch; an empty one only by who is there", () => {
    const model = live(at(5), [held("r.1", 1)])
    expect(model.differsFrom(at(5))).toBe(false)
    for (const other of [at(6), at(6, "t5"), at(5, "x"), at(5, "t5", "f"), at(5, ""), undefined])
      expect(model.differsFrom(other)).toBe(true)
    const empty = live(at(5, ""), [])
    expect(empty.differsFrom(at(8, ""))).toBe(false)
    expect(empty.differsFrom(at(4, ""))).toBe(true)
    expect(empty.differsFrom(at(6))).toBe(true)
  })

  describe("after Redis has loaded an old data set", () => {
    const doubting = (
      copy: TopicCopy,
      standing: Standing,
      members: ReadonlyArray<StoredMember>,
      now: number,
      ...doubted: ReadonlyArray<string>
    ) => {
      copy.begin()
      copy.start(standing)
      copy.page(members)
      return copy.finish(end(standing, "other", ...doubted), now).deltas
    }
    const told = (deltas: ReadonlyArray<Delta>) =>
      deltas.map(({ changes, epoch }) => [changes.map(({ type, ref }) => `${type} ${ref}`), epoch])
    const old = [held("r.1", 1, "alice"), held("s.1", 2, "bob"), held("s.2", 3, "carol")]

    it("tells no join of whom a doubted replica may have had before, and keeps who was here", () => {
      const copy = live(at(9), [held("r.1", 1, "alice"), held("s.1", 2, "bob")])
      expect(told(doubting(copy, at(4, "t4"), old, 0, "s"))).toEqual([[[], "e~1+"]])
      expect(keys(copy)).toEqual(["alice", "bob"])
      // It is looked at again after a while, less and less often, until nothing is doubted any more.
      expect(copy.retentionEnds).toBe(HOLD / 16)
      expect(told(doubting(copy, at(4, "t4"), old, 10, "s"))).toEqual([])
      expect(copy.retentionEnds).toBe(10 + HOLD / 8)
      expect(told(doubting(copy, at(4, "t4"), old, 13))).toEqual([[["join s.2.1"], "e~1"]])
      expect(copy.retentionEnds).toBe(Number.POSITIVE_INFINITY)
    })

    it("shows one replica's after the other, as they are not doubted any more", () => {
      const copy = live(at(9), [held("r.1", 1, "alice")])
      const members = [...old, held("q.1", 4, "dave")]
      expect(told(doubting(copy, at(9, "t9"), members, 0, "q", "s"))).toEqual([[[], "e+"]])
      expect(told(doubting(copy, at(9, "t9"), members, 1, "q"))).toEqual([[["join s.1.1", "join s.2.1"], "e+"]])
      expect(told(doubting(copy, at(9, "t9"), members, 2))).toEqual([[["join q.1.1"], "e"]])
    })

    it("is silent when they are ended, and when they turn out to be there hears it from their replica", () => {
      const copy = live(at(9), [held("r.1", 1, "alice")])
      doubting(copy, at(4, "t4"), old, 0, "s")
      const reaped = copy.receive(message(5, [remove("s.1")]))
      expect(reaped).toMatchObject({ type: "applied", delta: { changes: [], epoch: "e~1+" } })
      const written = copy.receive(message(6, [put("s.2", "carol", 4)]))
      expect(written).toMatchObject({ type: "applied", delta: { changes: [{ type: "join" }], epoch: "e~1" } })
      expect(keys(copy)).toEqual(["alice", "carol"])
    })

    it("shows nobody of a doubted replica to who comes new", () => {
      const copy = new TopicCopy("room", () => HOLD)
      expect(told(doubting(copy, at(4), old, 0, "s"))).toEqual([])
      expect([keys(copy), copy.epoch]).toEqual([["alice"], "e+"])
      expect(told(doubting(copy, at(4), old, 1))).toEqual([[["join s.1.1", "join s.2.1"], "e"]])
      expect(keys(copy)).toEqual(["alice", "bob", "carol"])
    })

    it("forgets whom it hid with a birth: there was nobody before", () => {
      const copy = new TopicCopy("room", () => HOLD)
      doubting(copy, at(4), [held("s.1", 2, "bob")], 0, "s")
      const born = copy.receive(message(9, [put("r.7")], { born: true, from: 8, fromTag: "" }))
      expect(born).toMatchObject({ type: "applied", delta: { epoch: "e" } })
      expect(copy.retentionEnds).toBe(Number.POSITIVE_INFINITY)
    })

    it("keeps what a member said last until its replica says it again, or the retention is over", () => {
      const copy = live(at(9), [held("r.1", 1, "alice", 8)])
      const older = [held("r.1", 1, "alice", 3)]
      expect(told(doubting(copy, at(4, "t4"), older, 0))).toEqual([[[], "e~1+"]])
      expect(copy.roster.list()).toEqual([{ key: "alice", metas: ["r.1@8"] }])
      expect(copy.receive(message(5, [put("r.1", "alice", 8)]))).toMatchObject({ delta: { changes: [], epoch: "e~1" } })
      expect(told(doubting(copy, at(4, "t4'"), older, 1))).toEqual([[[], "e~2+"]])
      expect(told(doubting(copy, at(4, "t4'"), older, 1 + HOLD))).toEqual([[["update r.1.3"], "e~2"]])
    })
  })
})
