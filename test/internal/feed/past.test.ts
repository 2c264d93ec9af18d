import { describe, expect, it } from "vitest"
import { Delta } from "../../../src/internal/feed/delta.js"
import { Past } from "../../../src/internal/feed/past.js"

const update = (topic: string, version: number, meta: unknown = { x: version }): Delta =>
  new Delta(topic, "epoch", version - 1, version, [
    {
      type: "update",
      key: "alice",
      ref: `r.${version}`,
      previousRef: `r.${version - 1}`,
      meta: meta as never,
      previousMeta: null,
      age: 1,
      reason: "released",
      last: true
    }
  ])

const versions = (deltas: ReadonlyArray<Delta> | undefined) => deltas?.map(({ version }) => version)

const seconds = (n: number) => n * 1e9

describe("what was told of a topic", () => {
  it("is there from a version on, without what was made of it", () => {
    const past = new Past(10)
    past.open("room")
    const second = update("room", 2)
    for (const delta of [update("room", 1), second, update("room", 3)]) {
      expect(delta.diff.version).toBe(delta.version)
      past.push(delta)
    }
    expect(versions(past.since("room", 1))).toEqual([2, 3])
    expect(past.since("room", 1)?.[0]).not.toBe(second)
    expect(past.since("room", 1)?.[0]?.diff).toEqual(second.diff)
    expect(past.since("room", 7)).toBeUndefined()
    expect(past.since("other", 1)).toBeUndefined()
  })

  it("is kept up to a number of changes", () => {
    const past = new Past(10)
    past.open("room")
    for (let version = 1; version <= 5_000; version++) past.push(update("room", version))
    expect(versions(past.since("room", 4_990))).toHaveLength(10)
    expect(past.since("room", 4_989)).toBeUndefined()
  })

  it("of all topics is kept up to a number of bytes, and the oldest goes, whosever it is", () => {
    const past = new Past(1_000_000, 1_000_000)
    for (const topic of ["quiet", "busy"]) past.open(topic)
    past.push(update("quiet", 1))
    for (let version = 1; version <= 1_000; version++) past.push(update("busy", version, "x".repeat(10_000)))
    expect(past.bytes).toBeLessThanOrEqual(1_000_000)
    expect(past.bytes).toBeGreaterThan(900_000)
    expect(past.since("quiet", 0)).toBeUndefined()
    expect(past.since("busy", 0)).toBeUndefined()
    expect(versions(past.since("busy", 990))).toHaveLength(10)
  })

  it("is forgotten after a minute", () => {
    const past = new Past(10)
    past.age(seconds(100))
    past.open("room")
    past.push(update("room", 1))
    past.age(seconds(160))
    past.push(update("room", 2))
    expect(versions(past.since("room", 0))).toEqual([1, 2])
    past.age(seconds(161))
    expect(past.since("room", 0)).toBeUndefined()
    expect(versions(past.since("room", 1))).toEqual([2])
    past.age(seconds(221))
    expect(past.bytes).toBe(0)
  })

  it("is forgotten with the last follower, and nothing of others", () => {
    const past = new Past(10)
    past.open("kept")
    past.push(update("kept", 1))
    for (let n = 0; n < 10_000; n++) {
      past.open("room")
      past.push(update("room", 1))
      past.close("room")
    }
    expect(past.since("room", 0)).toBeUndefined()
    expect(versions(past.since("kept", 0))).toEqual([1])
    past.close("kept")
    past.close("never")
    expect(past.bytes).toBe(0)
  })
})
