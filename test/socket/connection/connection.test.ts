/** When a socket stands in line to be served. */
import { EventEmitter } from "node:events"
import { expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { type Peer, SocketConnection, type SocketHost } from "../../../src/socket/connection/connection.js"
import { FairTurns } from "../../../src/socket/connection/fairTurns.js"
import type { FlowLimits } from "../../../src/socket/connection/flowControl.js"
import type { Permission } from "../../../src/socket/protocol/sessionStep.js"

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

/** As much of a host as refusals and heartbeats need. */
const makeSocket = (authorize: SocketHost<never>["authorize"] = () => refused) => {
  const turns = new FullTurns()
  const transport = new FakeTransport()
  const host = {
    turns,
    firstBytes: 1_000,
    now: () => 0,
    date: () => 0,
    rules: {
      protocol: "phoenix",
      channels: 10,
      topicBytes: 100,
      keyBytes: 100,
      metaDepth: 4,
      makeKey: () => "made up"
    },
    sockets: { add: () => {}, delete: () => {}, finish: (end: () => void) => end() },
    authorize
  } as unknown as SocketHost<never>
  const peer: Peer<never> = { request: {} as never, address: "here", refusal: undefined, run: Effect.runFork }
  const connection = new SocketConnection(transport, { on: () => {} }, limits, 2, host, peer)
  const say = (...frame: ReadonlyArray<unknown>) => transport.emit("message", Buffer.from(JSON.stringify(frame)), false)
  return { turns, transport, connection, say, beat: (n: number) => say(null, `b${n}`, "phoenix", "heartbeat", {}) }
}

const refused: Permission = { _tag: "Refused", reason: "not you" }

it("stands in line as long as there is something of it to take, and once", () => {
  const { turns, transport, connection, beat } = makeSocket()
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
})

it("what it has waited for is done when its turn comes, before what it says next", async () => {
  let answer: (permission: Permission) => void = () => {}
  const { turns, transport, connection, say, beat } = makeSocket(() =>
    Effect.async((resume) => {
      answer = (permission) => resume(Effect.succeed(permission))
    })
  )
  expect(connection.isNew).toBe(true)
  say("1", "1", "room", "phx_join", {})
  beat(1)
  expect(connection.work(Number.POSITIVE_INFINITY)).toBe(false)
  expect([turns.line.length, transport.sent.length]).toEqual([1, 0])
  answer(refused)
  await vi.waitUntil(() => turns.line.length === 2, 60_000)
  // It has its place, but not with those who begin.
  expect([transport.sent.length, connection.isNew]).toEqual([0, false])
  expect(connection.work(0)).toBe(true)
  expect(transport.sent.map((text) => JSON.parse(text)[4])).toMatchObject([{ response: { reason: "not you" } }])
  expect(connection.work(0)).toBe(false)
  expect(transport.sent).toHaveLength(2)
})

it("what it has waited for is not done any more once it has ended", async () => {
  let answer = (): void => {}
  const { turns, transport, connection, say } = makeSocket(() =>
    Effect.async((resume) => {
      answer = () => resume(Effect.succeed({ _tag: "Granted" }))
    })
  )
  say("1", "1", "room", "phx_join", {})
  connection.work(0)
  answer()
  await vi.waitUntil(() => turns.line.length === 2, 60_000)
  transport.emit("close")
  // To follow the topic would fail here, where there is none.
  expect(connection.work(0)).toBe(false)
  expect(transport.sent).toEqual([])
})
