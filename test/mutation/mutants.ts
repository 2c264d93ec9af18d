/**
 * Mutants of sources, all of them in one bundle with their suites, and which of them no test notices.
 *
 * Stryker makes the mutants. Its own way to run them begins the test runner anew for each; here the bundle is evaluated
 * anew, which takes milliseconds.
 */
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { build, type Plugin } from "esbuild"
import fc from "fast-check"
import { Harness } from "./harness.js"
import { type Mutant, type Outcome, outcomeOf } from "./outcome.js"
import type { MutatedRoom } from "./rooms.js"
import { instrument } from "./stryker.js"

/** What the mutated sources say while they run, and are told. */
interface Switch {
  activeMutant?: string | undefined
  currentTestId?: string | undefined
  mutantCoverage?: { readonly static: Hits; readonly perTest: Record<string, Hits> } | undefined
  /** A mutant that runs more often than this never ends. */
  hitLimit?: number | undefined
  hitCount?: number | undefined
}

type Hits = Record<string, number>

const mutation: Switch = {}
Object.assign(globalThis, { __stryker__: mutation })

/** How long a test may take that waits for what a mutant never does, in ms. */
const STUCK = 20_000
const wait = setTimeout

/** What suites take the test runner from. */
const RUNNER = "@effect/vitest"

// The same in each run; and that a random test fails is enough, with however much.
process.env.FC_SEED ??= "1"
fc.configureGlobal({ endOnFailure: true })

export const mutate = async (root: string, { sources, suites }: MutatedRoom): Promise<Outcome> => {
  const { contents, mutants } = await instrument(root, sources)
  const load: Plugin = {
    name: "mutants",
    setup: ({ onLoad }) => {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const text = contents.get(path)
        return text === undefined ? undefined : { contents: text, loader: "ts" }
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
    define: { "import.meta.url": JSON.stringify(pathToFileURL(`${root}src/redis/protocol/scripts.ts`).href) },
    plugins: [load]
  })
  const needed = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  const modules = new Map<string, unknown>()
  for (const name of new Set(needed)) if (name !== RUNNER) modules.set(name, await import(name))
  const begin = new Function("require", "module", "exports", outputFiles[0]?.text ?? "")

  const evaluate = (): Harness => {
    const harness = new Harness()
    const { module } = harness
    const require = (name: string): unknown => (name === RUNNER ? module : modules.get(name))
    begin(require, { exports: {} }, {})
    return harness
  }

  // Without a mutant all must hold; and it is seen which of them each test runs.
  const calm = evaluate()
  if (calm.tests.length === 0) throw new Error("there are no tests")
  for (const [id, test] of calm.tests.entries()) {
    mutation.currentTestId = String(id)
    await Harness.play(test)
  }
  const { static: atStart = {}, perTest = {} } = mutation.mutantCoverage ?? {}
  mutation.currentTestId = undefined

  const isNoticed = async (id: string): Promise<boolean> => {
    const covering = calm.tests.flatMap((_, test) => (perTest[test]?.[id] ? [test] : []))
    const tests = atStart[id] ? [...calm.tests.keys()] : covering
    if (tests.length === 0) return false
    const hits = Math.max(atStart[id] ?? 0, ...tests.map((test) => perTest[test]?.[id] ?? 0))
    let failed = false
    const onFailure = (): void => {
      failed = true
    }
    process.on("unhandledRejection", onFailure)
    mutation.activeMutant = id
    mutation.hitLimit = 100 * hits + 1_000
    try {
      const { tests: all } = evaluate()
      for (const index of tests) {
        mutation.hitCount = 0
        const test = all[index]
        if (test === undefined) return true
        const stuck = new Promise((_, reject) => wait(() => reject(new Error("stuck")), STUCK).unref())
        await Promise.race([Harness.play(test), stuck])
        if (failed) return true
      }
      await new Promise((resolve) => setImmediate(resolve))
      return failed
    } catch {
      return true
    } finally {
      mutation.activeMutant = undefined
      process.off("unhandledRejection", onFailure)
    }
  }

  const all: Array<readonly [Mutant, boolean]> = []
  for (const { id, file, at, becomes } of mutants) {
    const line = (readFileSync(`${root}${file}`, "utf8").split("\n")[at - 1] ?? "").trim()
    all.push([{ file, at, line, becomes }, await isNoticed(id)])
    if (all.length % 50 === 0) console.log(`${all.length} of ${mutants.length}`)
  }
  return outcomeOf(all)
}
