/**
 * Which web pages may talk to this server, by the `Origin` header that a browser sends with every cross-origin request.
 *
 * With a list: exactly those. Without one: pages of this machine, on any port, and, only when the server listens beyond
 * loopback, pages of the host that the request names. So no site on the web can reach a developer's server, not even
 * one whose name resolves to 127.0.0.1. A request without the header is no page's and always gets in.
 */
import * as HttpServer from "@effect/platform/HttpServer"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Option } from "effect"

export type IsAllowed = (request: HttpServerRequest.HttpServerRequest) => boolean

/** The server in the context, if there is one, tells whether it listens beyond loopback. */
export const make = (allowed: ReadonlyArray<string> | undefined): Effect.Effect<IsAllowed> =>
  Effect.map(Effect.serviceOption(HttpServer.HttpServer), (server) => {
    const exactly = allowed === undefined ? undefined : new Set(allowed)
    const beyondLoopback = !Option.exists(
      server,
      ({ address }) => address._tag === "TcpAddress" && isLoopback(address.hostname)
    )
    return ({ headers }) => {
      const origin = headers.origin
      if (origin === undefined) return true
      if (exactly !== undefined) return exactly.has(origin)
      const url = URL.canParse(origin) ? new URL(origin) : undefined
      if (url === undefined || url.origin !== origin) return false
      return isLoopback(url.hostname) || (beyondLoopback && url.host === headers.host?.toLowerCase())
    }
  })

/** Whether a host is this machine's own. IPv6 with or without brackets. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host)
