import { HttpServer } from "@effect/platform"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, LogLevel, Option, Scope } from "effect"
import type { Browser, Page } from "playwright-core"
import * as Server from "../../src/server/Server.js"
import type { Settings } from "../../src/server/Settings.js"
import { launch, withoutBrowser } from "../support/chromium.js"

if (withoutBrowser !== undefined) console.warn(withoutBrowser)

const settings: Settings = {
  host: "127.0.0.1",
  refusedHost: Option.none(),
  port: 0,
  ttl: Duration.seconds(30),
  diffInterval: Duration.millis(50),
  idleTimeout: Duration.seconds(60),
  allowedOrigins: undefined,
  secret: Option.none(),
  logLevel: LogLevel.Info
}

/** A server until the scope closes; its port. */
const serve = (scope: Scope.Scope, port = 0, others: Partial<Settings> = {}) =>
  Layer.buildWithScope(Server.layer({ ...settings, ...others, port }, 0), scope).pipe(
    Effect.map((context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      return address._tag === "TcpAddress" ? address.port : 0
    })
  )

let browser: Browser

/** A tab, and what its console said that nobody wants to hear. */
const open = (port: number, path = "/") =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const context = await browser.newContext()
      const page = await context.newPage()
      const complaints: Array<string> = []
      page.on("console", (message) => complaints.push(message.text()))
      page.on("pageerror", (error) => complaints.push(String(error)))
      page.on("dialog", (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`)
        void dialog.dismiss()
      })
      page.on("response", (response) => {
        if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`)
      })
      await page.goto(`http://127.0.0.1:${port}${path}`)
      return { page, complaints }
    }),
    ({ page }) => Effect.promise(() => page.context().close())
  )

const join = (page: Page, name: string) =>
  Effect.promise(async () => {
    await page.getByRole("textbox", { name: "Name" }).fill(name)
    await page.getByRole("button", { name: "Join" }).click()
  })

/** Waits until the names in "Here now" are these, each as it is written there. */
const hereNow = (page: Page, names: ReadonlyArray<string>, timeout = 10_000) =>
  Effect.promise(() =>
    vi.waitFor(async () => expect(await page.locator("#here li").allTextContents()).toEqual(names), {
      timeout,
      interval: 20
    })
  )

const feed = (page: Page) => Effect.promise(() => page.getByRole("log").locator("p > span").allInnerTexts())

describe.skipIf(withoutBrowser !== undefined)("the page", () => {
  beforeAll(async () => {
    browser = await launch()
  }, 300_000)
  afterAll(() => browser.close())

  it.scopedLive(
    "shows who is here before one joins, and two pages with two names each see the other",
    () =>
      Effect.gen(function* () {
        const port = yield* serve(yield* Effect.scope)
        const watcher = yield* open(port)
        const alice = yield* open(port)
        const bob = yield* open(port)
        yield* join(alice.page, "Alice")
        yield* hereNow(watcher.page, ["Alice"])
        yield* join(bob.page, "Bob")
        yield* hereNow(alice.page, ["Alice", "Bob"])
        yield* hereNow(bob.page, ["Bob", "Alice"])
        yield* hereNow(watcher.page, ["Alice", "Bob"])
        const late = yield* open(port)
        yield* hereNow(late.page, ["Alice", "Bob"])

        const started = performance.now()
        yield* Effect.promise(() => bob.page.close())
        yield* hereNow(alice.page, ["Alice"], 2_000)
        expect(performance.now() - started).toBeLessThan(2_000)
        expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Bob joined", "Bob left"])
        expect([alice, bob, watcher, late].flatMap(({ complaints }) => complaints)).toEqual([])
      }),
    60_000
  )

  it.scopedLive(
    "shows a person with two tabs once, with a mark, and tells of them once",
    () =>
      Effect.gen(function* () {
        const port = yield* serve(yield* Effect.scope)
        const watcher = yield* open(port)
        const one = yield* open(port)
        const two = yield* open(port)
        yield* join(one.page, "Alice")
        yield* join(two.page, "Alice")
        yield* hereNow(watcher.page, ["Alice×2"])
        yield* Effect.promise(() => one.page.close())
        yield* hereNow(watcher.page, ["Alice"])
        yield* Effect.promise(() => two.page.getByRole("button", { name: "Leave" }).click())
        yield* hereNow(watcher.page, [])
        yield* hereNow(two.page, [])
        expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Alice left"])
        // Who left can join again, and the keyboard is where it was needed.
        yield* Effect.promise(() => two.page.locator("#name:focus").waitFor())
        yield* Effect.promise(() => two.page.keyboard.press("Enter"))
        yield* hereNow(watcher.page, ["Alice"])
        expect([watcher, one, two].flatMap(({ complaints }) => complaints)).toEqual([])
      }),
    60_000
  )

  it.scopedLive(
    "takes names as text, and keeps rooms apart",
    () =>
      Effect.gen(function* () {
        const port = yield* serve(yield* Effect.scope)
        const room = encodeURIComponent("a/b <b>&?%2F é")
        const one = yield* open(port, `/?room=${room}`)
        const two = yield* open(port, `/?room=${room}`)
        const lobby = yield* open(port)
        const name = "<img src=x onerror=alert(1)>"
        yield* join(one.page, name)
        yield* join(two.page, "__proto__")
        yield* hereNow(two.page, ["__proto__", name])
        yield* hereNow(lobby.page, [])
        expect(yield* Effect.promise(() => two.page.locator("img").count())).toBe(0)
        expect(yield* feed(two.page)).toContain(`${name} joined`)
        expect(yield* Effect.promise(() => one.page.getByRole("heading", { level: 1 }).innerText())).toBe(
          "a/b <b>&?%2F é"
        )
        expect([one, two, lobby].flatMap(({ complaints }) => complaints)).toEqual([])
      }),
    60_000
  )

  it.scopedLive(
    "says that the connection is lost, and comes back by itself under the same name",
    () =>
      Effect.gen(function* () {
        const first = yield* Scope.make()
        const port = yield* serve(first)
        const alice = yield* open(port)
        const bob = yield* open(port)
        const watcher = yield* open(port)
        yield* join(alice.page, "Alice")
        yield* join(bob.page, "Bob")
        yield* hereNow(watcher.page, ["Alice", "Bob"])
        yield* Scope.close(first, Exit.void)
        const status = watcher.page.getByRole("status")
        yield* Effect.promise(() => status.getByText("Reconnecting…").waitFor())
        yield* hereNow(watcher.page, ["Alice", "Bob"])

        yield* serve(yield* Effect.scope, port)
        yield* Effect.promise(() => status.getByText("Live").waitFor())
        yield* hereNow(watcher.page, ["Alice", "Bob"], 20_000)
        yield* hereNow(alice.page, ["Alice", "Bob"], 20_000)
        yield* hereNow(bob.page, ["Bob", "Alice"], 20_000)
        // Everybody came back, so nobody is said to have left.
        expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Bob joined", "Connection lost", "Connected again"])
      }),
    60_000
  )

  it.scopedLive(
    "says why a name is refused, and goes on watching",
    () =>
      Effect.gen(function* () {
        const port = yield* serve(yield* Effect.scope)
        const { page } = yield* open(port)
        // More than the field lets anybody type.
        yield* Effect.promise(() =>
          page
            .getByRole("textbox")
            .evaluate((field: { removeAttribute(name: string): void }) => field.removeAttribute("maxlength"))
        )
        yield* join(page, "x".repeat(300))
        yield* Effect.promise(() => page.getByRole("alert").getByText("key has more than 255 bytes").waitFor())
        yield* join(page, "Alice")
        yield* hereNow(page, ["Alice"])
      }),
    60_000
  )

  it.scopedLive(
    "fits a narrow phone",
    () =>
      Effect.gen(function* () {
        const port = yield* serve(yield* Effect.scope)
        const { page } = yield* open(port, `/?room=${"w".repeat(80)}`)
        yield* join(page, "W".repeat(60))
        yield* Effect.promise(() => page.setViewportSize({ width: 320, height: 640 }))
        yield* hereNow(page, ["W".repeat(60)])
        const overflow = yield* Effect.promise(() =>
          page
            .locator("html")
            .evaluate((html: { scrollWidth: number; clientWidth: number }) => html.scrollWidth - html.clientWidth)
        )
        expect(overflow).toBe(0)
      }),
    60_000
  )
})
