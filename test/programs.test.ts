/** What becomes of suites whose programs this machine has not got. */
import { existsSync, mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { setup } from "./support/programs.js"

/** Node's type lets it be missing, as it is on Windows. */
const userId = (id: number) => vi.spyOn(process as { getuid: () => number }, "getuid").mockReturnValue(id)

describe("where neither Redis nor Chromium is, and nobody is root", () => {
  let empty: string
  beforeEach(() => {
    empty = mkdtempSync(join(tmpdir(), "presence-path-"))
    for (const name of ["CI", "REDIS", "BROWSER", "REDIS_SERVER", "CHROMIUM"]) vi.stubEnv(name, undefined)
    vi.stubEnv("PATH", empty)
    userId(1_000)
  })
  afterEach(() => {
    vi.restoreAllMocks()
    vi.unstubAllEnvs()
    rmdirSync(empty)
  })

  /** What is said when all tests are over. */
  const said = (): ReadonlyArray<string> => {
    const warn = vi.spyOn(console, "warn").mockReturnValue()
    setup()()
    return warn.mock.calls.map(([line]) => String(line).trim())
  }

  it("what needs them is skipped, and one line says so and how to get them", () => {
    expect(said()).toEqual([
      "SKIPPED: what needs a real Redis and what looks at pages. To run it, install redis-server and chromium (apt-get install redis-server chromium), or say where with REDIS_SERVER=/path/to/it and CHROMIUM=/path/to/it"
    ])
    expect([process.env.REDIS, process.env.BROWSER]).toEqual(["off", "off"])
  })

  it("what is named, or was asked to be left out, is not missed", () => {
    vi.stubEnv("REDIS_SERVER", "/opt/redis-server")
    vi.stubEnv("BROWSER", "off")
    expect(said()).toEqual(["SKIPPED: what looks at pages. To run it, unset BROWSER=off"])
    expect(process.env.REDIS).toBeUndefined()
  })

  it("in CI the run fails", () => {
    vi.stubEnv("CI", "true")
    expect(setup).toThrow("in CI all tests run, and redis-server and chromium cannot be found: install redis-server")
    expect(process.env.REDIS).toBeUndefined()
  })

  it.runIf(existsSync("/usr/bin/apt-get"))("root on Debian has them installed when they are asked for", () => {
    userId(0)
    expect(said()).toEqual([])
  })
})
