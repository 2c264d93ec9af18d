/**
 * A headless browser for the suites that look at pages: the one that `CHROMIUM` names, else `chromium` on the path,
 * else, for root on Debian, the package of the system. With `BROWSER=off` it is done without, as where none is within
 * reach.
 */
import { existsSync } from "node:fs"
import { type Browser, chromium } from "playwright-core"
import { program } from "./debian.js"

/** Whether what looks at pages runs at all. For `describe.skipIf(browserIsOff())`. */
export const browserIsOff = (): boolean => process.env.BROWSER === "off"

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: find(),
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

const find = (): string => {
  const named = process.env.CHROMIUM
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return named
    throw new Error(`CHROMIUM names ${named}, which is not there: name a Chromium, or set BROWSER=off to go without`)
  }
  const found = program("chromium")
  if (found !== undefined) return found
  throw new Error(
    "there is no chromium on the PATH: install it (apt-get install chromium), name one with CHROMIUM=/path/to/it, or set BROWSER=off to go without"
  )
}
