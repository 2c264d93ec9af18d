/**
 * How connections are made to a single server, to the master behind sentinels, and to a cluster.
 */
import { Cluster, type ClusterOptions, Redis } from "ioredis"
import { hearErrors, type RedisConnection } from "./connection.js"
import { type Base, ConnectFailure, type DiscoveredServer, given } from "./discovery.js"
import type { PortEvents } from "./port.js"
import { ReconnectingClient } from "./reconnecting.js"
import type { Address, Target } from "./url.js"
import { backoff, jitter, timed } from "./waiting.js"

/** What a kind of Redis needs of its own. */
export interface Topology {
  readonly partitions: number
  /** What commands are sent with, if it is there. */
  readonly client: () => Pick<RedisConnection, "call"> | undefined
  readonly subscriber: () => RedisConnection | Promise<RedisConnection>
  readonly isReady: () => boolean
  /** Dials anew, if the connection is still the one that answered so. Whether it was. */
  readonly redial: (client: unknown, reason: string) => boolean
  readonly close: () => void
}

type Options = Base & ReturnType<typeof given>

export const topologyOf = (
  server: DiscoveredServer,
  target: Target,
  base: Base,
  timeout: number,
  handlers: PortEvents
): Topology | Promise<Topology> => {
  const options: Options = { ...base, ...given(target) }
  switch (server.mode) {
    case "standalone":
      return single(() => new Redis({ ...options, ...server.address, db: target.database }), handlers)
    case "sentinel":
      return single(() => masterOf(server, target, options), handlers)
    case "cluster":
      return clustered(server, target, options, timeout, handlers)
  }
}

// One server, or a master behind sentinels

const masterOf = (
  { master = "", credentials: { username, password } }: DiscoveredServer,
  target: Target,
  options: Options
): Redis =>
  new Redis({
    ...options,
    db: target.database,
    sentinels: hostsOf(target.addresses),
    name: master,
    sentinelRetryStrategy: () => null,
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {})
  })

/** What has a port: neither sentinels nor nodes of a cluster are told by the path of a socket. */
const hostsOf = (addresses: ReadonlyArray<Address>) => addresses.filter((address) => "host" in address)

export const single = (make: () => RedisConnection | Promise<RedisConnection>, handlers: PortEvents): Topology => {
  const link = new ReconnectingClient(make, handlers.onReady, handlers.onDown)
  return {
    partitions: 1,
    client: () => link.client,
    subscriber: make,
    isReady: () => link.isReady(),
    redial: (client, reason) => link.redial(client, reason),
    close: () => link.close()
  }
}

// A cluster

/** Milliseconds until it is asked again who has which slot. */
const SLOTS_EVERY = 5_000

const clustered = async (
  server: DiscoveredServer,
  target: Target,
  options: Options,
  timeout: number,
  handlers: PortEvents
): Promise<Topology> => {
  if (target.database > 0 || target.master !== undefined) {
    throw new ConnectFailure(
      `${target.shown} is a cluster: it has database 0 and no other, and nothing else stands behind the slash`
    )
  }
  const { lazyConnect: _1, enableOfflineQueue: _2, retryStrategy: _3, ...redisOptions } = options
  const clusterOptions = {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A node that is gone is found by MOVED and by refreshing; nothing is sent again for us meanwhile.
    retryDelayOnFailover: 0,
    retryDelayOnTryAgain: 50,
    slotsRefreshTimeout: timeout,
    // Of the client's own, the one that is on its way when the cluster is closed would be followed by the next for ever.
    slotsRefreshInterval: 0,
    clusterRetryStrategy: (times) => jitter(backoff(50, times)),
    redisOptions,
    // Certificates name hosts, so with TLS the name goes on as it is.
    ...(target.tls ? { dnsLookup: (host, callback) => callback(null, host) } : {})
  } satisfies ClusterOptions
  const cluster = new Cluster(hostsOf([server.address, ...target.addresses]), clusterOptions)
  cluster.on("error", () => {})
  let closed = false
  const open = new Set<Redis>()
  // When a connection ends late, the client forgets the one that it has made to the same node since, and leaves it open.
  const endForgotten = (): void => {
    const known = new Set(cluster.nodes())
    for (const node of open) if (!known.has(node)) node.disconnect()
  }
  cluster.on("+node", (node: Redis) => {
    open.add(node)
    hearErrors(node)
    node.on("ready", () => {
      if (!closed) handlers.onReady()
    })
    node.on("end", () => {
      open.delete(node)
      endForgotten()
      if (!closed) handlers.onDown("a node of the cluster is gone")
    })
  })
  const refresh = setInterval(() => {
    if (cluster.status === "ready") cluster.refreshSlotsCache()
  }, SLOTS_EVERY)
  const close = (): void => {
    closed = true
    clearInterval(refresh)
    cluster.disconnect()
    endForgotten()
  }
  let turn = Math.floor(Math.random() * 1_000)
  // Each attempt at another node, as the last one's may be the one that is gone.
  const subscriber = (): Redis => {
    const known = cluster.nodes("all").map(({ options: { host, port } }) => ({ host: host ?? "", port: port ?? 6379 }))
    const nodes: ReadonlyArray<Address> = known.length > 0 ? known : target.addresses
    return new Redis({ ...options, ...(nodes[turn++ % nodes.length] ?? server.address) })
  }
  try {
    await timed(cluster.connect(), timeout, "the cluster")
    // The client connects to a master when it first has a call for it, and meanwhile refuses all others.
    const unconnected = cluster.nodes("master").filter(({ status }) => status === "wait")
    await timed(Promise.allSettled(unconnected.map((master) => master.connect())), timeout, "the cluster")
  } catch (cause) {
    close()
    throw new ConnectFailure(`${target.shown}: ${cause instanceof Error ? cause.message : cause}`)
  }
  return {
    partitions: 16,
    client: () => cluster,
    subscriber,
    isReady: () => cluster.status === "ready",
    redial: () => {
      if (closed || cluster.status !== "ready") return false
      // It makes itself anew, from the names that it was given.
      cluster.disconnect(true)
      return true
    },
    close
  }
}
