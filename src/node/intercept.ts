/**
 * How some paths of a server that exists are taken from it, and all others left to it.
 *
 * A server tells what comes by its events, and every listener hears each of them: two of them would answer one request. So
 * ours is asked before the event is told, whichever listeners there are and whenever they came.
 *
 * Node hands a request over as an upgrade where anybody listens for one, and else serves it like any other, whatever its
 * `Upgrade` header says. Since we listen, an upgrade of another path that nobody else listens for is served again without
 * that header: its text is put back into its socket, which becomes a new connection of the server.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { pathOf } from "../web/paths.js"
import { guard } from "../web/upgrades.js"

export interface Taker {
  /** Whether a path, as it came, is ours. */
  readonly owns: (path: string) => boolean
  readonly request: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void
}

/** From now on, until the answer is called. */
export const intercept = (server: Server, taker: Taker): (() => void) => {
  let isOn = true
  const before = Object.getOwnPropertyDescriptor(server, "emit")
  const tell = server.emit
  const emit = function (this: Server, ...event: Parameters<Server["emit"]>): boolean {
    return (isOn && takes(server, taker, event)) || Reflect.apply(tell, this, event)
  }
  server.emit = emit as Server["emit"]
  server.on("upgrade", listening)
  return () => {
    isOn = false
    // Whoever has put theirs around it since keeps it, as one that takes nothing.
    if (server.emit === emit) {
      if (before === undefined) Reflect.deleteProperty(server, "emit")
      else Object.defineProperty(server, "emit", before)
    }
    server.off("upgrade", listening)
  }
}

/** How often a connection asks for an upgrade that nobody listens for. */
const MOST = 100
const again = new WeakMap<Socket, number>()

/** That Node tells of upgrades. */
const listening = (): void => {}

const takes = (server: Server, taker: Taker, [name, ...args]: ReadonlyArray<unknown>): boolean => {
  switch (name) {
    case "request":
    case "checkContinue": {
      const [request, response] = args as [IncomingMessage, ServerResponse]
      if (!taker.owns(pathOf(request.url ?? ""))) return false
      if (name === "checkContinue") response.writeContinue()
      taker.request(request, response)
      return true
    }
    case "upgrade": {
      const [request, socket, head] = args as [IncomingMessage, Socket, Buffer]
      if (taker.owns(pathOf(request.url ?? ""))) {
        guard(socket)
        taker.upgrade(request, socket, head)
        return true
      }
      if (server.listeners("upgrade").some((listener) => listener !== listening)) return false
      guard(socket)
      const times = (again.get(socket) ?? 0) + 1
      again.set(socket, times)
      // What comes behind it is read anew for each, all that was sent in one go.
      if (times > MOST) socket.destroy()
      else serveAgain(server, request, socket, head)
      return true
    }
    default:
      return false
  }
}

const serveAgain = (server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void => {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`]
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = request.rawHeaders.slice(i, i + 2)
    const lower = name.toLowerCase()
    if (lower === "upgrade") continue
    const kept = lower === "connection" ? value.replace(/(^|,)\s*upgrade\s*(?=,|$)/gi, "").replace(/^,/, "") : value
    if (kept !== "" || value === "") lines.push(`${name}: ${kept}`)
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]))
  server.emit(socket instanceof TLSSocket ? "secureConnection" : "connection", socket)
}
