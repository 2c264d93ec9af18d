/**
 * Which web pages may talk to this server, by the `Origin` header that a browser sends with every cross-origin request.
 *
 * With a list: exactly those. Without one: pages of this machine, on any port, and, only when the server listens beyond
 * loopback, pages of the host that the request names. So no site on the web can reach a developer's server. A request
 * without the header gets in, unless a browser says by `Sec-Fetch-Site` that another site's page makes it, as an image, a
 * frame or a link does. Where only this machine is listened to, its `Host` must be a name of this machine, too, since a site
 * whose name is made to resolve to 127.0.0.1 asks without an origin.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Option } from "effect"
import { matcher, readOrigins } from "./originList.js"

type Headers = HttpServerRequest.HttpServerRequest["headers"]

export type IsAllowed = (request: HttpServerRequest.HttpServerRequest) => boolean

/** The server in the context, if there is one, tells whether it listens beyond loopback. An entry that can match nothing is a defect. */
export const make = (allowed: ReadonlyArray<string> | undefined): Effect.Effect<IsAllowed> =>
  Effect.map(Effect.serviceOption(HttpServer.HttpServer), (server): IsAllowed => {
    const origins = readOrigins(allowed)
    const listed = origins === undefined ? undefined : matcher(origins)
    // Asked anew each time: routes may be on a server before it listens.
    const isOnlyLoopback = () =>
      Option.exists(server, ({ address }) => address._tag === "TcpAddress" && isLoopback(address.hostname))
    return ({ headers }) => {
      const { origin, host } = headers
      if (origin === undefined) {
        return !isOfAnotherSite(headers) && (listed !== undefined || namesLoopback(host) || !isOnlyLoopback())
      }
      if (listed !== undefined) return listed(origin)
      const url = URL.canParse(origin) ? new URL(origin) : undefined
      if (url === undefined || url.origin !== origin) return false
      return isLoopback(url.hostname) || (url.host === host?.toLowerCase() && !isOnlyLoopback())
    }
  })

/** What is told to a request that is not allowed. */
export const whyNot: (request: Pick<HttpServerRequest.HttpServerRequest, "headers">) => string = ({ headers }) =>
  isOfAnotherSite(headers)
    ? "a page of another site asks without saying which: fetch and EventSource say so, an image, a frame and a link do not"
    : headers.origin === undefined
      ? `the host ${headers.host} is not this machine's; who may connect by another name is said by allowedOrigins`
      : `the origin ${headers.origin} is not allowed`

/** Whoever could read nothing of an answer could join by asking all the same, with the cookies of who looks at the page. */
const isOfAnotherSite = ({ origin, "sec-fetch-site": site }: Headers): boolean =>
  origin === undefined && (site === "cross-site" || site === "same-site")

const namesLoopback = (host: string | undefined): boolean =>
  host === undefined || isLoopback(host.toLowerCase().replace(/:\d+$/, ""))

/** Whether a host is this machine's own. IPv6 with or without brackets. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host)
