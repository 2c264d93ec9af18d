/**
 * How many requests of one connection may be under way. A client need not wait for an answer before it asks again, and
 * Node hands over all that it has read in one go: a thousand small requests in one turn of the event loop, each with all
 * that it starts. Browsers and proxies ask one after the other, so who asks for more than a few at once is cut off.
 *
 * When a connection closes Node says so to the response that is being written, by `close` alone, and not to those that wait
 * behind it. The platform would wait for all of them for ever, each with its fiber.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** Requests of a connection at once. */
const MOST = 16

const underWay = new WeakMap<Socket, Set<ServerResponse>>()

/**
 * Whether a request may be served, however often that is asked of it. It is counted until its response is closed; if it may
 * not, its connection is cut.
 */
export const admits = ({ socket }: IncomingMessage, response: ServerResponse): boolean => {
  const responses = responsesOf(socket)
  if (responses.has(response)) return true
  if (responses.size >= MOST) {
    readNoMore(socket)
    socket.destroy()
    return false
  }
  responses.add(response)
  response.once("close", () => responses.delete(response))
  return true
}

/**
 * Of a connection that is cut Node would still make a request and a response of all that it has read, and then an error with
 * its stack for each: two thirds of what a thousand of them cost. Its parser stops where another protocol begins.
 */
const readNoMore = (socket: Socket & { readonly parser?: { onIncoming?: unknown } | null }): void => {
  if (socket.parser) socket.parser.onIncoming = () => UPGRADE
}

/** What Node's parser hears when a request changes the protocol. */
const UPGRADE = 2

/** Whether a connection may become something else: not while it waits for answers. */
export const mayChange = (socket: Socket): boolean => (underWay.get(socket)?.size ?? 0) === 0

const responsesOf = (socket: Socket): Set<ServerResponse> => {
  const known = underWay.get(socket)
  if (known !== undefined) return known
  const responses = new Set<ServerResponse>()
  underWay.set(socket, responses)
  // After Node, which may have told one of them.
  socket.once("close", () => setImmediate(() => Array.from(responses, (response) => response.emit("close"))))
  return responses
}

/**
 * From its close on nobody waits until it is through. The platform does so for one that is ended, and interrupts another.
 */
export const giveUp = (response: ServerResponse): void => {
  response.once("close", () => {
    if (!response.writableFinished) letGo(response)
  })
}

/** Who waits until a response that is closed is through goes on. Node's own listener takes any for the one that is being written. */
export const letGo = (response: ServerResponse): void => {
  for (const listener of response.listeners("finish")) if (listener.name !== NODES) listener.call(response)
}

const NODES = "bound resOnFinish"
