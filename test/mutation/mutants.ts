/**
 * Mutants of sources, all of them in one bundle with their suites, and which of them no test notices.
 *
 * Stryker makes the mutants. Its own way to run them begins the test runner anew for each; here the bundle is evaluated
 * anew.
 */
import { readFileSync } from "node:fs"
import { bundle } from "./bundle.js"
import { Harness } from "./harness.js"
import { type Mutant, Outcome } from "./outcome.js"
import type { MutatedRoom } from "./rooms.js"
import { instrument } from "./stryker.js"
import { isNoticed } from "./trial.js"

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
const STUCK = 5_000

export const mutate = async (
  root: string,
  { sources, suites }: MutatedRoom,
  isWanted: (mutant: Mutant) => boolean
): Promise<Outcome> => {
  const { contents, mutants } = await instrument(root, sources)
  const evaluate = await bundle(root, suites, contents)

  // Without a mutant all must hold; and it is seen which of them each test runs, and for how long.
  Object.assign(mutation, { mutantCoverage: undefined })
  const calm = evaluate()
  const took: Array<number> = []
  await calm.begin()
  for (const [id, test] of calm.tests.entries()) {
    mutation.currentTestId = String(id)
    const began = performance.now()
    await Harness.play(test)
    took.push(performance.now() - began)
  }
  await calm.end()
  // The quick ones first: most mutants are noticed by many.
  const quickest = [...took.keys()].sort((a, b) => (took[a] ?? 0) - (took[b] ?? 0))
  const { static: atStart = {}, perTest = {} } = mutation.mutantCoverage ?? {}
  mutation.currentTestId = undefined

  const isSeen = async (id: string): Promise<boolean> => {
    const tests = quickest.filter((test) => atStart[id] || perTest[test]?.[id])
    const hits = Math.max(atStart[id] ?? 0, ...tests.map((test) => perTest[test]?.[id] ?? 0))
    mutation.activeMutant = id
    mutation.hitLimit = 10 * hits + 1_000
    const onTest = (): void => {
      mutation.hitCount = 0
    }
    const noticed = await isNoticed({ evaluate, tests, atMost: () => STUCK, onTest })
    mutation.activeMutant = undefined
    return noticed
  }

  const outcome = new Outcome()
  for (const { id, file, at, becomes } of mutants) {
    const line = (readFileSync(`${root}${file}`, "utf8").split("\n")[at - 1] ?? "").trim()
    const mutant = { file, at, line, becomes }
    if (!isWanted(mutant)) continue
    outcome.add(mutant, await isSeen(id))
  }
  return outcome
}
