/**
 * Asks what answers at a url: a server, sentinels, or a cluster.
 *
 * What will never work (a wrong password, a server too old) fails at once; a server that is not there is tried until
 * the timeout.
 */
import { Redis } from "ioredis"
import { connectionOptions, hearErrors, type RedisConnection } from "./connection.js"
import type { Port } from "./port.js"
import { isCut, TURNED_AWAY } from "./reasons.js"
import type { Address, Target } from "./url.js"
import { pause, timed } from "./waiting.js"

/** Why there is no port. */
export class ConnectFailure extends Error {
  override readonly name = "ConnectFailure"
}

/** Why the user's own function gave no connection. It may the next time. */
export class NotMade extends Error {
  override readonly name = "NotMade"
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

// Options have the types of what is given, and no more: ioredis 6 does not take its own `RedisOptions` where an option may
// be `undefined`.
export type Base = ReturnType<typeof baseOptions>

/** As the client takes them: what is not there must not be named. */
export const given = ({ username, password }: Credentials) => ({
  ...(username === undefined ? {} : { username }),
  ...(password === undefined ? {} : { password })
})

/** What every connection to a target has, whatever its address and credentials. */
export const baseOptions = (target: Target, name: string, timeout: number) => ({
  ...(target.tls ? { tls: {} } : {}),
  ...(target.family === undefined ? {} : { family: target.family }),
  ...connectionOptions(name, timeout)
})

export const discover = (target: Target, base: Base, timeout: number): Promise<DiscoveredServer> =>
  retrying(target.shown, target.addresses.length, timeout, (attempt, left) =>
    discoverAt(target, target.addresses[attempt % target.addresses.length] ?? target.addresses[0], base, left)
  )

/** What is shown of a server that the user connects to. */
export const OWN = "what connect connects to"

/** Asks the server that the user's own connections lead to. */
export const discoverOwn = (
  make: () => RedisConnection | Promise<RedisConnection>,
  timeout: number
): Promise<{ readonly warnings: ReadonlyArray<string>; readonly database: number }> =>
  retrying(OWN, 1, timeout, async (_, left) => {
    const client = await made(make)
    return asked(client, left, async (info) => {
      if (modeOf(info) === "sentinel" || modeOf(info) === "cluster") {
        throw new ConnectFailure(
          `${OWN} is a ${modeOf(info)}: connect is for a single master, a ${modeOf(info)} has a url`
        )
      }
      mustBeMaster(info, OWN)
      const self = String(await timed(client.call("CLIENT", "INFO"), left, "CLIENT"))
      return { warnings: warningsOf(info), database: Number(/ db=(\d+)/.exec(self)?.[1] ?? 0) }
    })
  })

/** A mistake of the user's is told as it is, and at once. */
const made = async (make: () => RedisConnection | Promise<RedisConnection>): Promise<RedisConnection> => {
  const client = await make()
  if (typeof client?.call !== "function" || typeof client.on !== "function") {
    throw new ConnectFailure("connect gave no connection: it gives a Redis of ioredis, or what behaves as one")
  }
  if (!HAS_BEGUN.includes(client.status)) return client
  hearErrors(client)
  client.disconnect()
  throw new ConnectFailure(
    "connect gave a connection that has begun to connect by itself: it begins when it is told to, with the options that connect is given: new Redis({ ...options, host, port })"
  )
}

/** The states of a connection that nobody had told to connect. */
const HAS_BEGUN = ["connecting", "connect", "ready", "reconnecting"]

/** Tries until the timeout, unless it is for good. */
const retrying = async <A>(
  shown: string,
  addresses: number,
  timeout: number,
  attempt: (attempt: number, left: number) => Promise<A>
): Promise<A> => {
  const until = performance.now() + timeout
  let reason = ""
  for (let n = 0; ; n++) {
    try {
      return await attempt(n, Math.max(1, until - performance.now()))
    } catch (cause) {
      if (cause instanceof ConnectFailure) throw cause
      const said = cause instanceof Error ? cause.message : String(cause)
      // The last attempt has little time left; an earlier one may have heard more.
      if (reason === "" || !isSilence(said)) reason = said
      // Without the cause: the client's errors carry the command that failed, and with AUTH the password.
      if (isFinal(reason)) throw new ConnectFailure(`${shown}: ${reason}`)
      if (isForeign(reason)) throw new ConnectFailure(`${shown} answers, but not as a Redis`)
      if (performance.now() + 100 >= until) {
        throw new ConnectFailure(cause instanceof NotMade ? said : `${shown} does not answer: ${reason}`)
      }
      if ((n + 1) % addresses === 0) await pause(100)
    }
  }
}

/** That nothing came in time. */
const isSilence = (reason: string): boolean => /got no answer within|^(Socket timeout|connect ETIMEDOUT)/.test(reason)

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
  return asked(client, timeout, async (info) => {
    const mode = modeOf(info)
    if (mode === "sentinel") {
      return { mode, address, master: await askMaster(client, target, timeout), credentials, warnings: [] }
    }
    if (mode === "cluster") mustBeNew(info, target.shown)
    else mustBeMaster(info, target.shown)
    if (mode !== "cluster" && target.master !== undefined) {
      throw new ConnectFailure(
        `${target.shown} is a single server: behind the slash it has a database's number, only sentinels a master's name`
      )
    }
    return { mode, address, master: undefined, credentials, warnings: warningsOf(info) }
  })
}

/** Connects, hands on what the server tells of itself, and disconnects. */
const asked = async <A>(
  client: RedisConnection,
  timeout: number,
  use: (info: ReadonlyMap<string, string>) => Promise<A>
): Promise<A> => {
  let reason: Error | undefined
  let isMade = false
  hearErrors(client)
  client.on("connect", () => {
    isMade = true
  })
  client.on("error", (error: Error) => {
    reason ??= error
  })
  try {
    await timed(client.connect(), timeout, "connecting")
    return await use(fields(String(await timed(client.call("INFO"), timeout, "INFO"))))
  } catch (cause) {
    // The client says "Connection is closed." and keeps what happened for its error event.
    if (cause instanceof ConnectFailure) throw cause
    const said = reason ?? cause
    throw isMade && said instanceof Error && isCut(said.message) ? new Error(TURNED_AWAY) : said
  } finally {
    client.disconnect()
  }
}

/** Valkey calls it server_mode. */
const modeOf = (info: ReadonlyMap<string, string>): Port["mode"] => {
  const mode = info.get("redis_mode") ?? info.get("server_mode")
  return mode === "cluster" || mode === "sentinel" ? mode : "standalone"
}

const mustBeNew = (info: ReadonlyMap<string, string>, shown: string): void => {
  const version = info.get("redis_version") ?? "unknown"
  if (Number.parseInt(version, 10) >= 7) return
  throw new ConnectFailure(`${shown} is Redis ${version}, and 7 or later is needed`)
}

const mustBeMaster = (info: ReadonlyMap<string, string>, shown: string): void => {
  mustBeNew(info, shown)
  if (info.get("role") !== "slave") return
  throw new ConnectFailure(`${shown} is a replica of another Redis: name the master, or its sentinels`)
}

const askMaster = async (client: Redis, target: Target, timeout: number): Promise<string> => {
  if (target.master !== undefined) return target.master
  const masters = (await timed(client.call("SENTINEL", "masters"), timeout, "SENTINEL")) as ReadonlyArray<
    ReadonlyArray<string>
  >
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
