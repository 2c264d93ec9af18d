/** The routes that need no socket as a function of the web's types, alone and in Hono. */
import type { AddressInfo } from "node:net"
import { type ServerType, serve } from "@hono/node-server"
import { Hono } from "hono"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { allowAll, createPresence, InvalidOption, type NodePresence, Unauthorized } from "../../src/node/index.js"

let presence: NodePresence
beforeEach(async () => {
  presence = await createPresence({ ttl: Number.POSITIVE_INFINITY })
})
afterEach(() => presence.close())

const keysAre = (wanted: ReadonlyArray<string>) =>
  vi.waitFor(async () => expect((await presence.list("room")).map(({ key }) => key)).toEqual(wanted), {
    timeout: 300_000,
    interval: 5
  })

const url = (path: string) => `http://app.example${path}`

describe("fetch", () => {
  it("lists, counts, and answers 404 for what is not its own", async () => {
    const handle = presence.fetch({ authorize: allowAll })
    await using _lease = await presence.track("room", "alice")
    const listed = await handle(new Request(url("/presence/room")))
    expect([listed.status, await listed.json()]).toEqual([200, [{ key: "alice", metas: [{}] }]])
    expect(await (await handle(new Request(url("/presence/room/count")))).json()).toEqual({ keys: 1, connections: 1 })
    expect((await handle(new Request(url("/other")))).status).toBe(404)
    expect((await handle(new Request(url("/presence/room"), { method: "DELETE" }))).status).toBe(405)
    const elsewhere = presence.fetch({ authorize: allowAll, path: "/api/presence/" })
    expect((await elsewhere(new Request(url("/api/presence/room")))).status).toBe(200)
  })

  it("streams events to who joins by them, until they leave or their request is aborted", async () => {
    const handle = presence.fetch({ authorize: allowAll, diffInterval: 0 })
    const response = await handle(new Request(url("/presence/room/events?key=alice")))
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    await keysAre(["alice"])
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ""
    while (!heard.includes('"joins":[{"key":"alice"')) heard += (await reader?.read())?.value ?? ""
    expect(heard).toContain("event: snapshot")
    await reader?.cancel()
    await keysAre([])
  })

  it("who joins and reads nothing any more is gone within the idle timeout, though no connection can be cut", async () => {
    const handle = presence.fetch({ authorize: allowAll, limits: { idleTimeout: "200 millis" } })
    const unread = await handle(new Request(url("/presence/room/events?key=alice")))
    await keysAre(["alice"])
    await keysAre([])
    expect(unread.bodyUsed).toBe(false)
    const stuck = presence.fetch({ authorize: allowAll, diffInterval: 0, limits: { unsentFor: "200 millis" } })
    await stuck(new Request(url("/presence/room/events?key=bob")))
    await keysAre([])
  })

  it("authorize has the request and refuses by what it throws", async () => {
    const handle = presence.fetch({
      authorize: ({ request }) => {
        expect(request.source).toBeInstanceOf(Request)
        if (request.headers.authorization !== "Bearer good") throw new Unauthorized({ status: 401, reason: "who?" })
        return {}
      }
    })
    const refused = await handle(new Request(url("/presence/room")))
    expect([refused.status, await refused.json()]).toEqual([401, { error: "who?" }])
    const headers = { authorization: "Bearer good" }
    expect((await handle(new Request(url("/presence/room"), { headers }))).status).toBe(200)
  })

  it("ends with its presence, and is refused afterwards", async () => {
    const handle = presence.fetch({ authorize: allowAll })
    const response = await handle(new Request(url("/presence/room/events")))
    const read = response.text()
    await presence.close()
    expect(await read).toContain("event: snapshot")
    expect((await handle(new Request(url("/presence/room")))).status).toBe(503)
    expect(() => presence.fetch({ authorize: allowAll })).toThrow("this presence is closed")
  })

  it("options that make no sense are thrown", () => {
    for (const [option, options] of [
      ["path", { path: "presence" }],
      ["authorizeTimeout", { authorizeTimeout: -1 }],
      ["diffInterval", { diffInterval: -1 }],
      ["limits.streems", { limits: { streems: 5 } as never }],
      ["limits.sockets", { limits: { sockets: 5 } as never }],
      ["alowedOrigins", { alowedOrigins: [] } as never],
      ["authorize", { authorize: undefined as never }]
    ] as const) {
      const make = () => presence.fetch({ authorize: allowAll, ...options })
      expect(make).toThrow(InvalidOption)
      expect(make).toThrow(`the option ${option} is`)
    }
  })
})

describe("in Hono", () => {
  let server: ServerType
  afterEach(() => new Promise((resolve) => server.close(resolve)))

  it("serves its routes beside the app's own, and a client that goes leaves", async () => {
    const app = new Hono()
    const handle = presence.fetch({ authorize: allowAll, diffInterval: 0 })
    app.get("/own", (context) => context.text("own"))
    app.all("/presence/*", (context) => handle(context.req.raw))
    const port = await new Promise<number>((resolve) => {
      server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }: AddressInfo) => resolve(port))
    })
    const base = `http://127.0.0.1:${port}`
    expect(await (await fetch(`${base}/own`)).text()).toBe("own")
    const controller = new AbortController()
    const stream = await fetch(`${base}/presence/room/events?key=alice`, { signal: controller.signal })
    expect(stream.status).toBe(200)
    await keysAre(["alice"])
    expect(await (await fetch(`${base}/presence/room`)).json()).toEqual([{ key: "alice", metas: [{}] }])
    controller.abort()
    await keysAre([])
    expect((await fetch(`${base}/nothing`)).status).toBe(404)
  })
})
