/**
 * A WebSocket that writes each frame as one piece. `ws` makes two of one, its head and what is in it, for every socket
 * anew. What is told to many is one piece for all of them.
 */
import type { Socket } from "node:net"
import { WebSocket } from "ws"

export class WholeFrames extends WebSocket {
  /** What carries it, from its upgrade on. */
  raw: Socket | undefined

  /** Bytes that have come of a message that is not whole. `ws` does not say so in its types. */
  get unfinished(): number {
    const { _receiver: receiver } = this as unknown as { readonly _receiver?: Receiver }
    return (receiver?._bufferedBytes ?? 0) + (receiver?._messageLength ?? 0)
  }

  override send(bytes: Uint8Array, options?: { readonly binary?: boolean | undefined } | (() => void)): void {
    const binary = typeof options === "object" && options.binary === true
    if (this.readyState === WebSocket.OPEN) this.raw?.write(frame(bytes, binary))
  }
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
  const { length } = bytes
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = binary ? 0x82 : 0x81
  frame[1] = head === 2 ? length : head === 4 ? 126 : 127
  if (head === 4) frame.writeUInt16BE(length, 2)
  if (head === 10) frame.writeBigUInt64BE(BigInt(length), 2)
  frame.set(bytes, head)
  beforeLast = last
  last = { bytes, frame }
  return frame
}
