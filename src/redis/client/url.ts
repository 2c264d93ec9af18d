/**
 * Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, several hosts between commas. `?family=`
 * may say how names are resolved: 4, 6, or 0 for either.
 *
 * Which kind of Redis answers there is asked, not said. For sentinels the path may name the master
 * (`redis://s1:26379,s2:26379/mymaster`); with one master it need not. An error never shows the password.
 */

export interface Address {
  readonly host: string
  readonly port: number
}

/** A decoded url. */
export interface Target {
  readonly addresses: readonly [Address, ...ReadonlyArray<Address>]
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: boolean
  /** How names are resolved: to IPv4, to IPv6, or 0 for either. */
  readonly family: 0 | 4 | 6 | undefined
  /** The number behind the slash, else 0. */
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

const shape = /^(rediss?):\/\/(?:([^/?#]*)@)?([^/?#@]+)(?:\/([^/?#@\s]*))?(?:\?family=([046]))?$/

export const parseUrl = (url: string): Target | UrlRefusal => {
  // What stands in no environment is undefined, whatever its type says.
  if (typeof url !== "string") return new UrlRefusal(`the url is no string but ${typeof url}`)
  // A file that it was read from may end its last line.
  const parts = shape.exec(url.trim())
  if (parts === null) {
    return new UrlRefusal(
      "the url is not of the form redis://user:password@host:port/database; / ? # % in a password are percent-encoded"
    )
  }
  const [, scheme, credentials, hosts, path, family] = parts
  const addresses: Array<Address> = []
  for (const [index, host] of (hosts ?? "").split(",").entries()) {
    const address = parseHost(host)
    // Not shown: what stands there may be a password that lacks its host.
    if (address === undefined) return new UrlRefusal(`host ${index + 1} of the url is no host, or host:port`)
    addresses.push(address)
  }
  const [first, ...rest] = addresses
  if (first === undefined) return new UrlRefusal("the url names no host")
  const colon = credentials?.indexOf(":") ?? -1
  const username = colon === -1 ? credentials : credentials?.slice(0, colon)
  const password = colon === -1 ? undefined : credentials?.slice(colon + 1)
  const decoded = [username, password, path].map(decode)
  if (decoded.includes(null)) return new UrlRefusal("the url holds a % that encodes nothing")
  const [user, secret, where] = decoded as ReadonlyArray<string | undefined>
  const isDatabase = where !== undefined && /^\d+$/.test(where)
  return {
    addresses: [first, ...rest],
    username: user,
    password: secret,
    tls: scheme === "rediss",
    family: family === undefined ? undefined : (Number(family) as 0 | 4 | 6),
    database: isDatabase ? Number(where) : 0,
    master: isDatabase ? undefined : where,
    shown: `${scheme}://${hosts}${where === undefined ? "" : `/${where}`}`
  }
}

const parseHost = (text: string): Address | undefined => {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/.exec(text)
  const host = parts?.[1]
  if (host === undefined) return undefined
  const port = parts?.[2] === undefined ? 6379 : Number(parts[2])
  if (port < 1 || port > 65535) return undefined
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port }
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
