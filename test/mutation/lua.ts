/**
 * Mutants of the scripts, which Stryker does not know: one line of one script is another, and the scripts' own suite is
 * played against a real server, for each mutant anew.
 */
import * as fs from "node:fs"
import { bundle } from "./bundle.js"
import { Harness } from "./harness.js"
import { type Mutant, Outcome } from "./outcome.js"
import { isNoticed } from "./trial.js"

const SCRIPTS = ["apply", "beat", "read", "get", "counts", "having", "where"].map(
  (name) => `src/redis/protocol/scripts/${name}.ts`
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

/** A script's module: Lua, whose lines are the module's. */
const MODULE = /^export const (\w+) = String\.raw`([^`]*)`\n$/

/** How long a test may take that waits for what a mutant never does, in ms, beside ten times what it takes else. */
const STUCK = 5_000

/** Whoever runs it notices. */
const FAILING = "#!lua\nreturn redis.error_reply('ERR no such script')"

export const mutateScripts = async (root: string, isWanted: (mutant: Mutant) => boolean): Promise<Outcome> => {
  const texts = new Map<string, string>()
  /** Each asks for its text when it is evaluated. */
  const modules = new Map<string, string>()
  for (const file of SCRIPTS) {
    const [, name, text] = MODULE.exec(fs.readFileSync(`${root}${file}`, "utf8")) ?? []
    if (name === undefined || text === undefined) throw new Error(`${file} is no script`)
    texts.set(file, text)
    const asking = `import { readFileSync } from "node:fs"\nexport const ${name} = readFileSync("${file}", "utf8")`
    modules.set(`${root}${file}`, asking)
  }
  const evaluateAll = await bundle(root, [SUITE], modules)
  const evaluate = (mutated?: string, becomes?: string): Harness => {
    const readFileSync = (name: fs.PathOrFileDescriptor, encoding: BufferEncoding): string =>
      (name === mutated ? becomes : texts.get(String(name))) ?? fs.readFileSync(name, encoding)
    return evaluateAll({ "node:fs": { ...fs, readFileSync } })
  }
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
  const isSeen = (file: string, text: string, tests: Array<number>): Promise<boolean> =>
    isNoticed({ evaluate: () => evaluate(file, text), tests, atMost: (test) => STUCK + 10 * (took[test] ?? 0) })

  const outcome = new Outcome()
  for (const [file, source] of texts) {
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
