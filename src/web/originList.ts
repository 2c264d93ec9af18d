/**
 * The origins that somebody lists, each whole as browsers send it, of any scheme: `https://example.com`,
 * `http://localhost:3000`, `capacitor://localhost`, `chrome-extension://abcdef`. `https://*.example.com` are all subdomains
 * of it, however deep, and not `example.com` itself. `file://` and `null` are what browsers send for pages from files; `null`
 * lets in every page that is shown without an origin, such as one in a sandboxed frame of any site.
 */
import { show } from "../internal/input/names.js"
import { InvalidOption } from "../PresenceError.js"

/** What browsers send for pages that are files, and for pages without an origin: any, of whoever puts one into a frame. */
const OPAQUE = new Set(["file://", "null"])

/** Why an entry of the list is none, if it is none. */
export const refusal = (entry: string): string | undefined => {
  if (OPAQUE.has(entry)) return undefined
  const [, scheme = "", host] = /^([a-z][a-z\d+.-]*):\/\/([^/?#@\s]+)$/.exec(entry) ?? []
  if (host === undefined)
    return "is no origin: a scheme, a host and perhaps a port, and nothing behind them, https://example.com"
  const plain = entry.replace("://*.", "://")
  if (plain.includes("*"))
    return "may have one *, in the place of all that stands before a domain: https://*.example.com"
  if (scheme !== "http" && scheme !== "https") {
    return plain === entry ? undefined : "may have a * only with http and https"
  }
  const whole = URL.canParse(plain) ? new URL(plain).origin : undefined
  if (whole === plain) return undefined
  return whole === undefined ? "is no origin" : `never matches: browsers send ${whole}`
}

/** The list as somebody gives it. Throws `InvalidOption`. */
export const readOrigins = (origins: ReadonlyArray<string> | undefined): ReadonlyArray<string> | undefined => {
  if (origins === undefined) return origins
  const refuse = (value: string) => new InvalidOption({ option: "allowedOrigins", value, allowed: "whole origins" })
  if (!Array.isArray(origins)) throw refuse(`${show(origins)} and no list`)
  for (const origin of origins) {
    const wrong = typeof origin === "string" ? refusal(origin) : "is no text"
    if (wrong !== undefined) throw refuse(`${show(origin)}, which ${wrong}`)
  }
  return origins
}

/** Which origins a list of such entries lets in. */
export const matcher = (allowed: ReadonlyArray<string>): ((origin: string) => boolean) => {
  const exactly = new Set(allowed)
  const wild = allowed.flatMap((entry) => {
    const [scheme, domain] = entry.split("://*.")
    return domain === undefined ? [] : [{ start: `${scheme}://`, end: `.${domain}` }]
  })
  return (origin) =>
    exactly.has(origin) ||
    wild.some(
      ({ start, end }) =>
        origin.length > start.length + end.length &&
        origin.startsWith(start) &&
        origin.endsWith(end) &&
        isOrigin(origin)
    )
}

/** Whether it is written as browsers write one, so that nothing hides before the domain. */
const isOrigin = (origin: string): boolean => URL.canParse(origin) && new URL(origin).origin === origin
