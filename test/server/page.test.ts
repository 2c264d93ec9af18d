import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Scope } from "effect"
import type { Browser, Page } from "playwright-core"
import { becomes, browserIsOff, launch } from "../support/chromium.js"
import { ask } from "../support/http.js"
import { leapingClock } from "../support/leaps.js"
import { feed, hereNow, join, openPage } from "./support/page.js"
import { serve, token, withSecret } from "./support/server.js"

let browser: Browser

const open = (port: number, path?: string) => openPage(browser, port, path)

describe.skipIf(browserIsOff())("the page", () => {
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser.close())

  it.scopedLive("shows who is here before one joins, and two pages with two names each see the other", () =>
    Effect.gen(function* () {
      const port = yield* serve()
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

      yield* Effect.promise(() => bob.page.close())
      yield* hereNow(alice.page, ["Alice"])
      expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Bob joined", "Bob left"])
      expect([alice, bob, watcher, late].flatMap(({ complaints }) => complaints)).toEqual([])
    })
  )

  it.scopedLive("shows a person with two tabs once, with a mark, and tells of them once", () =>
    Effect.gen(function* () {
      const port = yield* serve()
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
    })
  )

  it.scopedLive("takes names as text, and keeps rooms apart", () =>
    Effect.gen(function* () {
      const port = yield* serve()
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
    })
  )

  it.scopedLive("says that the connection is lost, and comes back by itself under the same name", () =>
    Effect.gen(function* () {
      const first = yield* Scope.make()
      const port = yield* serve().pipe(Scope.extend(first))
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

      yield* serve({ port })
      yield* Effect.promise(() => status.getByText("Live").waitFor())
      yield* hereNow(watcher.page, ["Alice", "Bob"])
      yield* hereNow(alice.page, ["Alice", "Bob"])
      yield* hereNow(bob.page, ["Bob", "Alice"])
      // Everybody came back, so nobody is said to have left.
      expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Bob joined", "Connection lost", "Connected again"])
    })
  )

  it.scopedLive("says why a name is refused, and goes on watching", () =>
    Effect.gen(function* () {
      const port = yield* serve()
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
    })
  )

  it.scopedLive("tracks nobody who has not joined, and shows where the others point as it moves, for eyes only", () =>
    Effect.gen(function* () {
      const port = yield* serve()
      const watcher = yield* open(port)
      const alice = yield* open(port)
      const bob = yield* open(port)
      const list = Effect.map(ask(port, "/presence/lobby"), ({ json }) => json)
      const point = (page: Page, x: number, y: number) =>
        Effect.promise(async () => {
          const box = await page.locator("main").boundingBox()
          if (box !== null) await page.mouse.move(box.x + box.width * x, box.y + box.height * y)
        })
      /** Waits until the cursors of a page are these. */
      const sees = (page: Page, expected: ReadonlyArray<string>) =>
        becomes(
          page,
          `Array.from(document.querySelectorAll(".cursor"), ({ dataset, style }) => {
            const share = (name) => Math.round(Number(style.getPropertyValue(name)) * 10) / 10
            return dataset.name + " " + share("--x") + " " + share("--y")
          })`,
          expected
        )
      yield* point(bob.page, 0.5, 0.5)
      yield* hereNow(watcher.page, [])
      expect(yield* list).toEqual([])

      yield* join(alice.page, "Alice")
      yield* join(bob.page, "Bob")
      yield* hereNow(watcher.page, ["Alice", "Bob"])
      yield* point(bob.page, 0.2, 0.6)
      yield* sees(alice.page, ["Bob 0.2 0.6"])
      yield* sees(watcher.page, ["Bob 0.2 0.6"])
      yield* sees(bob.page, [])
      // The same cursor moves on.
      const cursor = yield* Effect.promise(() => alice.page.locator(".cursor").elementHandle())
      yield* point(bob.page, 0.8, 0.1)
      yield* sees(alice.page, ["Bob 0.8 0.1"])
      expect(yield* Effect.promise(() => cursor?.evaluate((it: { isConnected: boolean }) => it.isConnected))).toBe(true)
      expect(yield* Effect.promise(() => alice.page.locator("#cursors").getAttribute("aria-hidden"))).toBe("true")
      expect(yield* Effect.promise(() => alice.page.getByText("Bob", { exact: true }).count())).toBe(2)
      // Who points outside of it, and who leaves, has none. No update is a join or a leave.
      yield* Effect.promise(() => bob.page.mouse.move(1, 1))
      yield* sees(alice.page, [])
      yield* point(bob.page, 0.5, 0.5)
      yield* sees(alice.page, ["Bob 0.5 0.5"])
      yield* Effect.promise(() => bob.page.close())
      yield* sees(alice.page, [])
      yield* hereNow(watcher.page, ["Alice"])
      expect(yield* feed(watcher.page)).toEqual(["Alice joined", "Bob joined", "Bob left"])
      expect([alice, bob, watcher].flatMap(({ complaints }) => complaints)).toEqual([])
    })
  )

  it.scopedLive("takes a token from its own address: who it says one is, and why it is refused", () =>
    Effect.gen(function* () {
      const clock = leapingClock()
      const port = yield* serve({ ...withSecret, idleTimeout: Duration.days(1) }).pipe(Effect.withClock(clock))
      const at = (jwt: string, room = "lobby") => `/?room=${room}&token=${jwt}`
      const alice = yield* open(port, at(token({ sub: "Alice", topics: ["lobby"] })))
      expect(yield* Effect.promise(() => alice.page.getByRole("textbox", { name: "Name" }).inputValue())).toBe("Alice")
      const watcher = yield* open(port, at(token({ sub: "Wendy", topics: ["*"] })))
      yield* Effect.promise(() => alice.page.getByRole("button", { name: "Join" }).click())
      yield* hereNow(watcher.page, ["Alice"])
      yield* hereNow(alice.page, ["Alice"])
      yield* Effect.promise(() => alice.page.locator(".mine").waitFor())
      expect([alice, watcher].flatMap(({ complaints }) => complaints)).toEqual([])

      const says = (page: Page, text: string) =>
        Effect.promise(() => page.getByRole("alert").getByText(text).waitFor({ timeout: 300_000 }))
      const elsewhere = yield* open(port, at(token({ sub: "Alice", topics: ["lobby"] }), "kitchen"))
      yield* says(elsewhere.page, "forbidden topic")
      const without = yield* open(port)
      yield* says(without.page, "unauthorized")
      const forged = yield* open(port, at(token({ sub: "Alice", topics: ["*"] }, { secret: "guessed" })))
      yield* says(forged.page, "unauthorized")
      const expiring = yield* open(
        port,
        at(token({ sub: "Eve", topics: ["*"], exp: Math.ceil(Date.now() / 1_000) + 3_600 }))
      )
      yield* Effect.promise(() => expiring.page.getByRole("button", { name: "Join" }).click())
      yield* hereNow(watcher.page, ["Alice", "Eve"])
      clock.leap("2 hours")
      yield* hereNow(watcher.page, ["Alice"])
      yield* says(expiring.page, "unauthorized")
    })
  )

  it.scopedLive("fits a narrow phone", () =>
    Effect.gen(function* () {
      const port = yield* serve()
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
    })
  )
})
