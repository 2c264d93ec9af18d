/** A WebSocket client on a bare TCP connection: it finds, counts and hands on frames, and costs next to nothing itself. */
import { connect, type Socket } from "node:net"

/** Microseconds of a clock that all processes of a machine share. */
export const micros = (): number => Number(process.hrtime.bigint() / 1_000n)

export interface Listener {
  readonly onOpen: () => void
  /** One message, which is not kept. */
  readonly onFrame: (bytes: Buffer) => void
  /** It is over, or never began; why, as far as the server said. */
  readonly onClose: (why: string) => void
}

const TEXT = 1
const CLOSE = 8
const PING = 9
const PONG = 10

/** Masked, as clients have to, with a mask of zeros. */
const frame = (opcode: number, payload: Buffer): Buffer => {
  const long = payload.length >= 126
  const head = Buffer.alloc(long ? 8 : 6)
  head[0] = 0x80 | opcode
  head[1] = 0x80 | (long ? 126 : payload.length)
  if (long) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}

export class Wire {
  /** Of frames that came, with their heads. */
  bytes = 0
  frames = 0
  private isOpen = false
  private rest: Buffer = Buffer.alloc(0)
  /** How long `rest` has to be before it is looked at again. */
  private needed = 0
  private why = "the connection ended"
  private readonly socket: Socket

  constructor(
    port: number,
    path: string,
    private readonly listener: Listener
  ) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true })
    this.socket.on("connect", () => {
      const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
      const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}`
      this.socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${upgrade}\r\n\r\n`)
    })
    this.socket.on("data", (bytes) => this.read(bytes))
    this.socket.on("error", ({ message }) => {
      this.why = message
    })
    this.socket.on("close", () => listener.onClose(this.why))
  }

  /** Ends it once all is sent that was said. */
  end(): void {
    this.socket.end()
  }

  /** Ends it at once, as a network that fails. */
  cut(): void {
    this.socket.destroy()
  }

  say(text: string): void {
    this.socket.write(frame(TEXT, Buffer.from(text)))
  }

  private read(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    if (this.rest.length < this.needed) return
    let at = 0
    if (!this.isOpen) {
      const end = this.rest.indexOf("\r\n\r\n")
      if (end === -1) return
      const status = this.rest.toString("latin1", 9, 12)
      if (status !== "101") {
        this.over(`the upgrade was answered ${status}`)
        return
      }
      this.isOpen = true
      at = end + 4
      this.listener.onOpen()
    }
    for (;;) {
      const size = this.sizeAt(at)
      this.needed = size - at
      if (size > this.rest.length) break
      this.take(at, size)
      at = size
    }
    this.rest = this.rest.subarray(at)
  }

  private over(why: string): void {
    this.why = why
    this.socket.destroy()
  }

  /** Where the frame at a place ends, or how far must be read to know. */
  private sizeAt(at: number): number {
    if (this.rest.length < at + 2) return at + 2
    const short = (this.rest[at + 1] ?? 0) & 0x7f
    if (short < 126) return at + 2 + short
    const head = short === 126 ? 4 : 10
    if (this.rest.length < at + head) return at + head
    const length = short === 126 ? this.rest.readUInt16BE(at + 2) : Number(this.rest.readBigUInt64BE(at + 2))
    return at + head + length
  }

  private take(at: number, end: number): void {
    this.bytes += end - at
    this.frames++
    const opcode = (this.rest[at] ?? 0) & 0x0f
    const short = (this.rest[at + 1] ?? 0) & 0x7f
    const payload = this.rest.subarray(at + (short < 126 ? 2 : short === 126 ? 4 : 10), end)
    if (opcode === PING) this.socket.write(frame(PONG, payload))
    else if (opcode === CLOSE) this.over(`the server closed: ${payload.subarray(2)}`)
    else this.listener.onFrame(payload)
  }
}
