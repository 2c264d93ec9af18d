/**
 * Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, several hosts between commas, or
 * `unix:///path/of/its.sock`. `valkey:` and `valkeys:` are the same. `?family=` may say how names are resolved (4, 6, or 0
 * for either), `?db=` the database.
 *
 * Which kind of Redis answers there is asked, not said. For sentinels the path may name the master
 * (`redis://s1:26379,s2:26379/mymaster`); with one master it need not. An error never shows the password.
 */

/** A host and its port, or the path of a socket. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** A decoded url. */
export interface Target {
  readonly addresses: readonly [Address, ...ReadonlyArray<Address>]
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: boolean
  /** How names are resolved: to IPv4, to IPv6, or 0 for either. */
  readonly family: 0 | 4 | 6 | undefined
  /** The number behind the slash, or of `db`, else 0. */
  readonly database: number
  /** What else stands behind the slash: the name of a master. */
  readonly master: string | undefined
  /** The url as it may be shown. */
  readonly shown: string
}

/** Why a url is refused. */
export class UrlRefusal {
  constructor(readonly reason: string) {}
}

/** The schemes that there are, and whether they mean TLS. The longer names are what some providers print. */
const SCHEMES: Readonly<Record<string, boolean>> = {
  redis: false,
  valkey: false,
  "redis+tcp": false,
  rediss: true,
  valkeys: true,
  "redis+tls": true,
  "redis+ssl": true
}

const SOCKETS = ["unix", "redis+unix", "valkey+unix", "redis+socket"]

const FORM = "the url is not of the form redis://user:password@host:port/database"

const ENCODED = ", in whose password / ? # % are percent-encoded"

export const parseUrl = (url: string): Target | UrlRefusal => {
  // What stands in no environment is undefined, whatever its type says.
  if (typeof url !== "string") return new UrlRefusal(`the url is no string but ${typeof url}`)
  // A file that it was read from may end its last line.
  const text = url.trim()
  // What is not understood is not shown: it may be a password.
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase()
  if (/^[^/?#]+,\s*password=/i.test(text)) {
    return new UrlRefusal(
      "the url is a connection string of .NET, as Azure prints it: write rediss://:password@host:6380, the password percent-encoded"
    )
  }
  if (/^\/[^/]/.test(text)) return parseSocket("unix", text)
  if (scheme !== undefined && SOCKETS.includes(scheme)) return parseSocket(scheme, text.slice(scheme.length + 1))
  if (scheme === "http" || scheme === "https") {
    return new UrlRefusal("the url is that of a Redis spoken to over HTTP: use its rediss:// url")
  }
  const tls = scheme === undefined ? undefined : SCHEMES[scheme]
  if (scheme === undefined || tls === undefined) return new UrlRefusal(FORM + ENCODED)
  return parseHosts(scheme, tls, text.slice(scheme.length + 1))
}

const parseHosts = (scheme: string, tls: boolean, text: string): Target | UrlRefusal => {
  const parts = /^\/\/(?:([^/?#]*)@)?([^/?#@]+)(?:\/([^/?#@\s]*))?(?:\?([^#@\s]*))?$/.exec(text)
  if (parts === null) return new UrlRefusal(FORM + ENCODED)
  const [, credentials, hosts, path, query] = parts
  const addresses: Array<Address> = []
  for (const [index, host] of (hosts ?? "").split(",").entries()) {
    const address = parseHost(host)
    // Not shown: what stands there may be a password that lacks its host.
    if (address === undefined) return new UrlRefusal(`host ${index + 1} of the url is no host, or host:port`)
    addresses.push(address)
  }
  const [first, ...rest] = addresses
  if (first === undefined) return new UrlRefusal("the url names no host")
  const where = decode(path)
  const known = parseCredentials(credentials)
  if (where === null || known === null) return new UrlRefusal("the url holds a % that encodes nothing")
  const isDatabase = where !== undefined && /^\d+$/.test(where)
  const parameters = parseQuery(query)
  if (parameters instanceof UrlRefusal) return parameters
  const { family, db } = parameters
  if (isDatabase && db !== undefined && db !== Number(where)) {
    return new UrlRefusal(`the url names two databases, ${where} and ${db}`)
  }
  return {
    addresses: [first, ...rest],
    ...known,
    tls,
    family,
    database: isDatabase ? Number(where) : (db ?? 0),
    master: isDatabase ? undefined : where,
    shown: `${scheme}://${hosts}${where === undefined ? "" : `/${where}`}`
  }
}

/** What follows `unix:`: `/path`, `///path`, or `//user:password@/path`, and `?db=`. */
const parseSocket = (scheme: string, text: string): Target | UrlRefusal => {
  const parts = /^(?:\/\/(?:([^/?#]*)@)?)?(\/[^?#\s]+)(?:\?([^#@\s]*))?$/.exec(text)
  const path = parts === null ? undefined : decode(parts[2])
  const known = parts === null ? null : parseCredentials(parts[1])
  if (path === undefined || path === null || known === null) {
    return new UrlRefusal("the url is not of the form unix:///path/of/its.sock, or unix://user:password@/path?db=1")
  }
  const parameters = parseQuery(parts?.[3])
  if (parameters instanceof UrlRefusal) return parameters
  if (parameters.family !== undefined) return new UrlRefusal("the url of a socket has a family, and no name to resolve")
  return {
    addresses: [{ path }],
    ...known,
    tls: false,
    family: undefined,
    database: parameters.db ?? 0,
    master: undefined,
    shown: `${scheme}:${path}`
  }
}

const parseQuery = (
  query: string | undefined
): { readonly family: Target["family"]; readonly db: number | undefined } | UrlRefusal => {
  let family: Target["family"]
  let db: number | undefined
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    if (name === "family" && /^[046]$/.test(value)) family = Number(value) as 0 | 4 | 6
    else if (name === "db" && /^\d{1,6}$/.test(value)) db = Number(value)
    else if (name === "family" || name === "db") {
      return new UrlRefusal(`the url's ${name} is ${name === "db" ? "no number" : "none of 4, 6 and 0"}`)
    } else {
      return new UrlRefusal(
        `the url has a parameter ${/^\w{1,30}$/.test(name) ? name : "of a name"} that is not known: family and db are; what else a connection needs is given by connect`
      )
    }
  }
  return { family, db }
}

const parseHost = (text: string): Address | undefined => {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text)
  const host = parts?.[1]
  if (host === undefined) return undefined
  const port = parts?.[2] === undefined ? 6379 : Number(parts[2])
  if (port < 1 || port > 65535) return undefined
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port }
}

/** `null` for what does not decode. */
const parseCredentials = (text: string | undefined): Pick<Target, "username" | "password"> | null => {
  const colon = text?.indexOf(":") ?? -1
  const username = decode(colon === -1 ? text : text?.slice(0, colon))
  const password = decode(colon === -1 ? undefined : text?.slice(colon + 1))
  return username === null || password === null ? null : { username, password }
}

/** `undefined` for what is not there or empty, `null` for what does not decode. */
const decode = (text: string | undefined): string | undefined | null => {
  if (text === undefined || text === "") return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
