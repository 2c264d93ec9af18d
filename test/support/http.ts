/**
 * A server for one test on a free port of 127.0.0.1, and a client that sends a path exactly as it is written.
 */
import * as Http from "node:http"
import { HttpLayerRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, type Scope } from "effect"
import type { PresenceHttp } from "../../src/http/index.js"
import { Authorize, PresenceHttp as Routes } from "../../src/http/index.js"
import { Presence } from "../../src/index.js"

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  readonly json: unknown
}

export interface Ask {
  readonly method?: string
  readonly headers?: Record<string, string>
}

export interface Served {
  readonly port: number
  readonly presence: Presence.Service
  /** How many the server has. */
  readonly connections: Effect.Effect<number>
}

/** The routes over an in-process presence, until the scope closes. */
export const serve = (
  options: Partial<PresenceHttp.Options> = {},
  presence: Layer.Layer<Presence> = Presence.layer()
): Effect.Effect<Served, never, Scope.Scope> => {
  const server = Http.createServer({ maxHeaderSize: 65_536 })
  return Layer.build(
    HttpLayerRouter.serve(Routes.layerRouter({ authorize: Authorize.allowAll, ...options }), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provideMerge(
        Layer.merge(
          presence,
          NodeHttpServer.layerServer(() => server, { host: "127.0.0.1", port: 0 })
        )
      ),
      Layer.orDie
    )
  ).pipe(
    Effect.map((context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      return {
        port: address._tag === "TcpAddress" ? address.port : 0,
        presence: Context.get(context, Presence),
        connections: Effect.async<number>((resume) => {
          server.getConnections((_, count) => resume(Effect.succeed(count)))
        })
      }
    })
  )
}

/** One request, without a connection that is kept. */
export const ask = (port: number, path: string, { method = "GET", headers = {} }: Ask = {}): Effect.Effect<Answer> =>
  Effect.async((resume) => {
    const request = Http.request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      const parts: Array<Buffer> = []
      response.on("data", (part: Buffer) => parts.push(part))
      response.on("end", () => {
        const text = Buffer.concat(parts).toString()
        const isJson = response.headers["content-type"] === "application/json" && text !== ""
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: isJson ? JSON.parse(text) : undefined
          })
        )
      })
    })
    request.on("error", (error) => resume(Effect.die(error)))
    request.end()
    return Effect.sync(() => request.destroy())
  })

/** How a stream was over: its end came, or the connection broke. */
export type Over = "end" | "cut"

/** An event as it came: its id, its type, its data as JSON. */
export interface Heard {
  readonly id: string | undefined
  readonly event: string | undefined
  // Whatever the server sends; each test says what it should have been.
  readonly data: unknown
}

export interface Following {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly next: Effect.Effect<Heard | Over>
  /** Stops reading from the socket, so that it fills. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly close: Effect.Effect<void>
}

/** Follows an event stream until the scope closes, on a connection that may be kept, as browsers do. */
export const follow = (
  port: number,
  path: string,
  headers: Record<string, string> = {}
): Effect.Effect<Following, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly request: Http.ClientRequest; readonly response: Http.IncomingMessage }>((resume) => {
      const request = Http.request(
        { host: "127.0.0.1", port, path, headers: { connection: "keep-alive", ...headers }, agent: false },
        (response) => resume(Effect.succeed({ request, response }))
      )
      request.on("error", (error) => resume(Effect.die(error)))
      request.end()
    }),
    ({ request }) => Effect.sync(() => request.destroy())
  ).pipe(
    Effect.map(({ request, response }) => {
      const heard: Array<Heard | Over> = []
      let wake: (() => void) | undefined
      let rest = ""
      const tell = (item: Heard | Over) => {
        heard.push(item)
        wake?.()
      }
      response.setEncoding("utf8")
      response.on("data", (text: string) => {
        const blocks = (rest + text).split("\n\n")
        rest = blocks.pop() ?? ""
        for (const block of blocks) {
          const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line] as const))
          const value = (name: string) => fields.get(name)?.slice(name.length + 2)
          // A comment is no event.
          if (fields.has("data")) {
            tell({ id: value("id"), event: value("event"), data: JSON.parse(value("data") ?? "null") })
          }
        }
      })
      response.on("error", () => {})
      response.on("close", () => tell(response.complete ? "end" : "cut"))
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        next: Effect.async<Heard | Over>((resume) => {
          const take = () => {
            wake = undefined
            const item = heard[0] as Heard | Over
            if (typeof item === "object") heard.shift()
            resume(Effect.succeed(item))
          }
          if (heard.length > 0) take()
          else wake = take
        }),
        pause: Effect.sync(() => void response.pause()),
        resume: Effect.sync(() => void response.resume()),
        close: Effect.sync(() => void request.destroy())
      }
    })
  )

/** How a stream is over, whatever comes before. */
export const over = (following: Following): Effect.Effect<Over> =>
  Effect.flatMap(following.next, (item) => (typeof item === "string" ? Effect.succeed(item) : over(following)))
