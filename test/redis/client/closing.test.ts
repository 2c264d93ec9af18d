/** What a port to a cluster leaves behind when it is closed: nothing, as a process lives while something is left. */
import { createServer, type Server, type Socket } from "node:net"
import { afterEach, describe, expect, it, vi } from "@effect/vitest"
import { open } from "../../../src/redis/client/ioredis.js"
import type { Port, PortEvents } from "../../../src/redis/client/port.js"

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`

const INFO = bulk("redis_version:7.2.0\r\nredis_mode:cluster\r\n")

/** A node of a cluster that answers what a port asks, and may be told to be slow in it. */
class Node {
  port = 0
  readonly sockets = new Set<Socket>()
  /** Answers to `CLUSTER SLOTS` that wait, while they are to. */
  readonly kept: Array<() => void> = []
  keepsSlots = false
  /** Whether it goes on listening to who has said that it ends. */
  keepsOpen = false
  answer = "+OK\r\n"
  private readonly server: Server

  constructor(private readonly slots: () => string) {
    this.server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => this.sockets.delete(socket))
      socket.on("end", () => {
        if (!this.keepsOpen) socket.end()
      })
      socket.on("data", (data) => {
        for (const command of data.toString().split(/(?=\*\d+\r\n\$)/)) this.take(socket, command)
      })
    })
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve))
    this.port = (this.server.address() as { readonly port: number }).port
  }

  stop(): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private take(socket: Socket, command: string): void {
    const words = command.split("\r\n").filter((_, line) => line > 0 && line % 2 === 0)
    const [name, of] = words.map((word) => word.toUpperCase())
    if (name === "INFO") socket.write(INFO)
    else if (name === "CLUSTER" && of === "INFO") socket.write(bulk("cluster_state:ok\r\n"))
    else if (name === "CLUSTER" && of === "SLOTS") {
      const answer = (): void => void socket.write(this.slots())
      if (this.keepsSlots) this.kept.push(answer)
      else answer()
    } else socket.write(name === "GET" ? this.answer : "+OK\r\n")
  }
}

/** Two nodes with half of the slots each. `a` is of the first, `b` of the second. */
const startNodes = async (): Promise<readonly [Node, Node]> => {
  const range = (from: number, to: number, { port }: Node): string =>
    `*3\r\n:${from}\r\n:${to}\r\n*3\r\n${bulk("127.0.0.1")}:${port}\r\n${bulk(`node ${port}`)}`
  const slots = (): string => `*2\r\n${range(8_192, 16_383, nodes[0])}${range(0, 8_191, nodes[1])}`
  const nodes = [new Node(slots), new Node(slots)] as const
  for (const node of nodes) await node.listen()
  return nodes
}

const none = (): void => {}
const deaf: PortEvents = {
  onMessage: none,
  onReady: none,
  onSubscriberReady: none,
  onDown: none,
  onSubscriberDown: none
}

const until = (condition: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(condition()).toBe(true), { timeout: 300_000, interval: 5 })

describe("a port to a cluster that is closed", () => {
  let nodes: readonly [Node, Node]
  let port: Port
  const start = async (): Promise<void> => {
    nodes = await startNodes()
    port = await open({ where: { url: `redis://127.0.0.1:${nodes[0].port}` }, timeout: 60_000, name: "closing" }, deaf)
  }
  afterEach(() => {
    vi.useRealTimers()
    for (const node of nodes) node.stop()
  })

  it("asks no more who has which slot, also when it was about to be told", async () => {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"],
      shouldAdvanceTime: true
    })
    await start()
    for (const node of nodes) node.keepsSlots = true
    vi.advanceTimersByTime(5_000)
    await until(() => nodes.some(({ kept }) => kept.length > 0))
    port.close()
    for (const { kept } of nodes) for (const answer of kept) answer()
    await until(() => nodes.every(({ sockets }) => sockets.size === 0))
    // Longer than anything that waits for an end in order.
    vi.advanceTimersByTime(60_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it("has no connection left, also where one ended after the next was made to the same node", async () => {
    await start()
    const [first, second] = nodes
    const old = new Set(second.sockets)
    second.keepsOpen = true
    first.answer = "-READONLY You can't write against a read only replica.\r\n"
    await expect(port.command("GET", ["a"])).rejects.toThrow("READONLY")
    // It dials anew, and the second node as soon as it is asked something.
    await vi.waitFor(() => port.command("GET", ["b"]), { timeout: 300_000, interval: 5 })
    expect([...second.sockets].some((socket) => old.has(socket))).toBe(true)
    second.keepsOpen = false
    for (const socket of old) socket.end()
    await until(() => [...old].every((socket) => !second.sockets.has(socket)))
    port.close()
    await until(() => nodes.every(({ sockets }) => sockets.size === 0))
  })
})
