import { EventEmitter } from "node:events"
import type { Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import type { WebSocket } from "ws"
import { FlowControl } from "../../../src/socket/connection/flowControl.js"

const makeFlow = (now = () => 0) => {
  const told: Array<string> = []
  const raw = new EventEmitter()
  const ws = Object.assign(new EventEmitter(), {
    bufferedAmount: 0,
    cut: false,
    pause: () => {},
    resume: () => {},
    send: ({ length }: Uint8Array) => {
      ws.bufferedAmount += length
    },
    terminate: () => {
      ws.cut = true
    },
    close: () => {}
  })
  const limits = {
    rate: { perSecond: 1_000, burst: 2_000 },
    allowance: { unsentBytes: 100, unsentBytesMax: 200, unsentFor: 1_000 },
    idleTimeout: 1_000
  }
  // As much of a socket as a flow needs.
  const flow = new FlowControl<string>(ws as unknown as WebSocket, raw as unknown as Socket, limits, now, {
    onInput: () => told.push("input"),
    onDrain: () => told.push("drain"),
    onEnding: () => told.push("ending"),
    onClosed: () => told.push("closed")
  })
  return { flow, ws, raw, told }
}

describe("who takes from a socket is told", () => {
  it("of what comes at once, and of an order when whoever gave it is done", async () => {
    const { flow, ws, told } = makeFlow()
    expect(flow.take()).toBe(Number.POSITIVE_INFINITY)
    ws.emit("message", Buffer.from("hello"), false)
    expect(told).toEqual(["input"])
    expect(flow.take()).toMatchObject({ _tag: "Text" })
    flow.order("leave")
    expect(told).toEqual(["input"])
    await Promise.resolve()
    expect(told).toEqual(["input", "input"])
    expect(flow.take()).toEqual({ _tag: "Order", order: "leave" })
  })

  it("that a full socket has drained, and may be taken from again", () => {
    const { flow, ws, raw, told } = makeFlow()
    ws.bufferedAmount = 150
    flow.write({ bytes: Uint8Array.of(1), binary: true })
    flow.order("leave")
    expect(flow.take()).toBe(Number.POSITIVE_INFINITY)
    told.length = 0
    ws.bufferedAmount = 0
    raw.emit("drain")
    expect(told).toEqual(["drain", "input"])
    expect(flow.take()).toEqual({ _tag: "Order", order: "leave" })
  })

  it("of the end, once, and when nothing is left", () => {
    const { flow, ws, told } = makeFlow()
    ws.emit("error")
    ws.emit("close")
    expect(told).toEqual(["ending", "closed"])
    expect(flow.take()).toBe("ended")
  })
})

describe("one that does not read", () => {
  const write = (flow: FlowControl<string>, length: number) =>
    flow.write({ bytes: new Uint8Array(length), binary: true })

  it("is let have a single frame over the most, and cut off by whatever would follow it", () => {
    const { flow, ws } = makeFlow()
    write(flow, 201)
    expect([ws.cut, flow.open, flow.isEnding]).toEqual([false, false, false])
    write(flow, 1)
    expect([ws.cut, flow.isEnding, ws.bufferedAmount]).toEqual([true, true, 201])
  })

  it("below the most it is not cut off for what follows", () => {
    const { flow, ws } = makeFlow()
    write(flow, 150)
    write(flow, 49)
    expect([ws.cut, flow.open]).toEqual([false, false])
    ws.bufferedAmount = 0
    flow.tick()
    expect(flow.open).toBe(true)
  })
})

describe("while the process stood still", () => {
  it("nobody was silent, nor took nothing; from then on they are", () => {
    let time = 0
    const [silent, full] = [makeFlow(() => time), makeFlow(() => time)]
    full.flow.write({ bytes: new Uint8Array(150), binary: false })
    time = 120_500
    for (const { flow } of [silent, full]) flow.tick(120_000)
    expect([silent.flow.isEnding, full.ws.cut]).toEqual([false, false])
    time += 500
    for (const { flow } of [silent, full]) flow.tick()
    expect([silent.flow.isEnding, full.ws.cut]).toEqual([true, true])
  })
})
