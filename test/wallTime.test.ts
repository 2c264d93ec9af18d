/** No test fails because a machine is slow: none asserts how long something took, but that it did not hang. */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"

const tests = fileURLToPath(new URL(".", import.meta.url))

/** An assertion on what a clock says, or on what was measured by one. */
const ELAPSED =
  /expect\(.*\b(performance\.now|Date\.now|millis|elapsed|slowest|burst|killed|started)\b.*\)\.to(Be|Equal)/

/** A minute or more guards against hanging. */
const GUARD = /\.toBeLessThan\((6\d|[7-9]\d|\d{3,})_000\)/

/** What may stand, each by its whole line: no slowness makes it false. */
const allowed: ReadonlyArray<readonly [file: string, line: string, why: string]> = [
  ["socket/hostile.test.ts", "expect(millis).toBeGreaterThanOrEqual(490)", "the test's clock"],
  [
    "socket/hostile.test.ts",
    "expect(performance.now() - started).toBeGreaterThan(450)",
    "no earlier than the rate allows"
  ],
  [
    "redis/protocol/scripts.test.ts",
    'expect(Number(await port.command("ZSCORE", [keys.leases, "r"])) - Date.now()).toBeGreaterThan(LEASE - 60_000)',
    "a minute's allowance"
  ]
]

const lines = readdirSync(tests, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && entry.name !== "wallTime.test.ts")
  .flatMap((entry) => {
    const path = join(entry.parentPath, entry.name)
    const file = relative(tests, path)
    const text = readFileSync(path, "utf8")
    return text.split("\n").map((line, i) => ({ at: `${file}:${i + 1}`, file, line: line.trim() }))
  })

it("no test waits for only as long as Vitest does unless it is told, which is a second", () => {
  // One that goes on on the next lines says how long at its end.
  const waits = lines.filter(({ line }) => /\bvi\.wait(For|Until)\(.*[^({]$/.test(line))
  expect(waits.filter(({ line }) => !/\b\d+_000\b/.test(line)).map(({ at }) => at)).toEqual([])
  expect(waits.length).toBeGreaterThan(4)
})

it("no test asserts how long something took", () => {
  const found = lines.filter(({ line }) => ELAPSED.test(line))
  const asserted = found.filter(
    ({ file, line }) => !GUARD.test(line) && !allowed.some(([where, text]) => file === where && line === text)
  )
  expect(asserted.map(({ at, line }) => `${at} ${line}`)).toEqual([])
  // It sees the guards, so it would see others.
  expect(found.length).toBeGreaterThan(4)
})
