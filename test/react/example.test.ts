/** The example with avatars and cursors, as its server serves it. */

import { HttpServer } from "@effect/platform"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import type { Browser, Page } from "playwright-core"
import { server } from "../../examples/react/server.js"
import { makeClient } from "../client/support/client.js"
import { becomes, browserIsOff, launch } from "../support/chromium.js"

/** Where pictures of it go, for whoever wants to look. */
const { SCREENSHOTS } = process.env

const look = (page: Page, name: string) =>
  Effect.promise(async () => {
    if (SCREENSHOTS !== undefined) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` })
  })

describe.skipIf(browserIsOff())("the example with avatars and cursors", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(() => browser.close())

  const open = (url: string, name: string) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const page = await (await browser.newContext({ viewport: { width: 1_280, height: 720 } })).newPage()
        const complaints: Array<string> = []
        page.on("console", (message) => complaints.push(message.text()))
        page.on("pageerror", (error) => complaints.push(String(error)))
        page.setDefaultTimeout(300_000)
        await page.goto(`${url}/?name=${name}`)
        return { page, complaints }
      }),
      ({ page }) => Effect.promise(() => page.context().close())
    )

  const sees = (page: Page, selector: string, texts: ReadonlyArray<string>) =>
    becomes(page, `Array.from(document.querySelectorAll("${selector}"), (it) => it.innerText)`, texts)

  it.scopedLive("shows everybody as a face, and where they point as it moves", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(server(0))
      const { address } = Context.get(context, HttpServer.HttpServer)
      const url = `http://127.0.0.1:${address._tag === "TcpAddress" ? address.port : 0}`
      const ada = yield* open(url, "Ada")
      yield* sees(ada.page, ".avatars li", ["A"])
      yield* look(ada.page, "alone")
      const bob = yield* open(url, "Bob")
      yield* sees(bob.page, "[role=status]", ["You are Bob"])
      yield* sees(ada.page, ".avatars li", ["A", "B"])
      yield* Effect.promise(() => bob.page.mouse.move(320, 360))
      yield* sees(ada.page, ".cursor", ["Bob"])
      yield* sees(bob.page, ".cursor", [])
      const left = `document.querySelector(".cursor").offsetLeft`
      const before = yield* Effect.promise(() => ada.page.evaluate<number>(left))
      yield* Effect.promise(() => bob.page.mouse.move(900, 500))
      yield* becomes(ada.page, `${left} > ${before + 400}`, true)
      const names = ["Cleo", "Dan", "Eve", "Finn", "Gus"]
      for (const [i, name] of names.entries()) {
        const meta = { name, hue: i * 70, pointer: { x: 0.2 + i / 8, y: 0.2 + i / 10 } }
        ;(yield* makeClient(url)).join("design review", { key: name, meta })
      }
      yield* sees(ada.page, ".avatars li", ["A", "B", "C", "D", "E", "F", "+1"])
      yield* sees(ada.page, ".cursor", ["Bob", ...names])
      yield* look(ada.page, "many")
      yield* Effect.promise(() => ada.page.emulateMedia({ colorScheme: "dark" }))
      yield* Effect.promise(() => ada.page.setViewportSize({ width: 390, height: 780 }))
      yield* look(ada.page, "phone")
      yield* Effect.promise(() => bob.page.mouse.move(5, 5))
      yield* sees(ada.page, ".cursor", names)
      yield* Effect.promise(() => bob.page.close())
      yield* sees(ada.page, ".avatars li", ["A", "C", "D", "E", "F", "G"])
      expect([ada, bob].flatMap(({ complaints }) => complaints)).toEqual([])
    })
  )
})
