/**
 * Suites and what they test in one bundle, which is evaluated anew for each mutant: that takes milliseconds, where a test
 * runner would begin anew.
 */
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { build, type Plugin } from "esbuild"
import fc from "fast-check"
import { Harness } from "./harness.js"

/** What suites take the test runner from. */
const RUNNER = "@effect/vitest"

// The same in each run; and that a random test fails is enough, with however much.
process.env.FC_SEED ??= "1"
fc.configureGlobal({ endOnFailure: true, seed: Number(process.env.FC_SEED) })

/** The suites' tests, with other modules in the place of some. */
export type Evaluate = (instead?: Readonly<Record<string, unknown>>) => Harness

/** With what files are to hold instead of what they do, by their absolute paths. */
export const bundle = async (
  root: string,
  suites: ReadonlyArray<string>,
  contents: ReadonlyMap<string, string> = new Map()
): Promise<Evaluate> => {
  const load: Plugin = {
    name: "sources",
    setup: ({ onLoad }) => {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = contents.get(path) ?? readFileSync(path, "utf8")
        const url = JSON.stringify(pathToFileURL(path).href)
        return { contents: text.replaceAll("import.meta.url", url), loader: "ts" }
      })
    }
  }
  const { outputFiles, metafile } = await build({
    stdin: { contents: suites.map((suite) => `import "./${suite}"`).join("\n"), resolveDir: root },
    bundle: true,
    write: false,
    metafile: true,
    format: "cjs",
    platform: "node",
    packages: "external",
    // The suites have no exports, and effects alone.
    ignoreAnnotations: true,
    plugins: [load]
  })
  const needed = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  const modules: Record<string, unknown> = {}
  for (const name of new Set(needed)) if (name !== RUNNER) modules[name] = await import(name)
  const begin = new Function("require", "module", "exports", outputFiles[0]?.text ?? "")
  return (instead = {}) => {
    const harness = new Harness()
    const all: Readonly<Record<string, unknown>> = { ...modules, ...instead, [RUNNER]: harness.module }
    begin((name: string): unknown => all[name], { exports: {} }, {})
    if (harness.tests.length === 0) throw new Error("there are no tests")
    return harness
  }
}
