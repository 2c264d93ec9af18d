import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { LongestFirst } from "./test/support/longestFirst.js"

const src = fileURLToPath(new URL("src", import.meta.url))

export default defineConfig({
  // `await using` is not understood by Node 20.
  esbuild: { target: "node20" },
  resolve: {
    // The package under its own name is its sources here, as in tsconfig's `paths`; a program that is run has `dist`.
    alias: [
      { find: /^effect-presence$/, replacement: `${src}/index.ts` },
      { find: /^effect-presence\/(\w+)$/, replacement: `${src}/$1/index.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    globals: false,
    passWithNoTests: false,
    // Far more than any test takes, and twice what one of its waits may: they guard against hanging, on any machine.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Phoenix's clients look for a browser once, when they are loaded, by whichever file that is.
    setupFiles: ["xhr", "turns"].map((name) => fileURLToPath(new URL(`test/support/${name}.ts`, import.meta.url))),
    globalSetup: fileURLToPath(new URL("test/support/programs.ts", import.meta.url)),
    sequence: { sequencer: LongestFirst },
    // Real processes, so that tests of memory can ask for a garbage collection; more than a small machine has processors,
    // as many files wait for processes that they start, and for leases that run out.
    pool: "forks",
    // What files import is loaded once in each process: loading it for each of them is half of the suites' work.
    // As many at the least: one that is ended for having nothing to do may just have been given something.
    poolOptions: { forks: { minForks: 5, maxForks: 5, isolate: false, execArgv: ["--expose-gc"] } }
  }
})
