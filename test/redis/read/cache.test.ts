import { describe, expect, it } from "@effect/vitest"
import type { RedisReply } from "../../../src/redis/client/port.js"
import { Keys } from "../../../src/redis/protocol/keys.js"
import { ReadCache } from "../../../src/redis/read/cache.js"
import { FakePort } from "../../support/port.js"

/** What `read` answers of a topic with one member whose meta is a text of a length. */
const standing = (length: number): RedisReply => [
  "e 0",
  "5 t5",
  "h",
  ["r"],
  1,
  ["r.1", `1 1 ${JSON.stringify("x".repeat(length))}\nalice`]
]

describe("topics that are read", () => {
  const keys = new Keys("presence", 0)
  const reading = (cache: ReadCache, port: FakePort) => async (topic: string, length: number) => {
    const read = cache.read(keys, topic, 1_000)
    port.take("read").answer(standing(length))
    return read
  }

  it("are remembered as long as they are as they were, so that a list is the same array", async () => {
    const port = new FakePort()
    const read = reading(new ReadCache(port), port)
    const first = await read("a", 10)
    expect((await read("a", 10))?.roster).toBe(first?.roster)
  })

  it("are remembered up to a number of bytes, and the longest unread goes first", async () => {
    const port = new FakePort()
    const read = reading(new ReadCache(port, 50_000), port)
    const [a, b] = [await read("a", 16_000), await read("b", 16_000)]
    expect((await read("a", 16_000))?.roster).toBe(a?.roster)
    await read("c", 16_000)
    expect((await read("a", 16_000))?.roster).toBe(a?.roster)
    expect((await read("b", 16_000))?.roster).not.toBe(b?.roster)
  })
})
