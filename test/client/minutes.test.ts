/** What a client does over minutes, on a clock of the test, with a server that the test plays. */
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { connect } from "../../src/client/index.js"
import { accepts, playServer, refuses } from "./support/transport.js"

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

describe("a client", () => {
  it("that is refused asks for a token at once, and then ever more rarely", async () => {
    // As the server does to those whom it refuses at connect, and to those whom it only refuses a topic.
    for (const closesAfter of [2_000, undefined]) {
      let asked = 0
      const { transport } = playServer(refuses, closesAfter)
      const client = connect("ws://h", { transport, token: () => `token ${++asked}` })
      const room = client.join("lobby", { key: "alice" })
      await vi.advanceTimersByTimeAsync(200)
      expect([asked, room.status, room.reason]).toEqual([2, "refused", "forbidden topic"])
      await vi.advanceTimersByTimeAsync(60_000)
      const minute = asked
      await vi.advanceTimersByTimeAsync(600_000)
      expect(minute).toBeLessThan(15)
      expect(asked - minute).toBeLessThan(90)
      expect(asked - minute).toBeGreaterThan(40)
      client.close()
      await vi.advanceTimersByTimeAsync(60_000)
      expect(vi.getTimerCount()).toBe(0)
    }
  })

  it("that was refused is let in at once under another key", async () => {
    let user = "alice"
    const { transport } = playServer((frame) =>
      JSON.stringify(frame).includes("token of bob") ? accepts(frame) : refuses(frame)
    )
    const client = connect("ws://h", { transport, token: () => `token of ${user}` })
    const room = client.join("lobby", { key: "alice" })
    await vi.advanceTimersByTimeAsync(300_000)
    expect(room.status).toBe("refused")
    user = "bob"
    client.join("lobby", { key: "bob" })
    await vi.advanceTimersByTimeAsync(0)
    expect([room.status, room.reason]).toEqual(["joined", undefined])
    client.close()
  })

  it("gives up a connection that does not open within fifteen seconds, and makes another", async () => {
    const { opened, transport } = playServer(undefined)
    const client = connect("ws://h", { transport })
    const room = client.join("lobby")
    await vi.advanceTimersByTimeAsync(14_000)
    expect([opened.length, room.status]).toEqual([1, "connecting"])
    await vi.advanceTimersByTimeAsync(2_000)
    expect([opened[0]?.readyState, opened.length]).toEqual([3, 2])
    // Joins that were never sent end in their time-out, which nobody has to catch.
    await vi.advanceTimersByTimeAsync(120_000)
    expect(room.status).toBe("connecting")
    client.close()
  })

  it("whose machine slept without a word comes back when its connection does not answer", async () => {
    let silent = false
    const { opened, transport } = playServer((frame) => (silent ? [] : accepts(frame)))
    const client = connect("ws://h", { transport })
    const room = client.join("lobby")
    await vi.advanceTimersByTimeAsync(20_000)
    expect([opened.length, room.status]).toEqual([1, "joined"])
    silent = true
    vi.setSystemTime(Date.now() + 3_600_000)
    await vi.advanceTimersByTimeAsync(9_900)
    expect(opened.length).toBe(1)
    silent = false
    await vi.advanceTimersByTimeAsync(2_000)
    expect([opened.length, room.status]).toEqual([2, "joined"])
    client.close()
    await vi.advanceTimersByTimeAsync(2_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it("that may make no connection says why, and tries again", async () => {
    let tries = 0
    const transport = class {
      constructor() {
        tries++
        throw new Error("the policy of this page")
      }
    }
    const client = connect("ws://h", { transport: transport as never })
    const room = client.join("lobby")
    await vi.advanceTimersByTimeAsync(0)
    expect([room.status, room.reason]).toEqual(["refused", "there is no connection: the policy of this page"])
    await vi.advanceTimersByTimeAsync(1_000)
    expect(tries).toBeGreaterThan(2)
    client.close()
  })

  it("asks for its token again while that fails, and says so until it comes", async () => {
    let asked = 0
    const { opened, transport } = playServer(accepts)
    const client = connect("ws://h", {
      transport,
      token: () => {
        if (++asked < 3) throw new Error("no network")
        return "good"
      }
    })
    const room = client.join("lobby")
    await vi.advanceTimersByTimeAsync(0)
    expect([room.status, room.reason, opened.length]).toEqual(["refused", "there is no token: no network", 0])
    await vi.advanceTimersByTimeAsync(1_000)
    expect([room.status, room.reason, asked]).toEqual(["joined", undefined, 3])
    client.close()
  })

  it("takes no diff of a join before the one whose state it shows", async () => {
    const diff = { joins: { ghost: { metas: [{ phx_ref: "1" }] } }, leaves: {} }
    const { transport } = playServer((frame) => [[null, null, "lobby", "presence_diff", diff], ...accepts(frame)])
    const client = connect("ws://h", { transport })
    const room = client.join("lobby")
    await vi.advanceTimersByTimeAsync(0)
    expect([room.status, room.entries]).toEqual(["joined", []])
    client.close()
  })
})
