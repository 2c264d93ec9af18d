/**
 * How a request becomes a WebSocket, and how frames are written to one.
 */
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { type ServerOptions, WebSocket, WebSocketServer } from "ws"

/** Milliseconds that a client may take to answer a close before its connection is cut. */
const FAREWELL = 2_000

/**
 * Writes a frame as one piece. `ws` makes two of each, its head and what is in it, for every socket anew, and gathering
 * them costs twice what writing one does.
 */
class WholeFrames extends WebSocket {
  raw: Socket | undefined

  override send(bytes: Uint8Array, options?: { readonly binary?: boolean | undefined } | (() => void)): void {
    const binary = typeof options === "object" && options.binary === true
    if (this.readyState === WebSocket.OPEN) this.raw?.write(frame(bytes, binary))
  }
}

let last: { readonly bytes: Uint8Array; readonly frame: Buffer } | undefined

/** Whoever tells many the same tells one after the other, so the last frame is kept. */
const frame = (bytes: Uint8Array, binary: boolean): Buffer => {
  if (last?.bytes === bytes) return last.frame
  const { length } = bytes
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = binary ? 0x82 : 0x81
  frame[1] = head === 2 ? length : head === 4 ? 126 : 127
  if (head === 4) frame.writeUInt16BE(length, 2)
  if (head === 10) frame.writeBigUInt64BE(BigInt(length), 2)
  frame.set(bytes, head)
  last = { bytes, frame }
  return frame
}

/** Makes WebSockets of requests. A text says why it could not. */
export const makeUpgrade = (maxPayload: number): ((request: IncomingMessage, head: Buffer) => WebSocket | string) => {
  const options: ServerOptions<typeof WholeFrames> & { readonly closeTimeout: number } = {
    WebSocket: WholeFrames,
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    closeTimeout: FAREWELL,
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
