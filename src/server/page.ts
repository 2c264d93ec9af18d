/**
 * The page at `/`: one document with its style and script inside, and Phoenix's client as its package has it, at a path
 * that names its content, so that a browser fetches it once. The policy names both by their hash, lets scripts come
 * from this server only and allows nothing else, so what people call themselves cannot become code.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import type { PathInput } from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"

export interface Page {
  readonly document: HttpServerResponse.HttpServerResponse
  /** Phoenix's client. */
  readonly client: { readonly path: PathInput; readonly script: HttpServerResponse.HttpServerResponse }
}

/** Read once, when the server starts. */
export const makePage = (): Page => {
  const style = read("page.css")
  const script = SCRIPTS.map(read).join("\n")
  const client = readFileSync(join(createRequire(import.meta.url).resolve("phoenix"), "../phoenix.min.js"), "utf8")
  const clientName = `phoenix-${sha256("hex", client).slice(0, 12)}.js`
  // As functions, since `$` means something in a replacement.
  const html = read("page.html")
    .replace("phoenix.js", clientName)
    .replace("/* page.css */", () => style)
    .replace("/* page.js */", () => script)
  const document = HttpServerResponse.text(html, {
    contentType: "text/html; charset=utf-8",
    headers: {
      "cache-control": "no-cache",
      "content-security-policy": [
        "default-src 'none'",
        `style-src 'sha256-${sha256("base64", style)}'`,
        `script-src 'self' 'sha256-${sha256("base64", script)}'`,
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'"
      ].join("; "),
      // The address may hold a token.
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff"
    }
  })
  return {
    document,
    client: {
      path: `/${clientName}`,
      script: HttpServerResponse.text(client, {
        contentType: "text/javascript; charset=utf-8",
        headers: { "cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff" }
      })
    }
  }
}

/** In this order, as the last one uses the others. */
const SCRIPTS = ["colors.js", "chips.js", "speak.js", "page.js"]

const read = (name: string): string => readFileSync(new URL(`./page/${name}`, import.meta.url), "utf8")

const sha256 = (encoding: "hex" | "base64", text: string): string => createHash("sha256").update(text).digest(encoding)
