/** What becomes of a program that is made one file, as bundlers, Next and hosts of functions make it: nothing lies beside it. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { type BuildOptions, buildSync } from "esbuild"
import manifest from "../package.json" with { type: "json" }
import { type RedisServer, redisIsOff, startRedis } from "./support/redis.js"

const root = fileURLToPath(new URL("..", import.meta.url))

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "presence-bundled-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Makes one file of a program, away from what it is made of, and runs it. */
const run = (contents: string, name: string, options: BuildOptions) => {
  const outfile = join(folder, name)
  buildSync({
    stdin: { contents, resolveDir: root },
    outfile,
    bundle: true,
    platform: "node",
    logLevel: "error",
    ...options
  })
  return import(/* @vite-ignore */ outfile)
}

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

describe("a program with a router of its own that is made small", () => {
  it("keeps nothing of a request with the socket that it became", async () => {
    const { listeners } = await run(
      `
        import { once } from "node:events"
        import { createServer } from "node:http"
        import { HttpLayerRouter } from "@effect/platform"
        import { NodeHttpServer } from "@effect/platform-node"
        import { Effect, Fiber, Layer } from "effect"
        import WebSocket from "ws"
        import { Presence } from "./src/index.js"
        import { Authorize, PresenceSocket } from "./src/socket/index.js"
        export const listeners = async () => {
          const server = createServer()
          const upgraded = once(server, "upgrade")
          const routes = PresenceSocket.layerRouter({ authorize: Authorize.allowAll })
          const fiber = Effect.runFork(Layer.launch(HttpLayerRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provide(Presence.layer()),
            Layer.provide(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 }))
          )))
          await once(server, "listening")
          const client = new WebSocket("ws://127.0.0.1:" + server.address().port + "/socket/websocket?vsn=2.0.0")
          await once(client, "open")
          const [, socket] = await upgraded
          const texts = socket.listeners("close").map(String)
          await Effect.runPromise(Fiber.interrupt(fiber))
          return texts
        }`,
      "small.cjs",
      { format: "cjs", minify: true }
    )
    const texts: ReadonlyArray<string> = await listeners()
    expect(texts.length).toBeGreaterThan(0)
    // The platform's, which would hold the request and its fiber for as long as the socket is open.
    expect(texts.filter((text) => /interrupt/i.test(text))).toEqual([])
  })
})

describe.skipIf(redisIsOff())("a program over Redis that is bundled", () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  const program = `
    import { createPresence } from "./src/node/index.js"
    export const list = async (url) => {
      const presence = await createPresence({ redis: { url } })
      await presence.track("room", "alice", {}, { ttl: Infinity })
      const list = await presence.list("room")
      await presence.close()
      return list
    }`

  it("tracks and lists as no module", async () => {
    const { list } = await run(program, "program.cjs", { format: "cjs" })
    expect(await list(redis.url)).toEqual([{ key: "alice", metas: [{}] }])
  })

  it("and as one, with what those packages ask for that are none", async () => {
    const js = 'import{createRequire}from"node:module";const require=createRequire(import.meta.url)'
    const { list } = await run(program, "program.mjs", { format: "esm", banner: { js } })
    expect(await list(redis.url)).toEqual([{ key: "alice", metas: [{}] }])
  })
})
