/** When a socket stands in line to be served. */
import { EventEmitter } from "node:events"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Peer, SocketConnection, type SocketHost } from "../../../src/socket/connection/connection.js"
import { FairTurns } from "../../../src/socket/connection/fairTurns.js"
import type { FlowLimits } from "../../../src/socket/connection/flowControl.js"

class FakeTransport extends EventEmitter {
  readonly bufferedAmount = 0
  readonly sent: Array<string> = []
  send(bytes: Uint8Array): void {
    this.sent.push(Buffer.from(bytes).toString())
  }
  pong(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {}
  terminate(): void {}
}

const limits: FlowLimits = {
  rate: { perSecond: 1_000, burst: 1_000 },
  allowance: { unsentBytes: 1_000_000, unsentFor: 10_000, unsentBytesMax: 2_000_000 },
  idleTimeout: 60_000
}

/** A turn that has no time left, so that whoever comes stands in line. */
class FullTurns extends FairTurns {
  readonly line: Array<{ readonly work: (until: number) => boolean }> = []
  override run(worker: { readonly work: (until: number) => boolean }): void {
    this.line.push(worker)
  }
}

it("stands in line as long as there is something of it to take, and once", () => {
  const turns = new FullTurns()
  const transport = new FakeTransport()
  // What heartbeats need, and no more.
  const host = {
    turns,
    firstBytes: 1_000,
    now: () => 0,
    date: () => 0,
    rules: {},
    sockets: { add: () => {} }
  } as unknown as SocketHost<never>
  const peer: Peer<never> = { request: {} as never, address: "here", refusal: undefined, run: Effect.runFork }
  const connection = new SocketConnection(transport, { on: () => {} }, limits, 2, host, peer)
  const beat = (n: number) => transport.emit("message", Buffer.from(`[null,"b${n}","phoenix","heartbeat",{}]`), false)

  beat(1)
  expect(turns.line).toHaveLength(1)
  // One message is taken, and nothing is left.
  expect(connection.work(0)).toBe(false)
  beat(2)
  beat(3)
  expect(turns.line).toHaveLength(2)
  expect(connection.work(0)).toBe(true)
  beat(4)
  expect(turns.line).toHaveLength(2)
  expect(connection.work(0)).toBe(true)
  expect(connection.work(0)).toBe(false)
  expect(transport.sent).toHaveLength(4)
  expect(connection.isNew).toBe(true)
})
