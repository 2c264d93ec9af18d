/**
 * The port over `ioredis`, 5.10 or 6.
 *
 * What answers at the url is asked: a server, sentinels, or a cluster. What is refused for good (a wrong password, a
 * server too old) fails at once; a server that is not there is tried until the timeout. Afterwards connections come
 * back by themselves, with handlers told.
 */
import { Command } from "ioredis"
import type { Script } from "../protocol/scripts.js"
import { baseOptions, ConnectFailure, type ConnectOptions, type DiscoveredServer, discover } from "./discovery.js"
import type { Port, PortEvents, RedisReply } from "./port.js"
import { ReconnectingClient } from "./reconnecting.js"
import { timed } from "./timeout.js"
import { type Topology, topologyOf } from "./topology.js"
import { parseUrl, UrlRefusal } from "./url.js"

export const connect = async (options: ConnectOptions, handlers: PortEvents): Promise<Port> => {
  const target = parseUrl(options.url)
  if (target instanceof UrlRefusal) throw new ConnectFailure(target.reason)
  const base = baseOptions(target, options)
  const server = await discover(target, base, options.timeout)
  const wires = await topologyOf(server, target, base, options.timeout, handlers)
  const port = portOf(server, wires, options.timeout, handlers)
  for (const until = performance.now() + options.timeout; !(port.isReady() && port.isSubscriberReady()); ) {
    if (performance.now() > until) {
      port.close()
      throw new ConnectFailure(`${target.shown} answered once, and then took no connection`)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  if (target.database > 0) {
    // The client goes on with database 0 when there is no other, and says nothing.
    await port.command("SELECT", [target.database]).catch((cause: Error) => {
      port.close()
      throw new ConnectFailure(`${target.shown} has no database ${target.database}: ${cause.message}`)
    })
  }
  return port
}

const portOf = (server: DiscoveredServer, wires: Topology, timeout: number, handlers: PortEvents): Port => {
  const send = (name: string, args: ReadonlyArray<string | number>): Promise<RedisReply> => {
    // The client's type wants an array that it may change, and changes none.
    const command = new Command(name, args as Array<string | number>, { replyEncoding: "utf8" })
    const client = wires.client()
    const reply = timed(client.sendCommand(command) as Promise<RedisReply>, timeout, name)
    reply.catch((cause) => {
      const reason = cause instanceof Error ? cause.message : ""
      if (!isWrongServer(reason)) return
      // The subscriber stands where this connection stood: where nobody may publish any more.
      if (wires.redial(client, reason)) subscriber.redial(subscriber.client, reason)
    })
    return reply
  }

  const subscriber = new ReconnectingClient(
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
    partitions: wires.partitions,
    warnings: server.warnings,
    command: send,
    run: (script, keys, args) => runScript(send, script, keys, args),
    subscribe: (channels) => onSubscriber("subscribe", channels),
    unsubscribe: (channels) => onSubscriber("unsubscribe", channels),
    publish: async (channel, text) => {
      await send("PUBLISH", [channel, text])
    },
    heard: async () => {
      await timed(subscriber.client.ping(), timeout, "PING")
    },
    isReady: wires.isReady,
    isSubscriberReady: () => subscriber.isReady(),
    renewSubscriber: (reason) => void subscriber.redial(subscriber.client, reason),
    close: () => {
      clearInterval(ping)
      subscriber.close()
      wires.close()
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
