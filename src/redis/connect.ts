/**
 * The port over `ioredis`, 5.10 or 6.
 *
 * What answers at the url is asked: a server, sentinels, or a cluster. What is refused for good (a wrong password, a
 * server too old) fails at once; a server that is not there is tried until the timeout. Afterwards connections come
 * back by themselves, with handlers told.
 */
import { Cluster, type ClusterOptions, Command, Redis, type RedisOptions } from "ioredis"
import { Link } from "./link.js"
import type { Handlers, Port, Reply } from "./port.js"
import type { Script } from "./scripts.js"
import { type Address, parseUrl, type Target, UrlRefusal } from "./url.js"

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

export const connect = async (options: ConnectOptions, handlers: Handlers): Promise<Port> => {
  const target = parseUrl(options.url)
  if (target instanceof UrlRefusal) throw new ConnectFailure(target.reason)
  const base = baseOptions(target, options)
  const server = await ask(target, base, options.timeout)
  const make = connections(server, target, base)
  const wires =
    make === undefined
      ? await clusterWires(server, target, base, options.timeout, handlers)
      : singleWires(make, handlers)
  const port = portOf(server, databaseOf(target), wires, options.timeout, handlers)
  for (const until = Date.now() + options.timeout; !(port.isReady() && port.isSubscriberReady()); ) {
    if (Date.now() > until) {
      port.close()
      throw new ConnectFailure(`${target.shown} answered once, and then took no connection`)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return port
}

/** What a server told of itself. */
interface Server {
  readonly mode: Port["mode"]
  readonly address: Address
  /** The master that the sentinels watch. */
  readonly master: string | undefined
  /** Whether it answers only who has credentials. */
  readonly isLocked: boolean
  readonly warnings: ReadonlyArray<string>
}

// Options have the types of what is given, `satisfies` and no more: ioredis 6 does not take its own `RedisOptions` where
// an option may be `undefined`.
type Base = ReturnType<typeof baseOptions>

const baseOptions = (target: Target, options: ConnectOptions) =>
  ({
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(target.password === undefined ? {} : { password: target.password }),
    ...(target.tls ? { tls: {} } : {}),
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

// Asking

const ask = async (target: Target, base: Base, timeout: number): Promise<Server> => {
  const until = Date.now() + timeout
  for (let attempt = 0; ; attempt++) {
    const address = target.addresses[attempt % target.addresses.length] ?? target.addresses[0]
    try {
      return await askOne(target, address, base, Math.max(1, until - Date.now()))
    } catch (cause) {
      if (cause instanceof ConnectFailure) throw cause
      const reason = cause instanceof Error ? cause.message : String(cause)
      // Without the cause: the client's errors carry the command that failed, and with AUTH the password.
      if (isFinal(reason)) throw new ConnectFailure(`${target.shown}: ${reason}`)
      if (isForeign(reason)) throw new ConnectFailure(`${target.shown} answers, but not as a Redis`)
      if (Date.now() + 100 >= until) throw new ConnectFailure(`${target.shown} does not answer: ${reason}`)
      if ((attempt + 1) % target.addresses.length === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/** What trying again does not help. */
const isFinal = (reason: string): boolean =>
  /^(NOAUTH|WRONGPASS|NOPERM|ERR (AUTH|invalid password|Client sent AUTH))/.test(reason)

/** What ioredis says of an answer that is no RESP, 5 and 6. */
const isForeign = (reason: string): boolean => /^(Protocol error|Unknown RESP type)/.test(reason)

const askOne = async (target: Target, address: Address, base: Base, timeout: number): Promise<Server> => {
  const until = Date.now() + timeout
  // Sentinels need not have the credentials of their master, and may take no others.
  if (target.password !== undefined) {
    const { username: _1, password: _2, ...open } = base
    try {
      const server = await askAs(target, address, open, timeout)
      if (server.mode === "sentinel") return server
    } catch (cause) {
      if (cause instanceof ConnectFailure || !(cause instanceof Error && isFinal(cause.message))) throw cause
    }
  }
  const server = await askAs(target, address, base, Math.max(1, until - Date.now()))
  return { ...server, isLocked: target.password !== undefined }
}

const askAs = async (
  target: Target,
  address: Address,
  base: Omit<Base, "username" | "password">,
  timeout: number
): Promise<Server> => {
  const client = new Redis({ ...base, ...address, enableReadyCheck: false, connectTimeout: timeout })
  let reason: Error | undefined
  client.on("error", (error: Error) => {
    reason ??= error
  })
  try {
    await client.connect()
    const info = fields(String(await timed(client.call("INFO") as Promise<Reply>, timeout, "INFO")))
    // Valkey calls it server_mode.
    const mode = info.get("redis_mode") ?? info.get("server_mode")
    if (mode === "sentinel") {
      return { mode, address, master: await askMaster(client, target, timeout), isLocked: false, warnings: [] }
    }
    const version = info.get("redis_version") ?? "unknown"
    if (!(Number.parseInt(version, 10) >= 7)) {
      throw new ConnectFailure(`${target.shown} is Redis ${version}, and 7 or later is needed`)
    }
    if (mode !== "cluster" && info.get("role") === "slave") {
      throw new ConnectFailure(`${target.shown} is a replica of another Redis: name the master, or its sentinels`)
    }
    return {
      mode: mode === "cluster" ? mode : "standalone",
      address,
      master: undefined,
      isLocked: false,
      warnings: warningsOf(info)
    }
  } catch (cause) {
    // The client says "Connection is closed." and keeps what happened for its error event.
    throw cause instanceof ConnectFailure ? cause : (reason ?? cause)
  } finally {
    client.disconnect()
  }
}

const askMaster = async (client: Redis, target: Target, timeout: number): Promise<string> => {
  if (target.path !== undefined && !isDatabase(target.path)) return target.path
  const masters = (await timed(
    client.call("SENTINEL", "masters") as Promise<Reply>,
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

const databaseOf = ({ path }: Target): number => (path !== undefined && isDatabase(path) ? Number(path) : 0)

const isDatabase = (path: string): boolean => /^\d+$/.test(path)

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

// One server, or a master behind sentinels

/** How to make a connection; `undefined` for a cluster. */
const connections = (server: Server, target: Target, base: Base): (() => Redis) | undefined => {
  const db = databaseOf(target) === 0 ? {} : { db: databaseOf(target) }
  switch (server.mode) {
    case "standalone":
      return () => new Redis({ ...base, ...server.address, ...db })
    case "sentinel":
      return () =>
        new Redis({
          ...base,
          ...db,
          sentinels: [...target.addresses],
          name: server.master ?? "",
          sentinelRetryStrategy: () => null,
          ...(server.isLocked && target.username !== undefined ? { sentinelUsername: target.username } : {}),
          ...(server.isLocked && target.password !== undefined ? { sentinelPassword: target.password } : {}),
          ...(target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
          // A master that became a replica says so; only then is another asked for.
          reconnectOnError: (error) => error.message.includes("READONLY")
        })
    case "cluster":
      return undefined
  }
}

/** What a kind of Redis needs of its own. */
interface Wires {
  readonly partitions: number
  readonly client: () => Redis | Cluster
  readonly subscriber: () => Redis
  readonly isReady: () => boolean
  readonly close: () => void
}

const singleWires = (make: () => Redis, handlers: Handlers): Wires => {
  const link = new Link(make, handlers.onReady, handlers.onDown)
  return {
    partitions: 1,
    client: () => link.client,
    subscriber: make,
    isReady: () => link.isReady(),
    close: () => link.close()
  }
}

// A cluster

const clusterWires = async (
  server: Server,
  target: Target,
  base: Base,
  timeout: number,
  handlers: Handlers
): Promise<Wires> => {
  if (target.path !== undefined && target.path !== "0") {
    throw new ConnectFailure(`${target.shown} is a cluster, which has no database ${target.path}`)
  }
  const { lazyConnect: _1, enableOfflineQueue: _2, retryStrategy: _3, ...redisOptions } = base
  const clusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A node that is gone is found by MOVED and by refreshing; nothing is sent again for us meanwhile.
    retryDelayOnFailover: 0,
    retryDelayOnTryAgain: 50,
    slotsRefreshTimeout: timeout,
    slotsRefreshInterval: 5_000,
    clusterRetryStrategy: (times) => Math.min(50 * 2 ** times, 1_000) * (0.5 + Math.random() / 2),
    redisOptions,
    // Certificates name hosts, so with TLS the name goes on as it is.
    ...(target.tls ? { dnsLookup: (host, callback) => callback(null, host) } : {})
  } satisfies ClusterOptions
  const cluster = new Cluster([server.address, ...target.addresses], clusterOptions)
  cluster.on("error", () => {})
  let closed = false
  cluster.on("+node", (node: Redis) => {
    node.on("ready", handlers.onReady)
    node.on("end", () => {
      if (!closed) handlers.onDown("a node of the cluster is gone")
    })
  })
  let turn = Math.floor(Math.random() * 1_000)
  // Each attempt at another node, as the last one's may be the one that is gone.
  const subscriber = (): Redis => {
    const known = cluster
      .nodes("all")
      .map(({ options: { host, port } }): Address => ({ host: host ?? "", port: port ?? 6379 }))
    const nodes = known.length > 0 ? known : target.addresses
    return new Redis({ ...base, ...(nodes[turn++ % nodes.length] ?? server.address) })
  }
  try {
    await timed(cluster.connect(), timeout, "the cluster")
    // The client connects to a master when it first has a call for it, and meanwhile refuses all others.
    const unconnected = cluster.nodes("master").filter(({ status }) => status === "wait")
    await timed(Promise.allSettled(unconnected.map((master) => master.connect())), timeout, "the cluster")
  } catch (cause) {
    cluster.disconnect()
    throw new ConnectFailure(`${target.shown}: ${cause instanceof Error ? cause.message : cause}`)
  }
  return {
    partitions: 16,
    client: () => cluster,
    subscriber,
    isReady: () => cluster.status === "ready",
    close: () => {
      closed = true
      cluster.disconnect()
    }
  }
}

// Both

const portOf = (server: Server, database: number, wires: Wires, timeout: number, handlers: Handlers): Port => {
  const send = (name: string, args: ReadonlyArray<string | number>): Promise<Reply> => {
    // The client's type wants an array that it may change, and changes none.
    const command = new Command(name, args as Array<string | number>, { replyEncoding: "utf8" })
    return timed(wires.client().sendCommand(command) as Promise<Reply>, timeout, name)
  }

  const subscriber = new Link(
    wires.subscriber,
    (client) => {
      client.on("message", handlers.onMessage)
      handlers.onSubscriberReady()
    },
    handlers.onSubscriberDown
  )
  // Nothing else is sent on an idle subscriber, so without this a half-open connection would stay for ever.
  const ping = setInterval(() => {
    if (subscriber.isReady()) subscriber.client.ping().catch(() => {})
  }, timeout)
  ping.unref()

  const onSubscriber = async (name: "subscribe" | "unsubscribe", channels: ReadonlyArray<string>): Promise<void> => {
    for (let i = 0; i < channels.length; i += 500) {
      await timed(subscriber.client[name](...channels.slice(i, i + 500)), timeout, name)
    }
  }

  return {
    mode: server.mode,
    database,
    partitions: wires.partitions,
    warnings: server.warnings,
    command: send,
    run: (script, keys, args) => runScript(send, script, keys, args),
    subscribe: (channels) => onSubscriber("subscribe", channels),
    unsubscribe: (channels) => onSubscriber("unsubscribe", channels),
    publish: async (channel, text) => {
      await send("PUBLISH", [channel, text])
    },
    isReady: wires.isReady,
    isSubscriberReady: () => subscriber.isReady(),
    close: () => {
      clearInterval(ping)
      subscriber.close()
      wires.close()
    }
  }
}

const runScript = async (
  send: (name: string, args: ReadonlyArray<string | number>) => Promise<Reply>,
  script: Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<string | number>
): Promise<Reply> => {
  try {
    return await send("EVALSHA", [script.hash, keys.length, ...keys, ...args])
  } catch (cause) {
    if (!(cause instanceof Error && cause.message.startsWith("NOSCRIPT"))) throw cause
    // A server that restarted, or a node that took over: it knows the script from now on.
    return send("EVAL", [script.text, keys.length, ...keys, ...args])
  }
}

/** Fails after `timeout`, whatever becomes of the promise. */
const timed = <A>(promise: Promise<A>, timeout: number, what: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} got no answer within ${timeout} ms`)), timeout)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (cause) => {
        clearTimeout(timer)
        reject(cause)
      }
    )
  })
