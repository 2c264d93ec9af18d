/** The page of the ready server in a browser: a tab, how one joins there, and what it shows. */
import { Effect, type Scope } from "effect"
import type { Browser, Page } from "playwright-core"
import { becomes } from "../../support/chromium.js"

export interface Tab {
  readonly page: Page
  /** What its console said that nobody wants to hear. */
  readonly complaints: ReadonlyArray<string>
}

/** Until the scope closes. */
export const openPage = (browser: Browser, port: number, path = "/"): Effect.Effect<Tab, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const context = await browser.newContext()
      context.setDefaultTimeout(300_000)
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

export const join = (page: Page, name: string) =>
  Effect.promise(async () => {
    await page.getByRole("textbox", { name: "Name" }).fill(name)
    await page.getByRole("button", { name: "Join" }).click()
  })

/** Waits until the names in "Here now" are these, each as it is written there. */
export const hereNow = (page: Page, names: ReadonlyArray<string>) =>
  becomes(page, `Array.from(document.querySelectorAll("#here li"), (it) => it.textContent)`, names)

/** The lines of the feed, without their times. */
export const feed = (page: Page) => Effect.promise(() => page.getByRole("log").locator("p > span").allInnerTexts())
