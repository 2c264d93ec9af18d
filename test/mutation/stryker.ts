/** Sources with all mutants in them, of which one at a time can be switched on: what Stryker's instrumenter makes. */
import { readFileSync } from "node:fs"

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

const STRYKER = new URL("node_modules/@stryker-mutator/instrumenter/dist/src/index.js", import.meta.url).href

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

export const instrument = async (root: string, sources: ReadonlyArray<string>): Promise<Instrumented> => {
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
