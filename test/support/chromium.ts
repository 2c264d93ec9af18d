/**
 * A headless browser for the suites that look at pages: the one that `CHROMIUM` names, else `chromium` on the path,
 * else, for root on Debian, the package of the system. With `BROWSER=off` it is done without, as where none is within
 * reach.
 */
import { existsSync } from "node:fs"
import { Effect } from "effect"
import { type Browser, chromium, type Page } from "playwright-core"
import { expect } from "vitest"
import { onPath, program } from "./debian.js"

/** Whether what looks at pages runs at all. For `describe.skipIf(browserIsOff())`. */
export const browserIsOff = (): boolean => process.env.BROWSER === "off"

/** For what any page does. Where Debian's `chromium-headless-shell` is, it is that: the same engine for half the work. */
export const launch = (): Promise<Browser> => start(named() ?? onPath("chromium-headless-shell") ?? installed())

/** For what only a whole browser does: it keeps a page that somebody leaves for the back button. */
export const launchWhole = (): Promise<Browser> => start(named() ?? installed())

const start = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    // It starts when the machine comes to it.
    timeout: 300_000,
    // As browsers are: a page that somebody leaves is kept for the back button.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-quic"
    ]
  })

/**
 * Waits until what a script reads in a page is so. It looks from there: a look from here is several messages through
 * several processes, and who waits looks often.
 */
export const becomes = (page: Page, read: string, expected: unknown): Effect.Effect<void> =>
  Effect.promise(async () => {
    const seen = await page.evaluate(`(async () => {
      const wanted = ${JSON.stringify(JSON.stringify(expected))}
      for (const end = performance.now() + 300_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
        const seen = ${read}
        if (JSON.stringify(seen) === wanted || performance.now() > end) return seen
      }
    })()`)
    expect(seen).toEqual(expected)
  })

const named = (): string | undefined => {
  const path = process.env.CHROMIUM
  if (path === undefined || path === "") return undefined
  if (existsSync(path)) return path
  throw new Error(`CHROMIUM names ${path}, which is not there: name a Chromium, or set BROWSER=off to go without`)
}

const installed = (): string => {
  const found = program("chromium")
  if (found !== undefined) return found
  throw new Error(
    "there is no chromium on the PATH: install it (apt-get install chromium), name one with CHROMIUM=/path/to/it, or set BROWSER=off to go without"
  )
}
