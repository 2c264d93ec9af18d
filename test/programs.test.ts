/** What becomes of suites whose programs this machine has not got. */
import { existsSync, mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import { setup } from "./support/programs.js"

/** Node's type lets it be missing, as it is on Windows. */
const userId = (id: number) => vi.spyOn(process as { getuid: () => number }, "getuid").mockReturnValue(id)

const OFF = ["REDIS", "BROWSER", "NGINX", "HAPROXY"]
const NAMED = ["REDIS_SERVER", "CHROMIUM", "NGINX_SERVER", "HAPROXY_SERVER"]

describe("where no program is that a suite starts, and nobody is root", () => {
  let empty: string
  beforeEach(() => {
    empty = mkdtempSync(join(tmpdir(), "presence-path-"))
    for (const name of ["CI", ...OFF, ...NAMED]) vi.stubEnv(name, undefined)
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
      "SKIPPED: what needs a real Redis and what looks at pages and what stands behind nginx and what stands behind HAProxy. To run it, install redis-server and chromium and nginx and haproxy (apt-get install redis-server chromium nginx haproxy), or say where with REDIS_SERVER=/path/to/it and CHROMIUM=/path/to/it and NGINX_SERVER=/path/to/it and HAPROXY_SERVER=/path/to/it"
    ])
    expect(OFF.map((name) => process.env[name])).toEqual(OFF.map(() => "off"))
  })

  it("what is named, or was asked to be left out, is not missed", () => {
    for (const name of NAMED) if (name !== "CHROMIUM") vi.stubEnv(name, "/opt/it")
    vi.stubEnv("BROWSER", "off")
    expect(said()).toEqual(["SKIPPED: what looks at pages. To run it, unset BROWSER=off"])
    expect(process.env.REDIS).toBeUndefined()
  })

  it("in CI the run fails", () => {
    vi.stubEnv("CI", "true")
    expect(setup).toThrow(
      "in CI all tests run, and redis-server and chromium and nginx and haproxy cannot be found: install redis-server"
    )
    expect(process.env.REDIS).toBeUndefined()
  })

  it.runIf(existsSync("/usr/bin/apt-get"))("root on Debian has them installed when they are asked for", () => {
    userId(0)
    expect(said()).toEqual([])
  })
})
