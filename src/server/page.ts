/**
 * The page at `/`: one document with its style and script inside, so that it is there with one request. The policy
 * names both by their hash and allows nothing else, so what people call themselves cannot become code.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"

const read = (name: string): string => readFileSync(new URL(`./page/${name}`, import.meta.url), "utf8")

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** Read once, when the server starts. */
export const page = (): HttpServerResponse.HttpServerResponse => {
  const style = read("page.css")
  const script = read("page.js")
  // As functions, since `$` means something in a replacement.
  const html = read("page.html")
    .replace("/* page.css */", () => style)
    .replace("/* page.js */", () => script)
  return HttpServerResponse.text(html, {
    contentType: "text/html; charset=utf-8",
    headers: {
      "cache-control": "no-cache",
      "content-security-policy": [
        "default-src 'none'",
        `style-src ${hash(style)}`,
        `script-src ${hash(script)}`,
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'"
      ].join("; "),
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff"
    }
  })
}
