/**
 * The body of a post, up to a size and a number of pieces for it: nobody's is collected beyond them. A piece costs more than the byte
 * that it may have, so what has come is kept as one.
 */
import type { IncomingMessage } from "node:http"
import { Effect } from "effect"

/** Bytes that a piece has on the average, as a network makes them, but for the first {@link FEW}. */
const PIECE = 128

/** As many as a client may make of a small body. */
const FEW = 256

/** Bytes that there is room for to begin with. */
const ROOM = 4_096

export const readBody = (incoming: IncomingMessage, max: number): Effect.Effect<Buffer | "too large" | "cut"> =>
  Effect.async((resume) => {
    if (Number(incoming.headers["content-length"] ?? 0) > max) return resume(Effect.succeed("too large"))
    let body = Buffer.allocUnsafe(Math.min(ROOM, max))
    let bytes = 0
    let pieces = 0
    const data = (piece: Buffer): void => {
      const end = bytes + piece.length
      if (end > max || ++pieces > FEW + bytes / PIECE) {
        done("too large")
        return
      }
      if (end > body.length) {
        const larger = Buffer.allocUnsafe(Math.min(max, Math.max(end, 2 * body.length)))
        body.copy(larger, 0, 0, bytes)
        body = larger
      }
      piece.copy(body, bytes)
      bytes = end
    }
    const end = (): void => done(body.subarray(0, bytes))
    const cut = (): void => done("cut")
    const stop = (): void => {
      incoming.off("data", data).off("end", end).off("close", cut).off("error", cut)
      incoming.pause()
    }
    const done = (result: Buffer | "too large" | "cut"): void => {
      stop()
      resume(Effect.succeed(result))
    }
    incoming.on("end", end).on("close", cut).on("error", cut).on("data", data)
    if (incoming.destroyed) cut()
    return Effect.sync(stop)
  })
