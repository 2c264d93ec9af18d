/**
 * A program of several hundred files as one: it starts in a fraction of the time, and most tests that start programs do
 * little else.
 */
import { cpSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Makes one file of a module and all that it imports, and puts beside it what those read. Types are not looked at. */
export const bundle = (entry: string, file: string): void => {
  buildSync({
    entryPoints: [`${root}${entry}`],
    outfile: file,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    // For what is no ESM and asks for what Node has.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"\nconst require = requireOf(import.meta.url)'
    },
    logLevel: "error"
  })
  cpSync(`${root}src/server/page`, `${dirname(file)}/page`, { recursive: true })
}
