/**
 * What serves the page: its two files, and presence for it. The page is bundled once, when the server starts.
 */
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { HttpLayerRouter, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { PresenceLive } from "effect-presence"
import { Authorize, PresenceSocket } from "effect-presence/socket"
import { build } from "esbuild"

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const bundle = Effect.promise(async () => {
  const { outputFiles } = await build({
    entryPoints: [file("app.tsx")],
    bundle: true,
    minify: true,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false
  })
  return outputFiles[0]?.text ?? ""
})

const page = Layer.unwrapEffect(
  Effect.map(bundle, (script) =>
    Layer.mergeAll(
      HttpLayerRouter.add("GET", "/", HttpServerResponse.html(readFileSync(file("index.html"), "utf8"))),
      HttpLayerRouter.add("GET", "/app.js", HttpServerResponse.text(script, { contentType: "text/javascript" }))
    )
  )
)

/** Everybody may come in under any name: a page with users checks a token, `Authorize.jwt`. */
const presence = PresenceSocket.layerRouter({ authorize: Authorize.allowAll })

export const server = (port: number) =>
  HttpLayerRouter.serve(Layer.mergeAll(page, presence), { disableListenLog: true, disableLogger: true }).pipe(
    Layer.provide(PresenceLive),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" }))
  )
