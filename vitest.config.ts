import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globals: false,
    passWithNoTests: false,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Real processes, so that tests of memory can ask for a garbage collection.
    pool: "forks",
    poolOptions: { forks: { maxForks: 2, execArgv: ["--expose-gc"] } }
  }
})
