/** Durations go by the monotonic clock: a wall clock that is set, or steps, ends and keeps nobody. */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"

const src = fileURLToPath(new URL("../src", import.meta.url))

const WALL_CLOCK = /\bDate\.now\b|currentTimeMillis|new Date\(|\bDateTime\.(unsafeNow|now)\b|performance\.timeOrigin/i

/** Where the wall clock is right: what is said there is a date. Each with the line, so that a file has no licence. */
const dates: ReadonlyArray<readonly [file: string, line: string, why: string]> = [
  ["client/tokens.ts", "() => Date.now() < until", "when a token ends"],
  ["client/tokens.ts", "const until = Date.now() + early(this.end)", "when a token ends"],
  ["client/tokens.ts", "const left = end - Date.now()", "when a token ends"],
  ["client/tokens.ts", "const left = exp * 1_000 - Date.now()", "when a token ends"],
  ["client/tokens.ts", "return Date.now() + (left", "when a token ends"],
  [
    "client/wake.ts",
    "looking = setTimeout(look, PATIENCE, Date.now())",
    "what goes on while a machine sleeps, which other clocks may not"
  ],
  ["client/wake.ts", "const look = (before = Date.now()): void => {", "the same"],
  ["client/wake.ts", "if (Date.now() - before > 2 * PATIENCE) wake()", "the same"],
  ["http/PresenceHttp.ts", "const ended = whyEnded(grant, yield* Clock.currentTimeMillis)", "when a grant ends"],
  ["internal/presence.ts", "const since = (yield* Effect.clock).unsafeCurrentTimeMillis()", "health's `since`"],
  ["redis/write/membership.ts", "let since = clock.unsafeCurrentTimeMillis()", "health's `since`"],
  ["redis/write/membership.ts", "since = clock.unsafeCurrentTimeMillis()", "health's `since`"],
  ["rpc/authorization.ts", "const ended = whyEnded(grant, yield* Clock.currentTimeMillis)", "when a grant ends"],
  ["server/page/page.js", "const now = new Date()", "the time of day that is shown"],
  ["socket/PresenceSocket.ts", "const date = () => clock.unsafeCurrentTimeMillis()", "when a grant ends"],
  ["web/atTime.ts", "Effect.flatMap(Clock.currentTimeMillis, (now) =>", "waiting for a date"],
  ["web/tokens.ts", "Effect.flatMap(Clock.currentTimeMillis, (now) =>", "when a token ends"],
  ["web/tokens.ts", "currentDate: new Date(now)", "when a token ends"]
]

it("nothing in the sources reads the wall clock but for a date", () => {
  const found = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name)
      const file = relative(src, path)
      return readFileSync(path, "utf8")
        .split("\n")
        .flatMap((line, i) => (WALL_CLOCK.test(line) ? [{ at: `${file}:${i + 1}`, file, line: line.trim() }] : []))
    })
  const durations = found.filter(
    ({ file, line }) => !dates.some(([allowed, text]) => file === allowed && line.includes(text))
  )
  expect(durations.map(({ at, line }) => `${at} ${line}`)).toEqual([])
  // It looks where the dates are, so it would find others.
  expect(found.length).toBeGreaterThan(5)
})
