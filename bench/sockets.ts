/**
 * A join that goes out to many sockets, beside `ws` writing what it is made of. The sockets' other ends are in another
 * process, so that only the server's work counts.
 */
import { fork } from "node:child_process"
import { createServer } from "node:http"
import { Socket } from "node:net"
import { HttpLayerRouter, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, type Scope } from "effect"
import { Presence, PresenceLive } from "effect-presence"
import { Authorize, PresenceSocket } from "effect-presence/socket"
import { WebSocketServer } from "ws"
import { check, type Row } from "./harness.js"
import { perOperation, stopwatch } from "./measure.js"

const SOCKETS = 1_000
const JOINS = 30

/** Lets the listeners come; `next` waits until all have heard one more diff, and answers with it. */
const listeners = (port: number): Effect.Effect<{ readonly next: Effect.Effect<string> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const url = `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => fork(new URL("./listeners.js", import.meta.url), [url, String(SOCKETS)], { execArgv: [] })),
      (child) =>
        Effect.async<void>((resume) => {
          child.on("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    const next = Effect.async<string>((resume) => {
      child.once("message", (diff) => resume(Effect.succeed(String(diff))))
    })
    yield* next
    return { next }
  })

/** How many different buffers with diffs are written to sockets meanwhile. */
const buffersWritten = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const written = new Set<unknown>()
    const { write } = Socket.prototype
    Socket.prototype.write = function (this: Socket, data: unknown, ...rest: ReadonlyArray<unknown>): boolean {
      if (data instanceof Buffer && data.includes("presence_diff")) written.add(data)
      return Reflect.apply(write, this, [data, ...rest])
    }
    return Effect.ensuring(
      Effect.map(effect, () => written.size),
      Effect.sync(() => {
        Socket.prototype.write = write
      })
    )
  })

/** Joins one key after the other, the next when all have heard of the last: milliseconds for each. */
const deliver = (
  { next }: Effect.Effect.Success<ReturnType<typeof listeners>>,
  join: (key: string) => Effect.Effect<unknown, unknown, Scope.Scope>
) =>
  Effect.gen(function* () {
    const one = (key: string) =>
      Effect.gen(function* () {
        const heard = yield* Effect.fork(next)
        yield* Effect.yieldNow()
        yield* join(key)
        const diff: string = yield* heard
        check("the key in the diff", Object.keys(JSON.parse(diff)[4].joins).join(), key)
      })
    const elapsed = stopwatch()
    for (let i = 0; i < JOINS; i++) yield* one(`user-${i}`)
    const each = perOperation(elapsed(), JOINS, "ms")
    check("how often a join is encoded", yield* buffersWritten(one("the-last")), 1)
    return each
  })

const ours = () =>
  Effect.gen(function* () {
    const server = HttpLayerRouter.serve(
      PresenceSocket.layerRouter({ authorize: Authorize.allowAll, diffInterval: 0, drain: 0 }),
      { disableLogger: true, disableListenLog: true }
    ).pipe(
      Layer.provideMerge(PresenceLive),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
    const context = yield* Layer.build(server)
    const { address } = Context.get(context, HttpServer.HttpServer)
    const presence = Context.get(context, Presence)
    const all = yield* listeners(address._tag === "TcpAddress" ? address.port : 0)
    return yield* deliver(all, (key) => presence.track("room", key, { role: "viewer" }))
  }).pipe(Effect.scoped, Effect.runPromise)

/** Text as bytes, encoded once, to every socket. */
const justWrite = () =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.async<WebSocketServer>((resume) => {
        const server: WebSocketServer = new WebSocketServer(
          { port: 0, host: "127.0.0.1", perMessageDeflate: false },
          () => resume(Effect.succeed(server))
        )
        server.on("connection", (ws) => ws.on("message", () => ws.send(`["1",null,"room","presence_state",{}]`)))
      }),
      (server) => Effect.async<void>((resume) => server.close(() => resume(Effect.void)))
    )
    const address = server.address()
    const all = yield* listeners(typeof address === "object" && address !== null ? address.port : 0)
    return yield* deliver(all, (key) =>
      Effect.sync(() => {
        const meta = `{"role":"viewer","phx_ref":"0123456789abcdef.1.1"}`
        const bytes = Buffer.from(
          `[null,null,"room","presence_diff",{"joins":{"${key}":{"metas":[${meta}]}},"leaves":{}}]`
        )
        for (const ws of server.clients) ws.send(bytes, { binary: false })
      })
    )
  }).pipe(Effect.scoped, Effect.runPromise)

export const sockets: ReadonlyArray<Row> = [
  {
    name: `a join to ${SOCKETS.toLocaleString("en")} WebSockets on one topic`,
    unit: "ms",
    ours,
    rivals: [{ name: "ws writing the same bytes to each", target: 1.3, run: justWrite }],
    rounds: 7
  }
]
