/**
 * A TCP proxy between a replica and Redis, to make a network that fails: cut it, slow it, or keep bytes back and
 * deliver them when nobody expects them any more.
 */
import { createConnection, createServer, type Socket } from "node:net"

export interface Proxy {
  readonly port: number
  readonly url: string
  /** Connections that are open through it. */
  readonly connections: () => number
  /** Ends all connections and refuses new ones, until `mend`. */
  readonly cut: () => void
  /** Keeps connections and swallows what they say, both ways, until `mend`, which ends them. */
  readonly freeze: () => void
  readonly mend: () => void
  /** New connections go to another port: what a name does that moves. */
  readonly moveTo: (port: number) => void
  /** Milliseconds that each chunk takes on its way to Redis. */
  readonly delay: (ms: number) => void
  /** Milliseconds that each chunk takes on its way to a subscriber. */
  readonly delayMessages: (ms: number) => void
  /** From now on keeps what replicas send instead of passing it on. */
  readonly hold: () => void
  /** Resolves when something is kept. */
  readonly kept: () => Promise<void>
  /** Ends the replicas' side of connections whose bytes are kept, so that they connect anew; those pass again. */
  readonly orphan: () => void
  /** Sends Redis what is kept over the connections it was meant for: bytes of the dead, delivered late. */
  readonly deliver: () => Promise<void>
  readonly close: () => Promise<void>
}

interface Pair {
  readonly replica: Socket
  readonly redis: Socket
  readonly kept: Array<Buffer>
  holding: boolean
  subscribes: boolean
}

export const startProxy = async (first: number): Promise<Proxy> => {
  let target = first
  const pairs = new Set<Pair>()
  let down = false
  let frozen = false
  let holding = false
  let lag = 0
  let messageLag = 0
  const orphans = new Set<Pair>()
  const onKept: Array<() => void> = []

  const server = createServer((replica) => {
    if (down) {
      replica.destroy()
      return
    }
    const redis = createConnection(target, "127.0.0.1")
    const pair: Pair = { replica, redis, kept: [], holding, subscribes: false }
    pairs.add(pair)
    replica.setNoDelay(true)
    redis.setNoDelay(true)
    replica.on("data", (data) => {
      if (frozen) return
      pair.subscribes ||= /subscribe/i.test(data.toString("latin1"))
      if (pair.holding) {
        pair.kept.push(data)
        for (const resolve of onKept.splice(0)) resolve()
      } else if (lag > 0) setTimeout(() => redis.write(data), lag)
      else redis.write(data)
    })
    redis.on("data", (data) => {
      if (frozen) return
      if (pair.subscribes && messageLag > 0) setTimeout(() => replica.write(data), messageLag)
      else replica.write(data)
    })
    const end = (): void => {
      pairs.delete(pair)
      replica.destroy()
      if (!orphans.has(pair)) redis.destroy()
    }
    for (const socket of [replica, redis]) {
      socket.on("error", () => {})
      socket.on("close", end)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0

  const endAll = (): void => {
    for (const { replica } of [...pairs]) replica.destroy()
  }
  const orphan = (): void => {
    holding = false
    for (const pair of [...pairs]) {
      if (!pair.holding) continue
      orphans.add(pair)
      pair.replica.destroy()
    }
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    connections: () => pairs.size,
    cut: () => {
      down = true
      endAll()
    },
    freeze: () => {
      frozen = true
    },
    mend: () => {
      if (frozen) endAll()
      down = false
      frozen = false
    },
    moveTo: (port) => {
      target = port
    },
    delay: (ms) => {
      lag = ms
    },
    delayMessages: (ms) => {
      messageLag = ms
    },
    hold: () => {
      holding = true
      for (const pair of pairs) pair.holding = true
    },
    kept: async () => {
      if ([...pairs].some((pair) => pair.kept.length > 0)) return
      await new Promise<void>((resolve) => onKept.push(resolve))
    },
    orphan,
    deliver: async () => {
      const delivered = [...orphans].map(
        ({ redis, kept }) =>
          new Promise<void>((resolve) => {
            redis.once("close", resolve)
            redis.resume()
            for (const data of kept) redis.write(data)
            // Redis closes its side when it has read everything.
            redis.end()
          })
      )
      orphans.clear()
      await Promise.all(delivered)
    },
    close: async () => {
      down = true
      endAll()
      for (const { redis } of orphans) redis.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
}
