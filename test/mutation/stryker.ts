/** Sources with all mutants in them, of which one at a time can be switched on: what Stryker's instrumenter makes. */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, readFileSync } from "node:fs"

export interface Instrumented {
  /** By the file's absolute path. */
  readonly contents: ReadonlyMap<string, string>
  readonly mutants: ReadonlyArray<{
    readonly id: string
    /** Relative to the root. */
    readonly file: string
    readonly at: number
    readonly becomes: string
  }>
}

/** Where it is installed: not here, where whatever reads all tests would read it. */
const INSTALLED = new URL("../../node_modules/.cache/mutation/", import.meta.url)
const STRYKER = new URL("node_modules/@stryker-mutator/instrumenter/dist/src/index.js", INSTALLED).href

/** What is used of `@stryker-mutator/instrumenter`, which is not there before somebody mutates. */
interface Stryker {
  readonly Instrumenter: new (
    log: typeof logger
  ) => {
    readonly instrument: (
      files: ReadonlyArray<{ readonly name: string; readonly mutate: boolean; readonly content: string }>,
      options: { readonly plugins: null; readonly excludedMutations: readonly []; readonly ignorers: readonly [] }
    ) => Promise<{
      readonly files: ReadonlyArray<{ readonly name: string; readonly content: string }>
      readonly mutants: ReadonlyArray<{
        readonly id: string
        readonly fileName: string
        readonly location: { readonly start: { readonly line: number } }
        readonly replacement: string
      }>
    }>
  }
}

const nothing = (): void => {}
const logger = {
  ...{ isTraceEnabled: () => false, isDebugEnabled: () => false, isInfoEnabled: () => false },
  ...{ isWarnEnabled: () => true, isErrorEnabled: () => true, isFatalEnabled: () => true },
  ...{ trace: nothing, debug: nothing, info: nothing, warn: console.warn, error: console.error, fatal: console.error }
}

/** With a package of its own, so that nobody installs it who does not need it. */
const install = (): void => {
  if (existsSync(new URL(STRYKER))) return
  for (const name of ["package.json", "package-lock.json"]) {
    cpSync(new URL(name, import.meta.url), new URL(name, INSTALLED))
  }
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: INSTALLED, stdio: "inherit" })
  if (status !== 0) throw new Error("what makes mutants cannot be installed")
}

export const instrument = async (root: string, sources: ReadonlyArray<string>): Promise<Instrumented> => {
  install()
  const { Instrumenter } = (await import(STRYKER)) as Stryker
  const files = sources.map((name) => ({ name, mutate: true, content: readFileSync(`${root}${name}`, "utf8") }))
  const options = { plugins: null, excludedMutations: [], ignorers: [] } as const
  const instrumented = await new Instrumenter(logger).instrument(files, options)
  return {
    contents: new Map(instrumented.files.map(({ name, content }) => [`${root}${name}`, content])),
    mutants: instrumented.mutants.map(({ id, fileName, location, replacement }) => ({
      id,
      file: fileName,
      at: location.start.line + 1,
      becomes: replacement
    }))
  }
}
