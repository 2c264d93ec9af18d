/**
 * Mutants of the scripts, which Stryker does not know: one line of one script is another, and the scripts' own suite is
 * played against a real server, for each mutant anew.
 */
import * as fs from "node:fs"
import { pathToFileURL } from "node:url"
import { bundle } from "./bundle.js"
import { Harness } from "./harness.js"
import { type Mutant, Outcome } from "./outcome.js"
import { isNoticed } from "./trial.js"

const SCRIPTS = ["apply", "beat", "read", "get", "counts", "having", "where"].map(
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

/** How long a test may take that waits for what a mutant never does, in ms, beside ten times what it takes else. */
const STUCK = 5_000

/** Whoever runs it notices. */
const FAILING = "#!lua\nreturn redis.error_reply('ERR no such script')"

export const mutateScripts = async (root: string, isWanted: (mutant: Mutant) => boolean): Promise<Outcome> => {
  const evaluate = await bundle(root, [SUITE])
  // Without a mutant all must hold.
  const calm = evaluate()
  const took: Array<number> = []
  await calm.begin()
  for (const test of calm.tests) {
    const began = performance.now()
    await Harness.play(test)
    took.push(performance.now() - began)
  }
  await calm.end()

  /** Whether any of the tests fails with a text in the place of a script's. */
  const isSeen = (file: string, text: string, tests: Array<number>): Promise<boolean> => {
    const path = pathToFileURL(`${root}${file}`).href
    const readFileSync = (name: fs.PathOrFileDescriptor, encoding: BufferEncoding): string =>
      String(name) === path ? text : fs.readFileSync(name, encoding)
    return isNoticed({
      evaluate: () => evaluate({ "node:fs": { ...fs, readFileSync } }),
      tests,
      atMost: (test) => STUCK + 10 * (took[test] ?? 0)
    })
  }

  const outcome = new Outcome()
  for (const file of SCRIPTS) {
    const source = fs.readFileSync(`${root}${file}`, "utf8")
    const mutants = mutantsOf(file, source).filter(isWanted)
    if (mutants.length === 0) continue
    const running: Array<number> = []
    for (const test of took.keys()) if (await isSeen(file, FAILING, [test])) running.push(test)
    for (const mutant of mutants) {
      const lines = source.split("\n").with(mutant.at - 1, mutant.becomes)
      outcome.add(mutant, await isSeen(file, lines.join("\n"), running))
    }
  }
  return outcome
}
