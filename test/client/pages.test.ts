/** Pages that sleep: left and shown again by the back button, asleep, out of sight, opened without a network. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { Browser } from "playwright-core"
import { makeServer } from "../socket/support/server.js"
import { browserIsOff, launchWhole } from "../support/chromium.js"
import { startProxy } from "../support/proxy.js"
import { bundle } from "./support/bundle.js"

const program = `import { connect } from "effect-presence/client"
  window.happened = []
  const note = (target, event) => target.addEventListener(event, (said) => window.happened.push(said.type))
  for (const event of ["freeze", "resume", "visibilitychange"]) note(document, event)
  for (const event of ["online", "offline"]) note(window, event)
  addEventListener("pageshow", ({ persisted }) => persisted && window.happened.push("shown again"))
  window.join = (url) => {
    const room = connect(url).join("lobby", { key: "alice", meta: { n: 1 } })
    room.subscribe(({ status, entries }) => { window.shows = status + " " + entries.map(({ key }) => key).join() })
    window.room = room
  }`

describe.skipIf(browserIsOff())("a page", () => {
  let browser: Browser
  let script: string
  beforeAll(async () => {
    browser = await launchWhole()
    script = (await bundle(program)).text
  }, 300_000)
  afterAll(() => browser.close())

  /** A page of a site with two, a line to the server that can be cut, and who is in the lobby. */
  const open = Effect.gen(function* () {
    const { url, presence } = yield* makeServer({ presence: { ttl: Duration.infinity } })
    const line = yield* Effect.acquireRelease(
      Effect.promise(() => startProxy(Number(new URL(url).port))),
      (proxy) => Effect.promise(() => proxy.close())
    )
    const site = createServer((request, response) => {
      const html =
        request.url === "/app.js" ? script : `<title>page</title><script type="module" src="/app.js"></script>`
      response.setHeader("content-type", request.url === "/app.js" ? "text/javascript" : "text/html")
      response.end(html)
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.sync(() => {
          site.closeAllConnections()
          site.close()
        })
    )
    const { port } = site.address() as AddressInfo
    const page = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const page = await (await browser.newContext()).newPage()
        page.setDefaultTimeout(300_000)
        await page.goto(`http://127.0.0.1:${port}/`)
        return page
      }),
      (page) => Effect.promise(() => page.context().close())
    )
    const run = (text: string) => Effect.promise(() => page.evaluate(text))
    const join = run(`join("ws://127.0.0.1:${line.port}/socket")`)
    const until = (condition: string) =>
      Effect.promise(() => page.waitForFunction(condition, undefined, { polling: 50 }))
    const lobbyHas = (...keys: ReadonlyArray<string>) =>
      Effect.promise(() =>
        vi.waitFor(
          async () => {
            expect((await Effect.runPromise(presence.list("lobby"))).map(({ key }) => key)).toEqual(keys)
          },
          { timeout: 300_000, interval: 20 }
        )
      )
    return { page, presence, line, run, join, until, lobbyHas, away: `http://127.0.0.1:${port}/away` }
  })

  it.scopedLive("that is kept when somebody leaves it is on no list meanwhile, and joins again when it is shown", () =>
    Effect.gen(function* () {
      const { page, presence, run, join, until, lobbyHas, away } = yield* open
      yield* join
      yield* until(`shows === "joined alice"`)
      yield* run(`room.update({ n: 2 })`)
      yield* Effect.promise(() => page.goto(away))
      yield* lobbyHas()
      yield* presence.track("lobby", "bob")
      // It is not loaded again, so no event says that it was.
      yield* Effect.promise(() => page.goBack({ waitUntil: "commit" }))
      yield* until(`shows === "joined alice,bob"`)
      // The same page, and no other that was loaded anew.
      expect(yield* run("happened")).toEqual(expect.arrayContaining(["freeze", "resume", "shown again"]))
      expect(yield* presence.list("lobby")).toEqual([
        { key: "alice", metas: [{ n: 2 }] },
        { key: "bob", metas: [{}] }
      ])
    })
  )

  it.scopedLive("that stands still while its connection is cut, as one does asleep, joins again when it wakes", () =>
    Effect.gen(function* () {
      const { presence, line, join, until, lobbyHas } = yield* open
      yield* join
      yield* until(`shows === "joined alice"`)
      const session = yield* Effect.promise(() => browser.newBrowserCDPSession())
      const { processInfo } = yield* Effect.promise(() => session.send("SystemInfo.getProcessInfo"))
      const pages = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id)
      const tell = (signal: NodeJS.Signals) =>
        Effect.sync(() => {
          for (const pid of pages) process.kill(pid, signal)
        })
      yield* Effect.acquireUseRelease(
        tell("SIGSTOP"),
        () =>
          Effect.gen(function* () {
            line.cut()
            yield* lobbyHas()
            yield* presence.track("lobby", "bob")
            line.mend()
          }),
        () => tell("SIGCONT")
      )
      yield* until(`shows === "joined alice,bob"`)
    })
  )

  it.scopedLive("that nobody looks at comes back too", () =>
    Effect.gen(function* () {
      const { presence, line, run, join, until, lobbyHas } = yield* open
      yield* join
      yield* until(`shows === "joined alice"`)
      // A window without a screen is never out of sight, but it can be told so.
      yield* run(`Object.defineProperty(document, "visibilityState", { get: () => "hidden" })`)
      yield* run(`document.dispatchEvent(new Event("visibilitychange"))`)
      line.cut()
      yield* lobbyHas()
      yield* presence.track("lobby", "bob")
      line.mend()
      yield* until(`shows === "joined alice,bob"`)
      expect(yield* run("document.visibilityState")).toBe("hidden")
    })
  )

  it.scopedLive("that begins without a network is connecting, and joined once there is one", () =>
    Effect.gen(function* () {
      const { page, line, run, join, until, lobbyHas } = yield* open
      const offline = (is: boolean) => Effect.promise(() => page.context().setOffline(is))
      line.cut()
      yield* offline(true)
      yield* join
      yield* run(`room.update({ n: 3 })`)
      yield* lobbyHas()
      expect(yield* run("shows")).toBe("connecting ")
      line.mend()
      yield* offline(false)
      yield* until(`shows === "joined alice"`)
      expect(yield* run("happened")).toEqual(expect.arrayContaining(["offline", "online"]))
      expect(yield* run("room.me.metas")).toEqual([{ n: 3 }])
    })
  )
})
