/** Other servers of sockets on the port, and a port with TLS. */
import type * as Http from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Server as SocketIo } from "socket.io"
import { describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { arena, get, own, phoenix, raw } from "./support/arena.js"

const { listen, attach, keys } = arena()

describe("beside Socket.IO on the port", () => {
  it.each(["before", "after"])("that came %s, each has its own paths", async (when) => {
    const server = own()
    const heard: Array<unknown> = []
    const serveIo = () => {
      // Soon it destroys upgrades that are not its own, if it hears of them.
      const io = new SocketIo(server, { destroyUpgradeTimeout: 1 })
      io.on("connection", (socket) => socket.on("hello", (text) => heard.push(text)))
      return io
    }
    const early = when === "before" ? serveIo() : undefined
    await attach(server)
    const io = early ?? serveIo()
    const port = await listen(server)
    expect((await get(port, "/socket.io/?EIO=4&transport=polling")).text).toMatch(/^0\{"sid"/)
    expect((await get(port, "/")).text).toBe("own /")
    const other = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`)
    const said = new Promise<void>((resolve) =>
      other.on("message", (data) => {
        const text = String(data)
        if (text.startsWith("0")) other.send("40")
        if (text.startsWith("40")) {
          other.send('42["hello","world"]')
          resolve()
        }
      })
    )
    const socket = await phoenix(port)
    expect(await socket.join("room", { key: "alice" })).toMatchObject({ status: "ok" })
    await said
    await expect.poll(() => heard, { timeout: 300_000 }).toEqual(["world"])
    expect(socket.ws.readyState).toBe(WebSocket.OPEN)
    expect(await keys()).toEqual(["alice"])
    other.terminate()
    socket.ws.terminate()
    await io.close()
  })
})

it("a server of node:https is attached to as one of node:http", async () => {
  // Keys that both sides know, so that no certificate is needed.
  const tls = { ciphers: "PSK", maxVersion: "TLSv1.2" } as const
  const psk = Buffer.from("0123456789abcdef")
  const server = Https.createServer({ ...tls, pskCallback: () => psk }, (request, response) =>
    response.end(`own ${request.url}`)
  )
  await attach(server as unknown as Http.Server)
  const port = await listen(server as unknown as Http.Server)
  const connect = (): Net.Socket =>
    Tls.connect({
      ...tls,
      ...{ port, host: "127.0.0.1", pskCallback: () => ({ psk, identity: "test" }) },
      checkServerIdentity: () => undefined
    })
  const ask = (path: string, more = "") =>
    raw(connect, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close${more}\r\n\r\n`)
  expect(await ask("/presence/room")).toMatch(/^HTTP\/1.1 200 [\s\S]*\[\]/)
  expect(await ask("/a")).toContain("own /a")
  // One that nobody listens for is served as if it were none.
  expect(await ask("/b", ", Upgrade\r\nUpgrade: x")).toContain("own /b")
})

it("a request in absolute form, as proxies send it, goes where one in short form goes", async () => {
  const server = own()
  await attach(server)
  const port = await listen(server)
  const ask = (url: string) =>
    raw(() => Net.connect(port, "127.0.0.1"), `GET ${url} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
  expect(await ask("http://127.0.0.1/presence/room")).toMatch(/^HTTP\/1.1 200 [\s\S]*\[\]/)
  expect(await ask("http://127.0.0.1/a")).toContain("own http://127.0.0.1/a")
})
