/**
 * How a request becomes a WebSocket.
 */
import type { IncomingMessage } from "node:http"
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws"
import { WholeFrames } from "./wholeFrames.js"

/** Milliseconds that a client may take to answer a close before its connection is cut. */
const FAREWELL = 2_000

/** Of a message. More than any client makes, and few enough that empty ones cost little. */
const FRAGMENTS = 64

/** Makes WebSockets of requests. A text says why it could not. */
export const makeUpgrade = (maxPayload: number): ((request: IncomingMessage, head: Buffer) => WebSocket | string) => {
  const options: ServerOptions<typeof WholeFrames> & { readonly closeTimeout: number; readonly maxFragments: number } =
    {
      WebSocket: WholeFrames,
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload,
      closeTimeout: FAREWELL,
      maxFragments: FRAGMENTS,
      // Answered in line with the messages, so that they count like messages.
      autoPong: false,
      handleProtocols: chooseProtocol
    }
  const server = new WebSocketServer<typeof WholeFrames>(options)
  let refusal = ""
  server.on("wsClientError", (error) => {
    refusal = error.message
  })
  return (request, head) => {
    let upgraded: WebSocket | undefined
    refusal = "the connection is closed"
    server.handleUpgrade(request, request.socket, head, (ws) => {
      ws.raw = request.socket
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
