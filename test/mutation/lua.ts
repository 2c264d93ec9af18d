/**
 * Mutants of the scripts, which Stryker does not know: a copy of the sources, in which one line of one script is another,
 * and the scripts' own suite against a real server.
 */
import { spawnSync } from "node:child_process"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import type { Mutant, Outcome } from "./outcome.js"
import { outcomeOf } from "./outcome.js"

const SCRIPTS = ["apply", "beat", "read", "get", "counts", "having"].map(
  (name) => `src/redis/protocol/scripts/${name}.lua`
)
const SUITE = "test/redis/protocol/scripts.test.ts"

/** What is found outside of texts, and what it becomes. */
const OPERATORS: ReadonlyArray<readonly [find: RegExp, becomes: ReadonlyArray<string>]> = [
  [/==/g, ["~="]],
  [/~=/g, ["=="]],
  [/<=/g, ["<", ">"]],
  [/>=/g, [">", "<"]],
  [/(?<![<>=~])<(?!=)/g, ["<=", ">="]],
  [/(?<![<>=~])>(?!=)/g, [">=", "<="]],
  [/\band\b/g, ["or"]],
  [/\bor\b/g, ["and"]],
  [/\bnot /g, [""]],
  [/\btrue\b/g, ["false"]],
  [/\bfalse\b/g, ["true"]],
  [/ \+ /g, [" - "]],
  [/ - /g, [" + "]],
  [/\bmath\.max\b/g, ["math.min"]],
  [/\bmath\.min\b/g, ["math.max"]],
  [/\b\d+\b/g, ["7"]]
]

/** A statement that is a line, and can be left out. */
const STATEMENT = /^(call\(|tell\(|[\w.]+\[.*\] = |[\w, ]+ = (?!.*(then|function)))/

/** A line with its texts blanked out, so that nothing is found there. */
const code = (line: string): string =>
  line.replace(/--.*$/, (text) => " ".repeat(text.length)).replace(/'[^']*'/g, (text) => "'".repeat(text.length))

const mutantsOf = (file: string, source: string): ReadonlyArray<Mutant> =>
  source.split("\n").flatMap((text, index) => {
    const line = text.trim()
    const found = code(line)
    const changed = OPERATORS.flatMap(([find, all]) =>
      [...found.matchAll(find)].flatMap(({ index, 0: { length } }) =>
        all.map((becomes) => line.slice(0, index) + becomes + line.slice(index + length))
      )
    )
    const without = STATEMENT.test(found) ? [""] : []
    return [...changed, ...without]
      .filter((becomes) => becomes !== line)
      .map((becomes) => ({ file, at: index + 1, line, becomes }))
  })

export const mutateScripts = (root: string): Outcome => {
  const copy = `${root}build/mutation`
  rmSync(copy, { recursive: true, force: true })
  for (const name of ["src", "test/support", "test/redis", "package.json", "tsconfig.json"]) {
    cpSync(`${root}${name}`, `${copy}/${name}`, { recursive: true })
  }
  writeFileSync(
    `${copy}/vitest.config.ts`,
    `export default { esbuild: { target: "node20" }, test: { include: ["${SUITE}"], testTimeout: 60_000 } }`
  )
  const suites = (): number | null => {
    const { status } = spawnSync("npx", ["vitest", "run", "--bail", "1"], { cwd: copy, timeout: 120_000 })
    return status
  }
  if (suites() !== 0) throw new Error(`${SUITE} fails without any mutant`)
  const all = SCRIPTS.flatMap((file) => {
    const source = readFileSync(`${root}${file}`, "utf8")
    const lines = source.split("\n")
    return mutantsOf(file, source).map((mutant) => {
      writeFileSync(`${copy}/${file}`, lines.with(mutant.at - 1, mutant.becomes).join("\n"))
      const isKilled = suites() !== 0
      writeFileSync(`${copy}/${file}`, source)
      if (!isKilled) console.log(`${file}:${mutant.at}\n  ${mutant.line}\n  ${mutant.becomes}\n`)
      return [mutant, isKilled] as const
    })
  })
  return outcomeOf(all)
}
