/**
 * How connections are made to a single server, to the master behind sentinels, and to a cluster.
 */
import { Cluster, type ClusterOptions, Redis } from "ioredis"
import { type Base, ConnectFailure, type DiscoveredServer, given } from "./discovery.js"
import type { PortEvents } from "./port.js"
import { ReconnectingClient } from "./reconnecting.js"
import { timed } from "./timeout.js"
import type { Address, Target } from "./url.js"

/** What a kind of Redis needs of its own. */
export interface Topology {
  readonly partitions: number
  readonly client: () => Redis | Cluster
  readonly subscriber: () => Redis
  readonly isReady: () => boolean
  /** Dials anew, if the connection is still the one that answered so. Whether it was. */
  readonly redial: (client: Redis | Cluster, reason: string) => boolean
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
      return singleWires(() => new Redis({ ...options, ...server.address, db: target.database }), handlers)
    case "sentinel":
      return singleWires(() => masterOf(server, target, options), handlers)
    case "cluster":
      return clusterWires(server, target, options, timeout, handlers)
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
    sentinels: [...target.addresses],
    name: master,
    sentinelRetryStrategy: () => null,
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(target.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {})
  })

const singleWires = (make: () => Redis, handlers: PortEvents): Topology => {
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

const clusterWires = async (
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
    return new Redis({ ...options, ...(nodes[turn++ % nodes.length] ?? server.address) })
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
    redial: () => {
      if (closed || cluster.status !== "ready") return false
      // It makes itself anew, from the names that it was given.
      cluster.disconnect(true)
      return true
    },
    close: () => {
      closed = true
      cluster.disconnect()
    }
  }
}
