/** What becomes of a program that is made one file, as bundlers, Next and hosts of functions make it: nothing lies beside it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { buildSync, type Format } from "esbuild"
import manifest from "../package.json" with { type: "json" }
import { type RedisServer, redisIsOff, startRedis } from "./support/redis.js"

const root = fileURLToPath(new URL("..", import.meta.url))

const entries = Object.values(manifest.exports)
  .flatMap((entry) => (typeof entry === "object" && entry !== null ? [entry.default] : []))
  .map((file) => file.replace("./dist/", "src/").replace(/js$/, "ts"))

describe("a program that is bundled", () => {
  it.each(entries)("%s needs no file and no place of its own", (entry) => {
    const { warnings, outputFiles } = buildSync({
      entryPoints: [`${root}${entry}`],
      outfile: "out.cjs",
      bundle: true,
      write: false,
      platform: "node",
      format: "cjs",
      packages: "external",
      logLevel: "silent"
    })
    // There is no `import.meta` in such a file.
    expect(warnings.map(({ text, location }) => `${text} ${location?.file}`)).toEqual([])
    expect(outputFiles[0]?.text).not.toMatch(/require\("(node:)?fs(\/promises)?"\)/)
  })
})

describe.skipIf(redisIsOff())("a program over Redis that is bundled", () => {
  let redis: RedisServer
  let folder: string
  beforeAll(async () => {
    redis = await startRedis()
    folder = mkdtempSync(join(tmpdir(), "presence-bundled-"))
  })
  afterAll(async () => {
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it.each<[Format]>([["cjs"], ["esm"]])("tracks and lists as %s, away from what it was made of", async (format) => {
    const outfile = join(folder, format === "cjs" ? "program.cjs" : "program.mjs")
    buildSync({
      stdin: {
        contents: `
          import { createPresence } from "./src/node/index.js"
          export const list = async (url) => {
            const presence = await createPresence({ redis: { url } })
            await presence.track("room", "alice", { from: "${format}" }, { ttl: Infinity })
            const list = await presence.list("room")
            await presence.close()
            return list
          }`,
        resolveDir: root
      },
      outfile,
      bundle: true,
      platform: "node",
      format,
      // What is no ESM asks for what Node has.
      banner:
        format === "cjs"
          ? {}
          : { js: 'import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)' },
      logLevel: "error"
    })
    const { list } = await import(/* @vite-ignore */ outfile)
    expect(await list(redis.url)).toEqual([{ key: "alice", metas: [{ from: format }] }])
  })
})
