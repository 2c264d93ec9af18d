/**
 * How many requests of one connection may be under way. A client need not wait for an answer before it asks again, and
 * Node hands over all that it has read in one go: a thousand small requests in one turn of the event loop, each with all
 * that it starts. Browsers and proxies ask one after the other, so who asks for more than a few at once is cut off.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** Requests of a connection at once. */
const MOST = 16

const underWay = new WeakMap<Socket, number>()

/** Whether a request may be served. It is counted until its response is closed; if it may not, its connection is cut. */
export const admits = ({ socket }: IncomingMessage, response: ServerResponse): boolean => {
  const count = underWay.get(socket) ?? 0
  if (count >= MOST) {
    socket.destroy()
    return false
  }
  underWay.set(socket, count + 1)
  response.once("close", () => underWay.set(socket, (underWay.get(socket) ?? 1) - 1))
  return true
}

/** Whether a connection may become something else: not while it waits for answers. */
export const mayChange = (socket: Socket): boolean => (underWay.get(socket) ?? 0) === 0
