/**
 * How a request becomes a WebSocket.
 */
import type { IncomingMessage } from "node:http"
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws"

/** Milliseconds that a client may take to answer a close before its connection is cut. */
const FAREWELL = 2_000

/** Makes WebSockets of requests. A text says why it could not. */
export const makeUpgrade = (maxPayload: number): ((request: IncomingMessage) => WebSocket | string) => {
  const options: ServerOptions & { readonly closeTimeout: number } = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    closeTimeout: FAREWELL,
    // Answered in line with the messages, so that they count like messages.
    autoPong: false,
    handleProtocols: chooseProtocol
  }
  const server = new WebSocketServer(options)
  let refusal = ""
  server.on("wsClientError", (error) => {
    refusal = error.message
  })
  return (request) => {
    let upgraded: WebSocket | undefined
    refusal = "the connection is closed"
    // What came right behind the request does not reach a route. No client sends anything before it is answered.
    server.handleUpgrade(request, request.socket, Buffer.alloc(0), (ws) => {
      upgraded = ws
    })
    return upgraded ?? refusal
  }
}

/**
 * Who offers subprotocols and is answered none gives up, browsers as well as `ws`. So a client that names others than
 * Phoenix's is answered its first. One that carries a token is none, and is not sent back.
 */
const chooseProtocol = (offered: ReadonlySet<string>): string | false => {
  if (offered.has("phoenix")) return "phoenix"
  for (const protocol of offered) if (!protocol.startsWith("base64url.bearer.")) return protocol
  return false
}
