/**
 * The port over `ioredis`, 5.10 or 6.
 *
 * What answers at the url is asked: a server, sentinels, or a cluster. What is refused for good (a wrong password, a
 * server too old) fails at once; a server that is not there is tried until the timeout. Afterwards connections come
 * back by themselves, with handlers told.
 */
import type { Script } from "../protocol/scripts.js"
import {
  type Connect,
  type ConnectionOptions,
  connectionOptions,
  type RedisConnection,
  type Where
} from "./connection.js"
import { baseOptions, ConnectFailure, discover, discoverOwn, NotMade, OWN } from "./discovery.js"
import type { Port, PortEvents, RedisReply } from "./port.js"
import { ReconnectingClient } from "./reconnecting.js"
import { single, type Topology, topologyOf } from "./topology.js"
import { parseUrl, UrlRefusal } from "./url.js"
import { pause, timed } from "./waiting.js"

export interface OpenOptions {
  readonly where: Where
  /** Milliseconds until a call without an answer has failed. */
  readonly timeout: number
  /** What the server shows in `CLIENT LIST`. */
  readonly name: string
}

export const open = async ({ where, timeout, name }: OpenOptions, events: PortEvents): Promise<Port> => {
  let reason = ""
  const handlers: PortEvents = {
    ...events,
    onDown: (why) => {
      reason = `: ${why}`
      events.onDown(why)
    }
  }
  const found =
    where.connect === undefined
      ? await openUrl(where.url, name, timeout, handlers)
      : await openOwn(where.connect, name, timeout, handlers)
  const port = portOf(found, timeout, handlers)
  for (const until = performance.now() + timeout; !(port.isReady() && port.isSubscriberReady()); ) {
    if (performance.now() > until) {
      port.close()
      throw new ConnectFailure(`${found.shown} answered once, and then took no connection${reason}`)
    }
    await pause(5)
  }
  if (port.database > 0) {
    // The client goes on with database 0 when there is no other, and says nothing.
    await port.command("SELECT", [port.database]).catch((cause: Error) => {
      port.close()
      throw new ConnectFailure(`${found.shown} has no database ${port.database}: ${cause.message}`)
    })
  }
  return port
}

/** What was found, and how connections to it are made. */
interface Found extends Pick<Port, "mode" | "warnings" | "database"> {
  readonly topology: Topology
  /** What it is called in errors. */
  readonly shown: string
}

const openUrl = async (url: string, name: string, timeout: number, handlers: PortEvents): Promise<Found> => {
  const target = parseUrl(url)
  if (target instanceof UrlRefusal) throw new ConnectFailure(target.reason)
  const base = baseOptions(target, name, timeout)
  const server = await discover(target, base, timeout)
  const topology = await topologyOf(server, target, base, timeout, handlers)
  const { mode, warnings } = server
  return { mode, warnings, database: target.database, topology, shown: target.shown }
}

const openOwn = async (connect: Connect, name: string, timeout: number, handlers: PortEvents): Promise<Found> => {
  const options = connectionOptions(name, timeout)
  const seen = new WeakSet<RedisConnection>()
  const make = async (): Promise<RedisConnection> => {
    const connection = await madeInTime(connect, options, timeout)
    if (seen.has(connection))
      throw new ConnectFailure("connect gave a connection twice: each call makes one of its own")
    if (typeof connection === "object" && connection !== null) seen.add(connection)
    return connection
  }
  const { warnings, database } = await discoverOwn(make, timeout)
  return { mode: "standalone", warnings, database, topology: single(make, handlers), shown: OWN }
}

/** What comes too late is ended at once. */
const madeInTime = async (connect: Connect, options: ConnectionOptions, timeout: number): Promise<RedisConnection> => {
  let isLate = false
  const making = (async () => connect(options))()
  making
    .then((connection) => {
      if (isLate) connection.disconnect()
    })
    .catch(() => {})
  try {
    return await timed(making, timeout, "its promise")
  } catch (cause) {
    isLate = true
    throw new NotMade(`connect gave no connection: ${cause instanceof Error ? cause.message : cause}`)
  }
}

const portOf = ({ mode, warnings, database, topology }: Found, timeout: number, handlers: PortEvents): Port => {
  /** The subscriber stands where this connection stood: where nobody may publish any more. */
  const redial = (client: Pick<RedisConnection, "call"> | undefined, reason: string): void => {
    if (topology.redial(client, reason)) subscriber.redial(subscriber.client, reason)
  }

  const send = (name: string, args: ReadonlyArray<string | number>): Promise<RedisReply> => {
    const client = topology.client()
    if (client === undefined) return Promise.reject(new Error("Connection is closed."))
    const reply = timed(client.call(name, ...args) as Promise<RedisReply>, timeout, name)
    reply.catch((cause) => {
      const reason = cause instanceof Error ? cause.message : ""
      if (isWrongServer(reason)) redial(client, reason)
    })
    return reply
  }

  const subscriber = new ReconnectingClient(
    topology.subscriber,
    (client) => {
      client.on("message", handlers.onMessage)
      handlers.onSubscriberReady()
    },
    handlers.onSubscriberDown
  )
  const onClient = <A>(what: string, use: (client: RedisConnection) => Promise<A>): Promise<A> => {
    const { client } = subscriber
    return client === undefined ? Promise.reject(new Error("Connection is closed.")) : timed(use(client), timeout, what)
  }
  const heard = async (): Promise<void> => {
    await onClient("PING", (client) => client.ping())
  }
  // Nothing else is sent on an idle subscriber, so without this a half-open connection would stay for ever.
  const ping = setInterval(() => {
    if (subscriber.isReady()) heard().catch(() => {})
  }, timeout)
  ping.unref()

  const onSubscriber = async (name: "subscribe" | "unsubscribe", channels: ReadonlyArray<string>): Promise<void> => {
    for (let i = 0; i < channels.length; i += 500) {
      const some = channels.slice(i, i + 500)
      await onClient(name, (client) => client[name](...some))
    }
  }

  return {
    mode,
    partitions: topology.partitions,
    warnings,
    database,
    command: send,
    run: (script, keys, args) => runScript(send, script, keys, args),
    subscribe: (channels) => onSubscriber("subscribe", channels),
    unsubscribe: (channels) => onSubscriber("unsubscribe", channels),
    publish: async (channel, text) => {
      await send("PUBLISH", [channel, text])
    },
    heard,
    checkMaster: async () => {
      const client = mode === "cluster" ? undefined : topology.client()
      if (client === undefined) return
      const found = await timed(client.call("INFO", "replication") as Promise<RedisReply>, timeout, "INFO")
      if (/^role:slave/m.test(String(found))) redial(client, "the server is a replica by now")
    },
    isReady: topology.isReady,
    isSubscriberReady: () => subscriber.isReady(),
    renewSubscriber: (reason) => void subscriber.redial(subscriber.client, reason),
    close: () => {
      clearInterval(ping)
      subscriber.close()
      topology.close()
    }
  }
}

/**
 * What a server answers that is not, or not any more, the one to ask: an old master that lives on as a replica or cut
 * off from its own, one that is loading, one whose users have changed. Its name may lead elsewhere by now.
 */
const isWrongServer = (reason: string): boolean =>
  /^(READONLY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|LOADING|NOAUTH|WRONGPASS)\b/.test(reason)

const runScript = async (
  send: (name: string, args: ReadonlyArray<string | number>) => Promise<RedisReply>,
  script: Script,
  keys: ReadonlyArray<string>,
  args: ReadonlyArray<string | number>
): Promise<RedisReply> => {
  try {
    return await send("EVALSHA", [script.hash, keys.length, ...keys, ...args])
  } catch (cause) {
    if (!(cause instanceof Error && cause.message.startsWith("NOSCRIPT"))) throw cause
    // A server that restarted, or a node that took over: it knows the script from now on.
    return send("EVAL", [script.text, keys.length, ...keys, ...args])
  }
}
