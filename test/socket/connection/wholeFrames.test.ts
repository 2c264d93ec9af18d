import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { expect, it } from "@effect/vitest"
import WebSocket from "ws"
import { makeUpgrade } from "../../../src/socket/connection/upgrade.js"
import { frame, type WholeFrames } from "../../../src/socket/connection/wholeFrames.js"

it("a client reads texts and bytes of every length as they were written", async () => {
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 200_000]
  const upgrade = makeUpgrade(1_024)
  const server = createServer()
  server.on("upgrade", (request, _, head) => {
    const ws = upgrade(request, head) as WholeFrames
    for (const size of sizes) for (const binary of [false, true]) ws.send(Buffer.alloc(size, "é"), { binary })
    // In parts, of which others are sent the same.
    const part = Buffer.alloc(65_536, "é")
    ws.send(Buffer.alloc(2, "é"), { binary: false, rest: [part, part.subarray(2), Buffer.alloc(0)] })
    ws.send(Buffer.alloc(0), { binary: true, rest: [Buffer.alloc(4, "é")] })
    ws.close(1000)
    // What comes after the end is nobody's.
    ws.send(Buffer.from("late"), { binary: false })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { skipUTF8Validation: true })
  const heard: Array<readonly [number, boolean]> = []
  client.on("message", (data: Buffer, isBinary) => {
    expect(data.equals(Buffer.alloc(data.length, "é"))).toBe(true)
    heard.push([data.length, isBinary])
  })
  const code = await new Promise((resolve, reject) => {
    client.on("close", resolve)
    client.on("error", reject)
  })
  server.close()
  expect(code).toBe(1000)
  const whole = sizes.flatMap((size) => [[size, false] as const, [size, true] as const])
  expect(heard).toEqual([...whole, [131_072, false], [4, true]])
})

it("what many are told, in both versions of the protocol in turn, is one piece each", () => {
  const [one, two] = [Buffer.from("version 1"), Buffer.from("version 2")]
  const [first, second] = [frame(one, false), frame(two, false)]
  for (let i = 0; i < 3; i++) {
    expect(frame(one, false)).toBe(first)
    expect(frame(two, false)).toBe(second)
  }
  expect(first).not.toBe(second)
})
