/**
 * Asks what answers at a url: a server, sentinels, or a cluster.
 *
 * What will never work (a wrong password, a server too old) fails at once; a server that is not there is tried until
 * the timeout.
 */
import { Redis, type RedisOptions } from "ioredis"
import type { Port, RedisReply } from "./port.js"
import { timed } from "./timeout.js"
import type { Address, Target } from "./url.js"

/** Why there is no port. */
export class ConnectFailure extends Error {
  override readonly name = "ConnectFailure"
}

export interface ConnectOptions {
  readonly url: string
  /** Milliseconds until a call without an answer has failed. */
  readonly timeout: number
  /** What the server shows in `CLIENT LIST`. */
  readonly name: string
}

/** What a server told of itself. */
export interface DiscoveredServer {
  readonly mode: Port["mode"]
  readonly address: Address
  /** The master that the sentinels watch. */
  readonly master: string | undefined
  /** What it was asked with: sentinels need not have the credentials of their master. */
  readonly credentials: Credentials
  readonly warnings: ReadonlyArray<string>
}

export type Credentials = Pick<Target, "username" | "password">

const NONE: Credentials = { username: undefined, password: undefined }

// Options have the types of what is given, `satisfies` and no more: ioredis 6 does not take its own `RedisOptions` where
// an option may be `undefined`.
export type Base = ReturnType<typeof baseOptions>

/** As the client takes them: what is not there must not be named. */
export const given = ({ username, password }: Credentials) => ({
  ...(username === undefined ? {} : { username }),
  ...(password === undefined ? {} : { password })
})

/** What every connection has, whatever its address and credentials. */
export const baseOptions = (target: Target, options: ConnectOptions) =>
  ({
    ...(target.tls ? { tls: {} } : {}),
    ...(target.family === undefined ? {} : { family: target.family }),
    connectionName: options.name,
    lazyConnect: true,
    enableOfflineQueue: false,
    // It does not come back by itself, so there is nothing that it could send or subscribe to again.
    retryStrategy: () => null,
    connectTimeout: options.timeout,
    // A connection that takes bytes and gives none is dead, whatever TCP says.
    socketTimeout: options.timeout,
    keepAlive: 10_000
  }) satisfies RedisOptions

export const discover = async (target: Target, base: Base, timeout: number): Promise<DiscoveredServer> => {
  const until = performance.now() + timeout
  for (let attempt = 0; ; attempt++) {
    const address = target.addresses[attempt % target.addresses.length] ?? target.addresses[0]
    try {
      return await discoverAt(target, address, base, Math.max(1, until - performance.now()))
    } catch (cause) {
      if (cause instanceof ConnectFailure) throw cause
      const reason = cause instanceof Error ? cause.message : String(cause)
      // Without the cause: the client's errors carry the command that failed, and with AUTH the password.
      if (isFinal(reason)) throw new ConnectFailure(`${target.shown}: ${reason}`)
      if (isForeign(reason)) throw new ConnectFailure(`${target.shown} answers, but not as a Redis`)
      if (performance.now() + 100 >= until) throw new ConnectFailure(`${target.shown} does not answer: ${reason}`)
      if ((attempt + 1) % target.addresses.length === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/** What trying again does not help. */
const isFinal = (reason: string): boolean =>
  /^(NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|invalid password|Client sent AUTH))/.test(reason)

/** What ioredis says of an answer that is no RESP, 5 and 6. */
const isForeign = (reason: string): boolean => /^(Protocol error|Unknown RESP type)/.test(reason)

const discoverAt = async (target: Target, address: Address, base: Base, timeout: number): Promise<DiscoveredServer> => {
  const until = performance.now() + timeout
  // Sentinels may take none, or the credentials of their master: they are asked without any first.
  if (target.password !== undefined) {
    try {
      const server = await discoverAs(NONE, target, address, base, timeout)
      if (server.mode === "sentinel") return server
    } catch (cause) {
      if (cause instanceof ConnectFailure || !(cause instanceof Error && isFinal(cause.message))) throw cause
    }
  }
  return discoverAs(target, target, address, base, Math.max(1, until - performance.now()))
}

const discoverAs = async (
  { username, password }: Credentials,
  target: Target,
  address: Address,
  base: Base,
  timeout: number
): Promise<DiscoveredServer> => {
  const credentials = { username, password }
  const client = new Redis({
    ...base,
    ...address,
    ...given(credentials),
    enableReadyCheck: false,
    connectTimeout: timeout
  })
  let reason: Error | undefined
  client.on("error", (error: Error) => {
    reason ??= error
  })
  try {
    await client.connect()
    const info = fields(String(await timed(client.call("INFO") as Promise<RedisReply>, timeout, "INFO")))
    // Valkey calls it server_mode.
    const mode = info.get("redis_mode") ?? info.get("server_mode")
    if (mode === "sentinel") {
      return { mode, address, master: await askMaster(client, target, timeout), credentials, warnings: [] }
    }
    const version = info.get("redis_version") ?? "unknown"
    if (!(Number.parseInt(version, 10) >= 7)) {
      throw new ConnectFailure(`${target.shown} is Redis ${version}, and 7 or later is needed`)
    }
    if (mode !== "cluster" && info.get("role") === "slave") {
      throw new ConnectFailure(`${target.shown} is a replica of another Redis: name the master, or its sentinels`)
    }
    if (mode !== "cluster" && target.master !== undefined) {
      throw new ConnectFailure(
        `${target.shown} is a single server: behind the slash it has a database's number, only sentinels a master's name`
      )
    }
    const warnings = warningsOf(info)
    return { mode: mode === "cluster" ? mode : "standalone", address, master: undefined, credentials, warnings }
  } catch (cause) {
    // The client says "Connection is closed." and keeps what happened for its error event.
    throw cause instanceof ConnectFailure ? cause : (reason ?? cause)
  } finally {
    client.disconnect()
  }
}

const askMaster = async (client: Redis, target: Target, timeout: number): Promise<string> => {
  if (target.master !== undefined) return target.master
  const masters = (await timed(
    client.call("SENTINEL", "masters") as Promise<RedisReply>,
    timeout,
    "SENTINEL"
  )) as ReadonlyArray<ReadonlyArray<string>>
  const names = masters.map((master) => master[master.indexOf("name") + 1] ?? "")
  const [only] = names
  if (only !== undefined && names.length === 1) return only
  throw new ConnectFailure(
    `the sentinels of ${target.shown} watch ${names.length} masters (${names.join(", ")}): name one behind the slash`
  )
}

const fields = (info: string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const line of info.split("\r\n")) {
    const colon = line.indexOf(":")
    if (colon > 0) found.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return found
}

const warningsOf = (info: ReadonlyMap<string, string>): ReadonlyArray<string> => {
  const policy = info.get("maxmemory_policy")
  return policy === undefined || policy === "noeviction" || info.get("maxmemory") === "0"
    ? []
    : [`Redis evicts keys when its memory is full (maxmemory-policy ${policy}): presence needs noeviction`]
}
