/** Requests of one connection, sent without waiting for answers. */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { connect, type Server } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { serve } from "../server/support/server.js"
import { ask } from "../support/http.js"

const request = (path: string) => `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`

/** What a connection is answered to a text, until it is cut or enough has come. */
const answered = (port: number, text: string, isEnough: (heard: string) => boolean) =>
  Effect.async<{ readonly heard: string; readonly isCut: boolean }>((resume) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    let heard = ""
    const end = (isCut: boolean) => {
      resume(Effect.succeed({ heard, isCut }))
      socket.destroy()
    }
    socket.on("data", (data) => {
      heard += data
      if (isEnough(heard)) end(false)
    })
    socket.on("error", () => {})
    socket.on("close", () => end(true))
    return Effect.sync(() => socket.destroy())
  })

const times = (heard: string) => heard.split("HTTP/1.1 200").length - 1

it.scopedLive("a few are served, and who sends hundreds in one go is cut off", () =>
  Effect.gen(function* () {
    const port = yield* serve()
    const few = yield* answered(port, request("/presence/room/count").repeat(16), (heard) => times(heard) === 16)
    expect([times(few.heard), few.isCut]).toEqual([16, false])
    const many = yield* answered(port, request("/presence/room/count").repeat(1_000), (heard) => times(heard) > 100)
    expect(many.isCut).toBe(true)
    const upgrade =
      "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
      "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    const behind = yield* answered(port, request("/presence/room/count") + upgrade, (heard) => heard.includes(" 101 "))
    expect(behind.isCut).toBe(true)
    expect((yield* ask(port, "/presence/room/count")).status).toBe(200)
  })
)

/** The requests that Node makes for a port. */
const requestsOf = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const made = { requests: 0 }
      const count = (message: unknown): void => {
        const address = (message as { readonly server: Server }).server.address()
        if (typeof address === "object" && address?.port === port) made.requests++
      }
      subscribe("http.server.request.start", count)
      return { made, count }
    }),
    ({ count }) => Effect.sync(() => unsubscribe("http.server.request.start", count))
  )

it.scopedLive("of what a connection sends once it is cut nothing is made", () =>
  Effect.gen(function* () {
    const port = yield* serve()
    const { made } = yield* requestsOf(port)
    yield* answered(port, request("/presence/room/count").repeat(1_000), () => false)
    expect(made.requests).toBeGreaterThan(15)
    expect(made.requests).toBeLessThan(40)
  })
)

it.scopedLive.each([
  ["name no host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["expect what there is not", "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: x\r\n\r\n", 417]
] as const)("those that %s, which Node would answer by itself, count too", ([, text, status]) =>
  Effect.gen(function* () {
    const port = yield* serve()
    const one = yield* answered(port, text, () => false)
    expect(one.heard).toMatch(new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*connection: close[\\s\\S]*"error"`))
    const { made } = yield* requestsOf(port)
    expect((yield* answered(port, text.repeat(1_000), () => false)).isCut).toBe(true)
    expect(made.requests).toBeLessThan(40)
  })
)

it.scopedLive("an answer to what has not come whole is the last of its connection", () =>
  Effect.gen(function* () {
    const port = yield* serve()
    const post = "POST /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100000\r\n\r\nthe first of it"
    const { heard, isCut } = yield* answered(port, post, () => false)
    expect([heard.includes("HTTP/1.1 404"), /connection: close/i.test(heard), isCut]).toEqual([true, true, true])
  })
)

it.scopedLive("event streams that wait for each other on one connection are warned of by nobody", () =>
  Effect.gen(function* () {
    const port = yield* serve()
    const warnings: Array<string> = []
    const warn = ({ name, message }: Error): void => void warnings.push(`${name} ${message}`)
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("warning", warn)),
      () => Effect.sync(() => process.off("warning", warn))
    )
    const streams = Array.from({ length: 16 }, (_, i) => request(`/presence/room/events?key=k${i}`)).join("")
    yield* Effect.forkScoped(answered(port, streams, () => false))
    yield* Effect.retry(
      Effect.filterOrFail(
        ask(port, "/presence/room/count"),
        ({ text }) => text.includes('"keys":16'),
        () => "not yet" as const
      ),
      Schedule.spaced("10 millis")
    )
    // Node warns in a turn of its own.
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    expect(warnings).toEqual([])
  })
)
