/** A presence of each test, servers that it is attached to, and clients of them. */
import * as Http from "node:http"
import type * as Net from "node:net"
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest"
import { WebSocket } from "ws"
import {
  type Attached,
  type AttachOptions,
  allowAll,
  createPresence,
  type NodePresence
} from "../../../src/node/index.js"

/** Called once in a file: no error may come that nobody hears, and all is ended after each test. */
export const arena = () => {
  // In a program such an error ends the process.
  const uncaught: Array<unknown> = []
  const note = (error: unknown): void => void uncaught.push(error)
  let others: Array<NodeJS.UncaughtExceptionListener> = []
  beforeAll(() => {
    others = process.listeners("uncaughtException")
    process.removeAllListeners("uncaughtException")
    process.on("uncaughtException", note)
  })
  afterAll(() => {
    process.off("uncaughtException", note)
    for (const other of others) process.on("uncaughtException", other)
  })

  let presence: NodePresence
  const servers: Array<Http.Server> = []
  beforeEach(async () => {
    presence = await createPresence({ ttl: Number.POSITIVE_INFINITY })
  })
  afterEach(async () => {
    await presence.close()
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
    expect(uncaught.splice(0)).toEqual([])
  })

  const listen = async (server: Http.Server): Promise<number> => {
    if (!servers.includes(server)) servers.push(server)
    if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return (server.address() as Net.AddressInfo).port
  }

  const attach = (server: Http.Server, options: Partial<AttachOptions> = {}): Promise<Attached> =>
    presence.attach(server, { authorize: allowAll, drain: 0, diffInterval: 0, ...options })

  const keys = async (topic = "room") => (await presence.list(topic)).map(({ key }) => key)
  const keysAre = (wanted: ReadonlyArray<string>, topic = "room") =>
    vi.waitFor(async () => expect(await keys(topic)).toEqual(wanted), { timeout: 300_000, interval: 5 })

  return {
    /** Of this test. */
    get presence() {
      return presence
    },
    uncaught,
    listen,
    attach,
    keys,
    keysAre
  }
}

export const get = async (port: number, path: string, init: RequestInit = {}) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
  const text = await response.text()
  return { status: response.status, text }
}

type Frame = [unknown, unknown, string, string, Record<string, unknown>]

/** A socket with what it hears, and how it ended. */
export const open = async (url: string) => {
  const ws = new WebSocket(url)
  const frames: Array<Frame> = []
  let closed: { code: number; reason: string } | undefined
  ws.on("message", (data) => frames.push(JSON.parse(String(data))))
  ws.on("close", (code, reason) => {
    closed = { code, reason: String(reason) }
  })
  await new Promise<void>((resolve, reject) => {
    ws.once("open", resolve)
    ws.once("error", reject)
  })
  return {
    ws,
    join: async (topic: string, payload: object) => {
      const ref = `${Math.random()}`
      ws.send(JSON.stringify([ref, ref, topic, "phx_join", payload]))
      return vi.waitFor(
        () => {
          const reply = frames.find(([, of, , event]) => of === ref && event === "phx_reply")
          if (reply === undefined) throw new Error("no reply yet")
          return reply[4]
        },
        { timeout: 300_000, interval: 5 }
      )
    },
    closed: () =>
      vi.waitFor(
        () => {
          if (closed === undefined) throw new Error("open still")
          return closed
        },
        { timeout: 300_000, interval: 5 }
      )
  }
}

export const phoenix = (port: number, more = "") => open(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0${more}`)

/** An event stream of a server, until it is left. */
export const followed = async (at: number | string, path: string, headers: Record<string, string> = {}) => {
  const controller = new AbortController()
  const base = typeof at === "number" ? `http://127.0.0.1:${at}` : at
  const response = await fetch(`${base}${path}`, { signal: controller.signal, headers })
  return { response, leave: () => controller.abort() }
}

/** Sends a text as it is, and hears what comes until the other side ends. */
export const raw = (connect: () => Net.Socket, text: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect()
    socket.write(text)
    let heard = ""
    socket.on("data", (data) => {
      heard += data
    })
    socket.on("close", () => resolve(heard))
    socket.on("error", reject)
  })

export const own = (): Http.Server => Http.createServer((request, response) => response.end(`own ${request.url}`))
