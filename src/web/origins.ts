/**
 * Which web pages may talk to this server, by the `Origin` header that a browser sends with every cross-origin request.
 *
 * With a list: exactly those. Without one: pages of this machine, on any port, and, only when the server listens beyond
 * loopback, pages of the host that the request names. So no site on the web can reach a developer's server. A request
 * without the header is no other page's and gets in; but where only this machine is listened to, its `Host` must be a name of
 * this machine, since a site whose name is made to resolve to 127.0.0.1 asks without one.
 *
 * An entry of the list is a whole origin as browsers send it, of any scheme: `https://example.com`,
 * `http://localhost:3000`, `capacitor://localhost`, `chrome-extension://abcdef`. `https://*.example.com` are all subdomains
 * of it, however deep, and not `example.com` itself.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Option } from "effect"

export type IsAllowed = (request: HttpServerRequest.HttpServerRequest) => boolean

/** The server in the context, if there is one, tells whether it listens beyond loopback. An entry that can match nothing is a defect. */
export const make = (allowed: ReadonlyArray<string> | undefined): Effect.Effect<IsAllowed> =>
  Effect.flatMap(Effect.serviceOption(HttpServer.HttpServer), (server) => {
    for (const entry of allowed ?? []) {
      const wrong = refusal(entry)
      if (wrong !== undefined) return Effect.dieMessage(`allowedOrigins: ${JSON.stringify(entry)} ${wrong}`)
    }
    const listed = allowed === undefined ? undefined : matcher(allowed)
    const onlyLoopback = Option.exists(
      server,
      ({ address }) => address._tag === "TcpAddress" && isLoopback(address.hostname)
    )
    return Effect.succeed<IsAllowed>(({ headers }) => {
      const { origin, host } = headers
      if (origin === undefined) return !onlyLoopback || listed !== undefined || namesLoopback(host)
      if (listed !== undefined) return listed(origin)
      const url = URL.canParse(origin) ? new URL(origin) : undefined
      if (url === undefined || url.origin !== origin) return false
      return isLoopback(url.hostname) || (!onlyLoopback && url.host === host?.toLowerCase())
    })
  })

/** What is told to a request that is not allowed. */
export const whyNot: (request: Pick<HttpServerRequest.HttpServerRequest, "headers">) => string = ({ headers }) =>
  headers.origin === undefined
    ? `the host ${headers.host} is not this machine's; who may connect by another name is said by allowedOrigins`
    : `the origin ${headers.origin} is not allowed`

/** Why an entry of the list is none, if it is none. */
export const refusal = (entry: string): string | undefined => {
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

const matcher = (allowed: ReadonlyArray<string>): ((origin: string) => boolean) => {
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

const namesLoopback = (host: string | undefined): boolean =>
  host === undefined || isLoopback(host.toLowerCase().replace(/:\d+$/, ""))

/** Whether a host is this machine's own. IPv6 with or without brackets. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host)
