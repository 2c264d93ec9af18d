/** The routes on servers that exist: Node's own, Express's, Fastify's, one with another WebSocket server beside. */

import { mkdtempSync, rmSync } from "node:fs"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import express from "express"
import fastify from "fastify"
import { describe, expect, it, vi } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import {
  type AttachOptions,
  type Attempt,
  type Authorize,
  allowAll,
  createPresence,
  InvalidOption,
  jwt,
  Unauthorized
} from "../../src/node/index.js"
import { token } from "../server/support/server.js"
import { arena, followed, get, open, own, phoenix, raw } from "./support/arena.js"

const world = arena()
const { uncaught, listen, attach, keys, keysAre } = world

const kinds: ReadonlyArray<readonly [string, () => Promise<Http.Server>]> = [
  [
    "node:http",
    async () => Http.createServer((request, response) => response.end(`own ${request.method} ${request.url}`))
  ],
  [
    "Express",
    async () => {
      const app = express()
      app.use(express.text())
      app.use(
        (request, response) => void response.send(`own ${request.method} ${request.originalUrl}${request.body ?? ""}`)
      )
      return Http.createServer(app)
    }
  ],
  [
    "Fastify",
    async () => {
      const app = fastify()
      app.all("/*", (request) => `own ${request.method} ${request.url}${request.body ?? ""}`)
      await app.ready()
      return app.server
    }
  ]
]

describe.each(kinds)("on a server of %s", (_, make) => {
  it("its paths are served, and every other is the server's own", async () => {
    const server = await make()
    await attach(server)
    const port = await listen(server)
    await using _alice = await world.presence.track("room", "alice", { role: "viewer" })
    expect(await get(port, "/presence/room")).toEqual({
      status: 200,
      text: '[{"key":"alice","metas":[{"role":"viewer"}]}]'
    })
    expect(await get(port, "/presence/room/count")).toEqual({ status: 200, text: '{"keys":1,"connections":1}' })
    expect((await get(port, "/presence/a%2Fb?x=1")).text).toBe("[]")
    expect((await get(port, "/presence/%E0")).status).toBe(400)
    expect((await get(port, "/presence/room/nothing")).status).toBe(404)
    for (const path of [
      "/",
      "/presences",
      "/presenc",
      "/socket",
      "/socket/other",
      "/socket.io/?EIO=4",
      "/realtime/v1"
    ]) {
      expect(await get(port, path)).toEqual({ status: 200, text: `own GET ${path}` })
    }
    const posted = await get(port, "/own", { method: "POST", body: "!", headers: { "content-type": "text/plain" } })
    expect([posted.status, posted.text.startsWith("own POST /own")]).toEqual([200, true])
    // Two answers to one would have ended the process.
    expect(uncaught).toEqual([])
  })

  it("sockets of both protocols and event streams join, and leave when they go", async () => {
    const server = await make()
    await attach(server)
    const port = await listen(server)
    const one = await phoenix(port)
    expect(await one.join("room", { key: "phoenix" })).toMatchObject({ status: "ok" })
    const two = await open(`ws://127.0.0.1:${port}/realtime/v1/websocket?vsn=2.0.0&apikey=x`)
    expect(await two.join("realtime:room", { config: {} })).toMatchObject({ status: "ok" })
    const three = await followed(port, "/presence/room/events?key=stream")
    await keysAre(["phoenix", "stream"])
    three.leave()
    await keysAre(["phoenix"])
    one.ws.terminate()
    await keysAre([])
    two.ws.close()
  })

  it("an upgrade of another path that nobody listens for is served as if it were none", async () => {
    const server = await make()
    await attach(server)
    const port = await listen(server)
    const ask = (text: string) => raw(() => Net.connect(port, "127.0.0.1"), text)
    // As Java's client begins over HTTP, with a body; and another request behind it.
    const answer = await ask(
      "POST /first HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" +
        "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n!" +
        "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    expect(answer).toMatch(/^HTTP\/1.1 200 OK[\s\S]*own POST \/first[\s\S]*HTTP\/1.1 200 OK[\s\S]*own GET \/second/)
    const bare = await ask("GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: close, Upgrade\r\n\r\n")
    expect(bare).toContain("own GET /a")
  })
})

describe("beside another WebSocket server on the port", () => {
  it("each has its own paths, whoever came first", async () => {
    const before = Http.createServer((_, response) => response.end("own"))
    const after = Http.createServer((_, response) => response.end("own"))
    const other = (server: Http.Server) => {
      const wss = new WebSocketServer({ server, path: "/chat" })
      wss.on("connection", (ws) => ws.on("message", (data) => ws.send(`echo ${data}`)))
    }
    other(before)
    await attach(before)
    await attach(after)
    other(after)
    for (const server of [before, after]) {
      const port = await listen(server)
      const chat = new WebSocket(`ws://127.0.0.1:${port}/chat`)
      const echoed = new Promise((resolve) => chat.on("message", (data) => resolve(String(data))))
      await new Promise((resolve) => chat.once("open", resolve))
      const socket = await phoenix(port)
      expect(await socket.join("room", { key: `on ${port}` })).toMatchObject({ status: "ok" })
      expect(await keys()).toContain(`on ${port}`)
      chat.send("hello")
      expect(await echoed).toBe("echo hello")
      expect((await get(port, "/")).text).toBe("own")
      chat.terminate()
      socket.ws.terminate()
    }
  })
})

describe("authorize", () => {
  const serve = async (options: Partial<AttachOptions>) => {
    const server = Http.createServer((_, response) => response.end("own"))
    await attach(server, options)
    return listen(server)
  }

  it("is asked what somebody wants, with their request, and grants by what it returns, late or at once", async () => {
    const asked: Array<unknown> = []
    const port = await serve({
      authorize: async ({ route, on, topic, payload, request, signal }: Attempt) => {
        asked.push([
          route,
          on,
          topic,
          payload.key,
          request.cookies.session,
          request.source instanceof Http.IncomingMessage
        ])
        await new Promise((resolve) => setImmediate(resolve))
        expect(signal.aborted).toBe(false)
        return { key: "granted", meta: { by: "authorize" } }
      }
    })
    const headers = { cookie: "session=s1" }
    await get(port, "/presence/room", { headers })
    const socket = await phoenix(port)
    await socket.join("room", { key: "asked" })
    expect(asked).toEqual([
      ["http", "read", "room", undefined, "s1", true],
      ["socket", "connect", undefined, undefined, undefined, true],
      ["socket", "join", "room", "asked", undefined, true]
    ])
    expect(await world.presence.list("room")).toEqual([{ key: "granted", metas: [{ by: "authorize" }] }])
    socket.ws.terminate()
  })

  it("refuses by what it throws, with a reason by Unauthorized alone", async () => {
    const port = await serve({
      authorize: async ({ topic, on }) => {
        if (on === "connect") return {}
        if (topic === "out") throw new Unauthorized({ status: 401, reason: "log in first" })
        if (topic === "bug") throw new Error("the password is 1234")
        // What somebody writes who has no types.
        if (topic === "nothing") return undefined as never
        if (topic === "number") return { key: 7 } as never
        return { key: "in" }
      }
    })
    const socket = await phoenix(port)
    for (const [topic, status, reason] of [
      ["out", 401, "log in first"],
      ["bug", 503, "authorization failed"],
      ["nothing", 403, "authorization failed"],
      ["number", 403, "authorization failed"]
    ] as const) {
      expect(await get(port, `/presence/${topic}`)).toEqual({ status, text: JSON.stringify({ error: reason }) })
      expect(await socket.join(topic, { key: "x" })).toEqual({ status: "error", response: { reason } })
    }
    expect(await socket.join("room", { key: "x" })).toMatchObject({ status: "ok" })
    socket.ws.terminate()
  })

  it("that never returns refuses after its time, is told so, and holds nobody else up", async () => {
    const aborted: Array<string> = []
    const port = await serve({
      authorizeTimeout: "100 millis",
      authorize: ({ on, topic, signal }) => {
        if (topic !== "hangs" && on !== "connect") return { key: "in" }
        if (on === "connect") return {}
        signal.addEventListener("abort", () => aborted.push(on))
        return new Promise(() => {})
      }
    })
    const socket = await phoenix(port)
    const hanging = [get(port, "/presence/hangs"), socket.join("hangs", { key: "x" })] as const
    expect((await get(port, "/presence/room")).status).toBe(200)
    const reason = "authorize gave no answer within 100ms"
    expect(await hanging[0]).toEqual({ status: 503, text: JSON.stringify({ error: reason }) })
    expect(await hanging[1]).toMatchObject({ status: "error", response: { reason } })
    expect(aborted.sort()).toEqual(["join", "read"])
    socket.ws.terminate()
  })

  it("hears that nobody waits any more when its client goes, and may fail late", async () => {
    const unhandled: Array<unknown> = []
    const note = (reason: unknown): void => void unhandled.push(reason)
    process.on("unhandledRejection", note)
    const asked: Array<{ signal: AbortSignal; fail: (error: unknown) => void }> = []
    const authorize: Authorize = ({ signal }) => new Promise((_, fail) => asked.push({ signal, fail }))
    const late = await get(await serve({ authorize, authorizeTimeout: 50 }), "/presence/room")
    expect(late.status).toBe(503)
    const gone = new AbortController()
    const left = get(await serve({ authorize }), "/presence/room", { signal: gone.signal }).catch(() => "left")
    await vi.waitFor(() => expect(asked).toHaveLength(2), { timeout: 300_000, interval: 5 })
    gone.abort()
    expect(await left).toBe("left")
    await vi.waitFor(() => expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, true]), 300_000)
    for (const { fail } of asked) fail(new Error("too late"))
    await new Promise((resolve) => setImmediate(resolve))
    expect(unhandled).toEqual([])
    process.off("unhandledRejection", note)
  })

  it("may be a jwt's", async () => {
    const secret = "a secret that is long enough for anybody"
    const port = await serve({ authorize: jwt({ secret, topics: ["user:{sub}"] }) })
    const headers = { authorization: `Bearer ${token({ sub: "alice" }, { secret })}` }
    expect((await get(port, "/presence/user:alice", { headers })).status).toBe(200)
    expect((await get(port, "/presence/user:bob", { headers })).status).toBe(403)
    expect((await get(port, "/presence/user:alice")).status).toBe(401)
    const socket = await phoenix(port)
    const access_token = token({ sub: "alice" }, { secret })
    expect(await socket.join("user:alice", { key: "x", access_token })).toMatchObject({ status: "ok" })
    expect(await keys("user:alice")).toEqual(["alice"])
    socket.ws.terminate()
  })
})

describe("what the routes do is what they do elsewhere", () => {
  it("a client of Phoenix falls back to long polling", async () => {
    const server = own()
    await attach(server)
    const port = await listen(server)
    const begun = JSON.parse((await get(port, "/socket/longpoll?vsn=2.0.0")).text)
    expect(begun).toMatchObject({ status: 410, token: expect.any(String) })
  })

  it("limits hold, over HTTP and sockets", async () => {
    const server = own()
    await attach(server, { limits: { streams: 1, frameBytes: 100 } })
    const port = await listen(server)
    const first = await followed(port, "/presence/room/events")
    expect((await get(port, "/presence/room/events")).status).toBe(503)
    first.leave()
    const socket = await phoenix(port)
    socket.ws.send("x".repeat(200))
    expect((await socket.closed()).code).toBe(1009)
  })

  it("no page whose name is made to lead here reads a server that listens on loopback alone", async () => {
    const ask = async (options: Partial<AttachOptions>, at?: string) => {
      const server = own()
      // Before it listens nobody knows where it will.
      await attach(server, options)
      const path = "/presence/room"
      const text = `GET ${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`
      if (at === undefined) {
        const port = await listen(server)
        return raw(() => Net.connect(port, "127.0.0.1"), text)
      }
      await new Promise<void>((resolve) => server.listen(at, resolve))
      const answer = await raw(() => Net.connect(at), text)
      server.close()
      return answer
    }
    expect(await ask({})).toMatch(/^HTTP\/1.1 403 [\s\S]*the host evil.example is not this machine's/)
    expect(await ask({ allowedOrigins: ["https://evil.example"] })).toMatch(/^HTTP\/1.1 200 /)
    const directory = mkdtempSync(join(tmpdir(), "presence-"))
    expect(await ask({}, join(directory, "socket"))).toMatch(/^HTTP\/1.1 200 /)
    rmSync(directory, { recursive: true })
  })
})

describe("the end", () => {
  it("of what is attached tells sockets to come back, ends streams, and gives the paths back", async () => {
    const server = Http.createServer((_, response) => response.end("own"))
    const attached = await attach(server)
    const port = await listen(server)
    const socket = await phoenix(port)
    await socket.join("room", { key: "alice" })
    const stream = await followed(port, "/presence/room/events?key=bob")
    await keysAre(["alice", "bob"])
    const closing = attached.close()
    expect(attached.close()).toBe(closing)
    expect(attached[Symbol.asyncDispose]()).toBe(closing)
    await closing
    expect(await socket.closed()).toEqual({ code: 1012, reason: "restart" })
    await stream.response.text()
    await keysAre([])
    expect(await get(port, "/presence/room")).toEqual({ status: 200, text: "own" })
    expect([server.listenerCount("upgrade"), Object.hasOwn(server, "emit")]).toEqual([0, false])
    // And may be attached to again.
    await attach(server)
    expect((await get(port, "/presence/room")).text).toBe("[]")
  })

  it("of the presence ends what is attached, and nothing can be attached any more", async () => {
    const server = Http.createServer((_, response) => response.end("own"))
    const attached = await attach(server)
    const port = await listen(server)
    const socket = await phoenix(port)
    await socket.join("room", { key: "alice" })
    await world.presence.close()
    expect(await socket.closed()).toEqual({ code: 1012, reason: "restart" })
    expect((await get(port, "/presence/room")).text).toBe("own")
    await attached.close()
    await expect(attach(server)).rejects.toThrow("this presence is closed")
  })

  it("of the presence overtakes what is being attached, and nothing stays on the server", async () => {
    const server = own()
    const attaching = attach(server)
    const closing = world.presence.close()
    await expect(attaching).rejects.toThrow("this presence is closed")
    await closing
    expect([server.listenerCount("upgrade"), Object.hasOwn(server, "emit")]).toEqual([0, false])
  })

  it("of a Fastify server waits for nothing once the presence is closed", async () => {
    const app = fastify()
    app.get("/own", () => "own")
    await attach(app.server)
    await app.listen({ port: 0, host: "127.0.0.1" })
    const port = (app.server.address() as Net.AddressInfo).port
    const socket = await phoenix(port)
    await socket.join("room", { key: "alice" })
    const stream = await followed(port, "/presence/room/events?key=bob")
    await keysAre(["alice", "bob"])
    await world.presence.close()
    await app.close()
    await stream.response.text()
  })
})

describe("what makes no sense is refused", () => {
  it("attach twice on one server, also at once, and another presence's", async () => {
    const server = Http.createServer()
    const both = await Promise.allSettled([attach(server), attach(server)])
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"])
    await expect(attach(server)).rejects.toBeInstanceOf(InvalidOption)
    await expect(attach(server)).rejects.toThrow(
      "the option server is attached to already, but must be one that nothing is attached to"
    )
    const other = await createPresence()
    await expect(other.attach(server, { authorize: allowAll })).rejects.toBeInstanceOf(InvalidOption)
    await other.close()
    expect(server.listenerCount("upgrade")).toBe(1)
  })

  it("an app in the place of its server", async () => {
    await expect(attach(express() as unknown as Http.Server)).rejects.toMatchObject({
      _tag: "InvalidOption",
      message: expect.stringContaining("the option server is a function, but must be a server of node:http")
    })
  })

  it.each([
    ["one that speaks no HTTP", () => Net.createServer(), "an object of Server"],
    ["one of HTTP/2", () => Http2.createSecureServer(), "an object of Http2SecureServer"],
    ["nothing", () => undefined, "undefined"]
  ])("%s in its place", async (_, make, value) => {
    await expect(attach(make() as never)).rejects.toMatchObject({ _tag: "InvalidOption", option: "server", value })
  })

  it("no options at all", async () => {
    const attach = world.presence.attach as (server: Http.Server) => Promise<unknown>
    await expect(attach(own())).rejects.toThrow("the option authorize is undefined, but must be a function")
  })

  const wrong: ReadonlyArray<readonly [string, Partial<AttachOptions>]> = [
    ["paths.http", { paths: { http: "presence" } }],
    ["paths.http", { paths: { http: "/" } }],
    ["paths.phoenix", { paths: { phoenix: "/a/:b" } }],
    ["paths.supabase", { paths: { phoenix: "/a", supabase: "/a/" } }],
    ["paths", { paths: {} }],
    ["paths.websocket", { paths: { websocket: "/a" } as object }],
    ["authorize", { authorize: undefined as never }],
    ["authorizeTimeout", { authorizeTimeout: 0 }],
    ["diffInterval", { diffInterval: -1 }],
    ["leaveDelay", { leaveDelay: Number.NaN }],
    ["allowedOrigins", { allowedOrigins: ["example.com"] }],
    ["drain", { drain: "soon" as "1 second" }],
    ["allowedOrigins", { allowedOrigins: "https://example.com" as never }],
    ["paths.phoenix", { paths: { http: "/presence", phoenix: "/presence/socket" } }],
    ["limits.streams", { limits: { streams: -1 } }],
    ["limits.frameBytes", { limits: { frameBytes: 0.5 } }],
    ["limits.idleTimeout", { limits: { idleTimeout: 0 } }]
  ]
  it.each(wrong)("%s %j", async (option, options) => {
    const server = Http.createServer()
    await expect(attach(server, options)).rejects.toMatchObject({ _tag: "InvalidOption", option })
    expect([server.listenerCount("upgrade"), Object.hasOwn(server, "emit")]).toEqual([0, false])
    await attach(server)
  })
})
