/** The body of a post, up to a size: nobody's is collected beyond it. */
import type { IncomingMessage } from "node:http"
import { Effect } from "effect"

export const readBody = (incoming: IncomingMessage, max: number): Effect.Effect<Buffer | "too large" | "cut"> =>
  Effect.async((resume) => {
    if (Number(incoming.headers["content-length"] ?? 0) > max) return resume(Effect.succeed("too large"))
    const chunks: Array<Buffer> = []
    let bytes = 0
    const data = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > max) done("too large")
      else chunks.push(chunk)
    }
    const end = (): void => done(Buffer.concat(chunks, bytes))
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
