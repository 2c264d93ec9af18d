/**
 * A Redis Cluster of three masters for the tests, and how to move a slot between them.
 */
import { Redis } from "ioredis"
import { freePort, type RedisServer, startRedis } from "./redis.js"

export interface RedisCluster {
  readonly url: string
  readonly nodes: ReadonlyArray<RedisServer>
  /** Moves the slot of a key to the next master, a key after the other. */
  readonly moveSlotOf: (key: string) => Promise<void>
  /** The same command at every master. */
  readonly everywhere: (...args: ReadonlyArray<string>) => Promise<ReadonlyArray<string>>
  readonly stop: () => Promise<void>
}

export const startCluster = async (): Promise<RedisCluster> => {
  const nodes: Array<RedisServer> = []
  const buses: Array<number> = []
  for (let i = 0; i < 3; i++) {
    const bus = await freePort()
    buses.push(bus)
    nodes.push(await startNode(bus))
  }
  const clients = nodes.map(({ port }) => new Redis({ host: "127.0.0.1", port }))
  const call = (node: number, ...args: ReadonlyArray<string>): Promise<unknown> => {
    const [name = "", ...rest] = args
    return (clients[node] as Redis).call(name, ...rest)
  }
  const ids = await Promise.all(nodes.map(async (_, node) => String(await call(node, "CLUSTER", "MYID"))))
  const ranges = [
    [0, 5460],
    [5461, 10922],
    [10923, 16383]
  ] as const
  for (const [node, [from, to]] of ranges.entries()) {
    await call(node, "CLUSTER", "ADDSLOTSRANGE", String(from), String(to))
  }
  for (const node of [1, 2]) await call(node, "CLUSTER", "MEET", "127.0.0.1", String(nodes[0]?.port), String(buses[0]))
  for (const node of [0, 1, 2]) {
    for (;;) {
      const info = String(await call(node, "CLUSTER", "INFO"))
      if (info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3")) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const owners = Array.from({ length: 16384 }, (_, slot) =>
    ranges.findIndex(([from, to]) => slot >= from && slot <= to)
  )

  return {
    url: `redis://127.0.0.1:${nodes[0]?.port}`,
    nodes,
    moveSlotOf: async (key) => {
      const slot = Number(await call(0, "CLUSTER", "KEYSLOT", key))
      const from = owners[slot] as number
      const to = (from + 1) % 3
      await call(to, "CLUSTER", "SETSLOT", String(slot), "IMPORTING", ids[from] as string)
      await call(from, "CLUSTER", "SETSLOT", String(slot), "MIGRATING", ids[to] as string)
      for (;;) {
        const keys = (await call(from, "CLUSTER", "GETKEYSINSLOT", String(slot), "1")) as ReadonlyArray<string>
        if (keys.length === 0) break
        await call(from, "MIGRATE", "127.0.0.1", String(nodes[to]?.port), "", "0", "5000", "KEYS", ...keys)
        // So that calls come in between, as they do with a large slot.
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      for (const node of [to, from, 3 - to - from]) {
        await call(node, "CLUSTER", "SETSLOT", String(slot), "NODE", ids[to] as string)
      }
      owners[slot] = to
    },
    everywhere: (...args) => Promise.all(nodes.map((node) => node.command(...args))),
    stop: async () => {
      for (const client of clients) client.disconnect()
      await Promise.all(nodes.map((node) => node.stop()))
    }
  }
}

/** The bus has a free port as well: by default it is 10,000 above the other. */
const startNode = async (bus: number): Promise<RedisServer> =>
  startRedis({ args: ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", String(bus)] })
