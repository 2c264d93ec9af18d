/**
 * A headless browser for the suites that look at pages: the one that `CHROMIUM` names, else `chromium` on the path,
 * else, for root on Debian, the package of the system. `BROWSER=off` goes without, and says so.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { type Browser, chromium } from "playwright-core"

/** Why there is no browser, when that was asked for. */
export const withoutBrowser: string | undefined =
  process.env.BROWSER === "off" ? "SKIPPED: BROWSER=off, so no page is looked at" : undefined

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: find(),
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
  const found = onPath() ?? (install() ? onPath() : undefined)
  if (found !== undefined) return found
  throw new Error(
    "there is no chromium on the PATH: install it (apt-get install chromium), name one with CHROMIUM=/path/to/it, or set BROWSER=off to go without"
  )
}

const onPath = (): string | undefined =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "chromium"))
    .find((file) => existsSync(file))

/** Whether Debian's package is here now. */
const install = (): boolean => {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return false
  console.warn("installing Debian's chromium, once")
  const apt = (...args: ReadonlyArray<string>) =>
    execFileSync("apt-get", ["-qq", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
    })
  try {
    apt("update")
    apt("install", "--yes", "--no-install-recommends", "chromium")
    return true
  } catch {
    return false
  }
}
