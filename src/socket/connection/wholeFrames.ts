/**
 * A WebSocket that writes each frame as one piece. `ws` makes two of one, its head and what is in it, for every socket
 * anew. What is told to many is one piece for all of them, and a large state some that they share.
 */
import type { Socket } from "node:net"
import { WebSocket } from "ws"
import type { Frame } from "../topic/audience.js"

export class WholeFrames extends WebSocket {
  /** What carries it, from its upgrade on. */
  raw: Socket | undefined

  /** Bytes that have come of a message that is not whole. `ws` does not say so in its types. */
  get unfinished(): number {
    const { _receiver: receiver } = this as unknown as { readonly _receiver?: Receiver }
    return (receiver?._bufferedBytes ?? 0) + (receiver?._messageLength ?? 0)
  }

  override send(bytes: Uint8Array, options?: Options | (() => void)): void {
    const { binary = false, rest } = typeof options === "object" ? options : {}
    const { raw } = this
    if (this.readyState !== WebSocket.OPEN || raw === undefined) return
    if (rest === undefined) {
      raw.write(frame(bytes, binary))
      return
    }
    raw.cork()
    raw.write(
      frameOf(
        bytes,
        binary,
        rest.reduce((sum, { length }) => sum + length, 0)
      )
    )
    for (const part of rest) raw.write(part)
    raw.uncork()
  }
}

interface Options {
  readonly binary?: boolean | undefined
  readonly rest?: Frame["rest"]
}

interface Receiver {
  readonly _bufferedBytes?: number
  readonly _messageLength?: number
}

interface Framed {
  readonly bytes: Uint8Array
  readonly frame: Buffer
}

/** The last two: whoever tells many the same tells one after the other, in the two versions of the protocol. */
let last: Framed | undefined
let beforeLast: Framed | undefined

/**
 * The same for the same bytes, as long as no more than one other comes in between.
 *
 * @internal
 */
export const frame = (bytes: Uint8Array, binary: boolean): Buffer => {
  if (last?.bytes === bytes) return last.frame
  if (beforeLast?.bytes === bytes) return beforeLast.frame
  const frame = frameOf(bytes, binary, 0)
  beforeLast = last
  last = { bytes, frame }
  return frame
}

/** The frame, or its beginning where so many bytes follow. */
const frameOf = (bytes: Uint8Array, binary: boolean, following: number): Buffer => {
  const length = bytes.length + following
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + bytes.length)
  frame[0] = binary ? 0x82 : 0x81
  frame[1] = head === 2 ? length : head === 4 ? 126 : 127
  if (head === 4) frame.writeUInt16BE(length, 2)
  if (head === 10) frame.writeBigUInt64BE(BigInt(length), 2)
  frame.set(bytes, head)
  return frame
}
