/**
 * Requests that ask to become something else (`Upgrade: websocket`, or anything): whatever route they go to, nobody who
 * sends one may end the server.
 *
 * Node takes all its listeners off the socket of such a request, and an error that nobody hears ends the process. So
 * the socket has a listener of ours before anything else happens to it, for its whole life. And as Node looks at it no
 * more, one that did not become a WebSocket is destroyed a moment after it was answered: a client that does not hang up
 * would hold its descriptor for ever.
 *
 * The routes of this package put it around all that their router serves, also a program's own routes beside them.
 */
import { IncomingMessage, ServerResponse, STATUS_CODES } from "node:http"
import { Socket } from "node:net"
import type { HttpRouter } from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import { toServerResponse } from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Exit } from "effect"
import { giveUp, letGo } from "./pipelines.js"
import { Turns } from "./turns.js"

/** Milliseconds that a client may take to read why it got no WebSocket. */
const LAST_READ = 1_000

/** Whether a request came to be upgraded, as Node decided it: not by what its headers seem to say. */
export const wantsUpgrade = (request: IncomingMessage): boolean => "upgrade" in request && request.upgrade === true

/** From now on an error of the socket ends the socket and nothing else. */
export const guard = (socket: Socket): void => {
  // The same function, so that a socket that is guarded already is not guarded again.
  if (!socket.listeners("error").includes(ignore)) socket.on("error", ignore)
}

/** The socket itself closes after an error; who serves it hears of that. */
const ignore = (): void => {}

/** Answers an upgrade that no platform has made a request of, and hangs up. */
export const turnAway = (socket: Socket, status: number, error: string): void => {
  if (socket.destroyed) return
  const body = JSON.stringify({ error })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "content-type: application/json",
    "x-content-type-options: nosniff",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close"
  ]
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`)
  // What comes from here on is nobody's, and without reading it the client's end would not be noticed.
  socket.resume()
  destroyLater(socket)
}

const destroyLater = (socket: Socket): void => {
  setTimeout(() => socket.destroy(), LAST_READ).unref()
}

/** Sockets that are somebody's, though their request is answered. */
const kept = new WeakSet<Socket>()

/**
 * Ends an upgraded request without an answer: its socket has become something else and stays, for hours. The request may
 * stay as long, but not what it was answered with, nor the fiber that answered it.
 */
export const keep = (request: HttpServerRequest.HttpServerRequest, socket: Socket): void => {
  kept.add(socket)
  const response = toServerResponse(request)
  response.detachSocket(socket)
  // The platform writes no answer that is ended. Ending it would make the headers of one, which would stay with the socket.
  response.finished = true
  // Kept by the platform's request where its types do not show it. Each response holds its request's fiber.
  Object.assign(request, { response: ANSWERED, upgradeEffect: undefined })
  // Not before the platform, which may be about to listen, has had its turn.
  queueMicrotask(() => {
    for (const listener of socket.listeners("close")) {
      if (isInterrupt(listener)) socket.off("close", listener as () => void)
    }
  })
}

/** The answer of all requests that are ended without one. */
const ANSWERED = new ServerResponse(new IncomingMessage(new Socket()))
ANSWERED.finished = true

/** A fiber that is interrupted works later, so time says nothing of how many fit into a turn. */
const endings = new Turns(4)

/** Lets a request whose client goes wait for its turn to be interrupted: many may go at once. */
const interruptInTurn = (response: ServerResponse): void => {
  // Not before the platform, which may be about to listen, has had its turn.
  queueMicrotask(() => {
    for (const listener of response.listeners("close")) {
      if (!isInterrupt(listener)) continue
      response.off("close", listener as () => void)
      response.on("close", () => {
        if (response.writableEnded) return
        endings.add(() => {
          listener.call(response)
          // It may have been answered meanwhile, which nobody reads.
          if (response.writableEnded) letGo(response)
        })
      })
    }
  })
}

/**
 * Whether it is the platform's, which interrupts the fiber of a request whose client goes: that is over. It is known by the name of
 * a method, which also a program that was made small has.
 */
const isInterrupt = (listener: unknown): boolean => String(listener).includes("unsafeInterruptAsFork")

/** Guards every request of a router. One function, so that a router which several layers guard has it once. */
export const guardRouter = (router: HttpRouter): Effect.Effect<void> => router.addGlobalMiddleware(guarded)

const guarded = <E, R>(app: Effect.Effect<HttpServerResponse, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const { source } = request
    if (!(source instanceof IncomingMessage)) return app
    if (!wantsUpgrade(source)) {
      const response = toServerResponse(request)
      giveUp(response)
      interruptInTurn(response)
      return hasBody(source) ? Effect.onExit(app, () => Effect.sync(() => closeUnlessWhole(source, response))) : app
    }
    guard(source.socket)
    const response = toServerResponse(request)
    // The answer says so: a proxy that keeps the connection would send it somebody else's request.
    response.shouldKeepAlive = false
    return Effect.onExit(app, (exit) => Effect.sync(() => hangUp(source.socket, response, exit)))
  })

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0

/**
 * A request that is answered before all of it has come was not wanted so far: its connection closes. Node would read on,
 * as much as comes, only to drop it.
 */
const closeUnlessWhole = (request: IncomingMessage, response: ServerResponse): void => {
  if (!request.complete) response.shouldKeepAlive = false
}

/** A request is over that has not become a WebSocket, or whose WebSocket is closed. Its answer is not written yet. */
const hangUp = (socket: Socket, response: ServerResponse, exit: Exit.Exit<HttpServerResponse, unknown>): void => {
  if (kept.has(socket)) return
  if (socket.destroyed) {
    // Nobody reads the answer; one that is ended already is not written.
    response.detachSocket(socket)
    response.end()
    return
  }
  // The platform waits until its answer is written, and would wait for ever, also at shutdown, where the socket closes
  // before that: Node does not say so of a response to an upgraded request.
  socket.once("close", () => {
    if (!response.writableFinished) response.emit("finish")
  })
  // What comes from here on is nobody's, and without reading it the client's end would not be noticed.
  socket.resume()
  // A response that is streamed lasts as long as its client does.
  if (Exit.isSuccess(exit) && exit.value.body._tag === "Stream") {
    socket.once("end", () => destroyLater(socket))
    // Or until it is through, also where the client holds its own side open.
    response.once("finish", () => destroyLater(socket))
  } else destroyLater(socket)
}
