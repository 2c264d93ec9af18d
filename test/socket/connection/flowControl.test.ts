import { EventEmitter } from "node:events"
import type { Socket } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { WebSocket } from "ws"
import { FlowControl } from "../../../src/socket/connection/flowControl.js"

const makeFlow = () => {
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
    }
  })
  const limits = {
    rate: { perSecond: 1_000, burst: 2_000 },
    allowance: { unsentBytes: 100, unsentBytesMax: 200, unsentFor: 1_000 },
    idleTimeout: 1_000
  }
  // As much of a socket as a flow needs.
  const flow = new FlowControl<string>(
    ws as unknown as WebSocket,
    raw as unknown as Socket,
    limits,
    () => 0,
    () => {}
  )
  return { flow, ws, raw }
}

describe("who found nothing to take and is about to wait", () => {
  it.effect("does not miss what comes just then", () =>
    Effect.gen(function* () {
      const { flow, ws } = makeFlow()
      expect(flow.take()).toBe(Number.POSITIVE_INFINITY)
      // Here a fiber may have to let others run.
      ws.emit("message", Buffer.from("hello"), false)
      yield* flow.changed
      expect(flow.take()).toMatchObject({ _tag: "Text" })
      flow.order("leave")
      yield* flow.changed
      expect(flow.take()).toEqual({ _tag: "Order", order: "leave" })
    })
  )

  it.effect("nor that a full socket has drained", () =>
    Effect.gen(function* () {
      const { flow, ws, raw } = makeFlow()
      ws.bufferedAmount = 150
      flow.write({ bytes: Uint8Array.of(1), binary: true })
      flow.order("leave")
      expect(flow.take()).toBe(Number.POSITIVE_INFINITY)
      ws.bufferedAmount = 0
      raw.emit("drain")
      yield* flow.changed
      expect(flow.take()).toEqual({ _tag: "Order", order: "leave" })
    })
  )

  it.effect("nor the end", () =>
    Effect.gen(function* () {
      const { flow, ws } = makeFlow()
      expect(flow.take()).toBe(Number.POSITIVE_INFINITY)
      ws.emit("close")
      yield* flow.changed
      expect(flow.take()).toBe("ended")
    })
  )
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
