/**
 * The options of the routes, each refused with its name before anything is served. The routes themselves would die of one.
 */
import { Server } from "node:http"
import { Server as SecureServer } from "node:https"
import * as HttpLimits from "../http/Limits.js"
import { show } from "../internal/input/names.js"
import { checkNames, readDuration, TIMER, TIMER_OR_NONE } from "../internal/input/options.js"
import { InvalidOption } from "../PresenceError.js"
import * as SocketLimits from "../socket/Limits.js"
import { readOrigins } from "../web/originList.js"
import { adapt } from "./adapt.js"
import type { AttachOptions, FetchOptions } from "./NodeRoutes.js"

/** A path as the router takes it. */
export type Path = `/${string}`

const DEFAULT_PATHS = { http: "/presence", phoenix: "/socket", supabase: "/realtime/v1" }

/** All of them throw `InvalidOption`. */
export const readServer = (server: unknown): Server => {
  // One over TLS tells the same.
  if (server instanceof Server || server instanceof SecureServer) return server as Server
  const of = typeof server === "object" ? server?.constructor?.name : undefined
  throw new InvalidOption({
    option: "server",
    value: of === undefined ? show(server) : `an object of ${of}`,
    allowed:
      "a server of node:http or node:https, as http.createServer(app), Express's app.listen(port) and Fastify's " +
      "app.server are one, and not the app"
  })
}

/** What the routes over HTTP take. */
export const readFetch = ({ path = DEFAULT_PATHS.http, ...options }: FetchOptions) => {
  const common = readCommon(options, ["path"], HttpLimits.names)
  HttpLimits.decode(common.limits)
  return { ...common, path: readPath("path", path) }
}

/** What the routes on a server take. */
export const readAttach = ({ paths = DEFAULT_PATHS, drain = "3 seconds", ...options }: AttachOptions) => {
  const common = readCommon(
    options,
    ["paths", "drain"],
    // They have some in common.
    Array.from(new Set([...HttpLimits.names, ...SocketLimits.names]))
  )
  const http = { ...common, limits: only(HttpLimits.names, common.limits) }
  const sockets = { ...common, limits: only(SocketLimits.names, common.limits) }
  HttpLimits.decode(http.limits)
  SocketLimits.decode(sockets.limits)
  return { paths: readPaths(paths), http, sockets: { ...sockets, drain: readDuration("drain", drain, TIMER_OR_NONE) } }
}

const readCommon = (
  {
    authorize,
    authorizeTimeout = "10 seconds",
    allowedOrigins,
    diffInterval = "50 millis",
    leaveDelay = 0,
    limits = {},
    ...others
  }: Omit<FetchOptions, "path">,
  ownNames: ReadonlyArray<string>,
  limitNames: ReadonlyArray<string>
) => {
  checkNames("options", others, [
    ...ownNames,
    "authorize",
    "authorizeTimeout",
    "allowedOrigins",
    "diffInterval",
    "leaveDelay",
    "limits"
  ])
  checkNames("limits", limits, limitNames)
  return {
    authorize: adapt(authorize),
    authorizeTimeout: readDuration("authorizeTimeout", authorizeTimeout, TIMER),
    allowedOrigins: readOrigins(allowedOrigins),
    diffInterval: readDuration("diffInterval", diffInterval, TIMER_OR_NONE),
    leaveDelay: readDuration("leaveDelay", leaveDelay, TIMER_OR_NONE),
    limits
  }
}

/** Of the limits of all routes those of one. */
const only = (names: ReadonlyArray<string>, limits: object): object =>
  Object.fromEntries(Object.entries(limits).filter(([name]) => names.includes(name)))

const readPaths = (paths: NonNullable<AttachOptions["paths"]>) => {
  checkNames("paths", paths, Object.keys(DEFAULT_PATHS))
  const read: { http?: Path; phoenix?: Path; supabase?: Path } = {}
  for (const [route, given] of Object.entries(paths)) {
    if (given === undefined) continue
    const option = `paths.${route}`
    const path = readPath(option, given)
    const other = Object.values(read).find((other) => isIn(other, path) || isIn(path, other))
    if (other !== undefined) {
      const allowed = `a path apart from ${other}, where another route stands`
      throw new InvalidOption({ option, value: show(given), allowed })
    }
    read[route as keyof typeof read] = path
  }
  if (Object.keys(read).length > 0) return read
  throw new InvalidOption({ option: "paths", value: "empty", allowed: "at least one of http, phoenix and supabase" })
}

const isIn = (base: Path, path: Path): boolean => path === base || path.startsWith(`${base}/`)

const readPath = (option: string, path: unknown): Path => {
  const plain = typeof path === "string" ? path.replace(/\/+$/, "") : ""
  // The router reads some signs as patterns.
  if (/^(\/[\w.~-]+)+$/.test(plain)) return plain as Path
  throw new InvalidOption({
    option,
    value: show(path),
    allowed: 'a path below the root, of letters that need no escape, such as "/presence"'
  })
}
