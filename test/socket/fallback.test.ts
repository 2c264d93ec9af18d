/** Phoenix's client in a browser, behind a proxy that lets no WebSocket through. */
import { readFileSync } from "node:fs"
import { createServer, request } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import type { Browser } from "playwright-core"
import { becomes, browserIsOff, launch } from "../support/chromium.js"
import { makeServer, type TestServer } from "./support/server.js"

/** At `/` a page with the client, at `/socket` what stands behind it, but no upgrades. */
const blocking = (
  client: string,
  server: TestServer
): Effect.Effect<{ readonly url: string; readonly refused: () => number }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly proxy: ReturnType<typeof createServer>; refused: number }>((resume) => {
        const script = readFileSync(
          fileURLToPath(new URL(`../../node_modules/${client}/priv/static/phoenix.js`, import.meta.url)),
          "utf8"
        )
        const proxy = createServer((incoming, response) => {
          if (!incoming.url?.startsWith("/socket")) {
            response.setHeader("content-type", "text/html")
            response.end(`<!doctype html><link rel="icon" href="data:,"><script>${script}</script>`)
            return
          }
          const { method, headers } = incoming
          const passed = request(server.url.replace("ws:", "http:") + incoming.url, { method, headers }, (answer) => {
            response.writeHead(answer.statusCode ?? 502, answer.headers)
            answer.pipe(response)
          })
          passed.on("error", () => response.destroy())
          response.on("close", () => passed.destroy())
          incoming.pipe(passed)
        })
        const state = { proxy, refused: 0 }
        proxy.on("upgrade", (_, socket) => {
          state.refused++
          socket.end("HTTP/1.1 403 Forbidden\r\n\r\n")
        })
        proxy.listen(0, "127.0.0.1", () => resume(Effect.succeed(state)))
      }),
      ({ proxy }) =>
        Effect.async<void>((resume) => {
          proxy.close(() => resume(Effect.void))
          proxy.closeAllConnections()
        })
    ),
    (state) => ({
      url: `http://127.0.0.1:${(state.proxy.address() as AddressInfo).port}`,
      refused: () => state.refused
    })
  )

/** Runs in the page: joins under a key, and keeps the list where the test finds it. */
const joining = (key: string, options: string) => `
  const socket = new Phoenix.Socket("/socket", ${options})
  socket.connect()
  const channel = socket.channel("room", { key: ${JSON.stringify(key)} })
  const presence = new Phoenix.Presence(channel)
  presence.onSync(() => { window.here = presence.list((key) => key).sort().join() })
  channel.join()
`

let browser: Browser

describe.skipIf(browserIsOff())("in a browser where no WebSocket comes through", () => {
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser.close())

  // Version 1.6 falls back by no time: there a program chooses the transport.
  it.scopedLive.each([
    ["phoenix-1.6", "{ transport: Phoenix.LongPoll }", false],
    ["phoenix-1.7", "{ longPollFallbackMs: 300 }", true],
    ["phoenix", "{ longPollFallbackMs: 300 }", true]
  ] as const)("%s joins by long polling, sees others, and leaves when its page is closed", ([client, options, falls]) =>
    Effect.gen(function* () {
      const server = yield* makeServer()
      const proxy = yield* blocking(client, server)
      const open = (key: string) =>
        Effect.acquireRelease(
          Effect.promise(async () => {
            const page = await (await browser.newContext()).newPage()
            page.setDefaultTimeout(300_000)
            await page.goto(proxy.url)
            await page.evaluate(joining(key, options))
            return page
          }),
          (page) => Effect.promise(() => page.context().close())
        )
      const alice = yield* open("alice")
      yield* becomes(alice, "window.here", "alice")
      const bob = yield* open("bob")
      yield* becomes(bob, "window.here", "alice,bob")
      yield* becomes(alice, "window.here", "alice,bob")
      expect(proxy.refused() > 0).toBe(falls)
      yield* Effect.promise(() => bob.close())
      yield* becomes(alice, "window.here", "alice")
      expect(Option.isNone(yield* server.presence.get("room", "bob"))).toBe(true)
    })
  )
})
