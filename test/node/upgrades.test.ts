/** Clients that go away in whatever way, whatever path they asked for by an upgrade: the process and others live on. */
import type * as Http from "node:http"
import * as Net from "node:net"
import { expect, it, vi } from "vitest"
import { WebSocketServer } from "ws"
import { type Authorize, allowAll } from "../../src/node/index.js"
import { arena, own, phoenix } from "./support/arena.js"

const { uncaught, listen, attach, keys } = arena()

const serve = async (authorize: Authorize) => {
  const server = own()
  const sockets = new Set<Net.Socket>()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  await attach(server, { authorize })
  return { server, port: await listen(server), sockets }
}

const OURS = [
  "/presence/room",
  "/presence/room/events",
  "/presence/room/events?key=mallory",
  "/presence/%FF",
  "/socket/websocket?vsn=2.0.0",
  "/socket/websocket?vsn=9",
  "/socket/websocket/nothing",
  "/socket/longpoll?vsn=2.0.0",
  "/realtime/v1/websocket?apikey=x"
]

const reset = (socket: Net.Socket): void => void socket.resetAndDestroy()

/** What a client does after its request, and whether it sent all of it. */
const WAYS: ReadonlyArray<readonly [string, boolean, (socket: Net.Socket) => void]> = [
  ["resets before its headers end", false, reset],
  ["resets at once", true, reset],
  ["resets while its answer is awaited", true, (socket) => void setTimeout(() => reset(socket), 5)],
  ["resets at the first byte", true, (socket) => void socket.once("data", () => reset(socket))],
  ["terminates at the first byte", true, (socket) => void socket.once("data", () => socket.destroy())],
  ["half-closes", true, (socket) => void socket.end().resume()],
  ["half-closes, then resets", true, (socket) => void socket.end(() => reset(socket))]
]

const attack = (port: number, path: string, whole: boolean, leave: (socket: Net.Socket) => void, count: number) =>
  Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<void>((resolve) => {
          const socket = Net.connect(port, "127.0.0.1", () => {
            const text =
              `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
              `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${whole ? "\r\n" : ""}`
            socket.write(text, () => leave(socket))
          })
          socket.on("error", () => {})
          socket.on("close", () => resolve())
        })
    )
  )

/** A turn later, as those do that look into a database. */
const slowly: Authorize = async (attempt) => {
  await new Promise((resolve) => setTimeout(resolve, 5))
  return allowAll(attempt)
}

it.each(WAYS)("a client that %s harms nobody, and nothing is left of it", async (_, whole, leave) => {
  const { port, sockets } = await serve(slowly)
  const innocent = await phoenix(port)
  await innocent.join("room", { key: "alice" })
  for (const path of [...OURS, "/", "/other"]) await attack(port, path, whole, leave, 8)
  await vi.waitFor(() => expect(sockets.size).toBe(1), { timeout: 300_000, interval: 20 })
  expect(await innocent.join("again", { key: "alice" })).toMatchObject({ status: "ok" })
  expect(await keys()).toEqual(["alice"])
  expect(uncaught).toEqual([])
  innocent.ws.terminate()
})

it("100 who reset while authorize waits are nobody once it answers", async () => {
  let answer: (() => void) | undefined
  let asked = 0
  const gate = new Promise<void>((resolve) => {
    answer = resolve
  })
  const { port, sockets } = await serve(async (attempt) => {
    if (attempt.payload.who === "innocent") return allowAll(attempt)
    asked++
    await gate
    return allowAll(attempt)
  })
  const innocent = await phoenix(port, "&who=innocent")
  await innocent.join("room", { key: "alice", who: "innocent" })
  const leave = (socket: Net.Socket) =>
    void vi.waitFor(() => expect(asked).toBe(100), 300_000).then(() => reset(socket))
  await Promise.all(
    ["/presence/room/events?key=mallory", "/socket/websocket?vsn=2.0.0"].map((path) =>
      attack(port, path, true, leave, 50)
    )
  )
  answer?.()
  await vi.waitFor(() => expect(sockets.size).toBe(1), { timeout: 300_000, interval: 20 })
  expect(await keys()).toEqual(["alice"])
  innocent.ws.terminate()
})

it("an upgrade that is another's is that one's alone: nothing of ours is put on its socket", async () => {
  const { server, port } = await serve(allowAll)
  const chat = new WebSocketServer({ noServer: true })
  const heard: Array<ReadonlyArray<string>> = []
  server.on("upgrade", (request: Http.IncomingMessage, socket: Net.Socket, head: Buffer) => {
    heard.push(socket.listeners("error").map(({ name }) => name))
    chat.handleUpgrade(request, socket, head, (ws) => ws.terminate())
  })
  await attack(port, "/chat", true, (socket) => void socket.resume(), 1)
  await attack(port, "/socket/websocket?vsn=2.0.0", true, reset, 1)
  expect(heard).toEqual([[]])
})
