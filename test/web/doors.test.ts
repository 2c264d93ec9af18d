/** The short way of upgrades, on a server where all that is served is this package's own. */
import { createServer, IncomingMessage, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as Net from "node:net"
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { describe, expect, it, vi } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Scope } from "effect"
import { Authorize } from "../../src/http/index.js"
import { Presence, Unauthorized } from "../../src/index.js"
import { PresenceSocket } from "../../src/socket/index.js"
import { DoorServer, Doors } from "../../src/web/doors.js"
import { connect, phoenixUrl } from "../socket/support/client.js"

vi.setConfig({ testTimeout: 120_000 })

const PATH = "/socket/websocket?vsn=2.0.0"

const head = (method = "GET", path = PATH): string =>
  `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/** What a router that is told of a request says, so that it is seen who was. */
const told = HttpLayerRouter.middleware((app) => Effect.map(app, HttpServerResponse.setHeader("x-told", "yes")), {
  global: true
})

/** Routes on a server of doors, in a scope of their own. */
const serve = (authorize: Authorize.Authorize) =>
  Effect.gen(function* () {
    const server = new DoorServer()
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
    yield* HttpLayerRouter.serve(Layer.merge(PresenceSocket.layerRouter({ authorize, drain: 0 }), told), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provide(Presence.layer()),
      Layer.provide(Layer.succeed(Doors, server.doors)),
      Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })),
      Layer.buildWithScope(scope),
      Effect.orDie
    )
    return { server, port: (server.address() as AddressInfo).port, close: Scope.close(scope, Exit.void) }
  })

/** All that is answered until the server hangs up. */
const heard = (port: number, says: string) =>
  Effect.async<string>((resume) => {
    let got = ""
    const socket = Net.connect(port, "127.0.0.1", () => socket.write(says))
    socket.on("data", (data) => {
      got += data
    })
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(got)))
    return Effect.sync(() => socket.destroy())
  })

describe("a server with doors", () => {
  it("hands an upgrade by GET to the door of its path, and tells its listeners of all others", async () => {
    const server = new DoorServer()
    const [taken, others]: [Array<string>, Array<string>] = [[], []]
    server.doors.set("/door", ({ url }) => void taken.push(String(url)))
    server.on("upgrade", ({ method, url }) => void others.push(`${method} ${url}`))
    for (const [method, url] of [
      ["GET", "/door?a=?"],
      ["GET", "http://example.com:4000/door?b"],
      ["POST", "/door"],
      ["GET", "/door/"],
      ["GET", "/other?/door"]
    ]) {
      const socket = new Net.Socket()
      server.emit("upgrade", { method, url, socket } as IncomingMessage, socket, Buffer.alloc(0))
    }
    await vi.waitFor(() => expect(taken.length + others.length).toBe(5), 300_000)
    expect(taken).toEqual(["/door?a=?", "http://example.com:4000/door?b"])
    expect(others).toEqual(["POST /door", "GET /door/", "GET /other?/door"])
  })

  it("serves a crowd in turns, in which others have theirs, and nobody of it who has gone by then", async () => {
    const server = new DoorServer()
    const served: Array<number> = []
    // Each takes a millisecond and more, so that a turn ends after a few.
    server.on("request", ({ url }) => {
      served.push(Number(url))
      for (const until = performance.now() + 1; performance.now() < until; );
    })
    const sockets = Array.from({ length: 100 }, () => new Net.Socket())
    for (const [i, socket] of sockets.entries()) {
      const request = Object.assign(new IncomingMessage(socket), { method: "GET", url: String(i) })
      server.emit("request", request, new ServerResponse(request))
    }
    expect(served.length).toBeLessThan(10)
    const others = await new Promise<number>((resolve) => setImmediate(() => resolve(served.length)))
    expect(others).toBeLessThan(20)
    sockets[99]?.destroy()
    await vi.waitFor(() => expect(served).toEqual(Array.from({ length: 99 }, (_, i) => i)), 300_000)
    // The last would have come with the one before it, or in the next turn.
    await new Promise((resolve) => setImmediate(resolve))
    expect(served.at(-1)).toBe(98)
  })
})

describe("a socket that comes in by a door", () => {
  it.scopedLive("goes past the router, whose routes answer all that is no upgrade by GET", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(() => Effect.fail(new Unauthorized({ reason: "nobody" })))
      expect(yield* heard(port, head("POST"))).toMatch(/^HTTP\/1\.1 405 [\s\S]*x-told: yes/)
      const denied = yield* heard(port, head("GET", "/socket/websocket?vsn=9"))
      expect(denied).toMatch(/^HTTP\/1\.1 403 Forbidden\r\ncontent-type: application\/json\r\n/)
      expect(denied).toContain("x-content-type-options: nosniff")
      expect(denied).not.toContain("x-told")
      expect(denied).toContain('{"error":"vsn must be 1.0.0 or 2.x"}')
    })
  )

  it.scopedLive("is heard from its first byte, also of what it sent with its request", () =>
    Effect.gen(function* () {
      const { port } = yield* serve(Authorize.allowAll)
      const text = Buffer.from('[null,"1","phoenix","heartbeat",{}]')
      const frame = Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text])
      const got = yield* Effect.async<string>((resume) => {
        let got = ""
        const socket = Net.connect(port, "127.0.0.1", () => socket.write(Buffer.concat([Buffer.from(head()), frame])))
        socket.on("data", (data) => {
          got += data
          if (got.includes("phx_reply")) resume(Effect.succeed(got))
        })
        return Effect.sync(() => socket.destroy())
      })
      expect(got).toMatch(/^HTTP\/1\.1 101 /)
    })
  )

  it.scopedLive("is refused by a defect of authorize, and others come in", () =>
    Effect.gen(function* () {
      let broken = true
      const { port } = yield* serve((attempt) =>
        broken ? Effect.dieMessage("authorize is broken") : Authorize.allowAll(attempt)
      )
      const refused = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
      refused.say("1", "1", "room", "phx_join", { key: "alice" })
      const reason = "authorization failed"
      expect(yield* refused.reply("1")).toEqual({ status: "error", response: { reason } })
      expect(yield* refused.end).toEqual({ code: 4503, reason })
      broken = false
      const client = yield* connect(phoenixUrl(`ws://127.0.0.1:${port}`))
      client.say("1", "1", "room", "phx_join", { key: "alice" })
      yield* client.heard("presence_state")
    })
  )

  it.scopedLive("is told that the server stops while it waits for authorize, which is interrupted", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const { port, close } = yield* serve(() =>
        Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
      )
      const answer = yield* Effect.fork(heard(port, head()))
      yield* Deferred.await(asked)
      const closing = yield* Effect.fork(close)
      yield* Deferred.await(interrupted)
      expect(yield* answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*the server is stopping/)
      yield* closing
    })
  )

  it.scopedLive("and is gone before authorize has answered interrupts it", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const { server, port } = yield* serve(() =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      )
      const door = server.doors.get("/socket/websocket")
      server.doors.set("/socket/websocket", (incoming, ...rest) => {
        door?.(incoming, ...rest)
        incoming.socket.destroy()
      })
      yield* heard(port, head())
      yield* Deferred.await(interrupted)
    })
  )

  it.scopedLive("finds no door once the routes have ended", () =>
    Effect.gen(function* () {
      const { server, close } = yield* serve(Authorize.allowAll)
      expect([...server.doors.keys()]).toEqual(["/socket/websocket"])
      yield* close
      expect(server.doors.size).toBe(0)
    })
  )
})

it.scopedLive("a program's own router, with what stands around it, hears of every upgrade", () =>
  Effect.gen(function* () {
    const server = createServer()
    yield* HttpLayerRouter.serve(
      Layer.merge(PresenceSocket.layerRouter({ authorize: Authorize.allowAll, drain: 0 }), told),
      { disableLogger: true, disableListenLog: true }
    ).pipe(
      Layer.provide(Presence.layer()),
      Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" })),
      Layer.build,
      Effect.orDie
    )
    const { port } = server.address() as AddressInfo
    expect(yield* heard(port, head("GET", "/socket/websocket?vsn=9"))).toMatch(/^HTTP\/1\.1 403 [\s\S]*x-told: yes/)
  })
)
