/** What the processes use, looked at again and again, and what is asked of Redis. */
import { readdirSync } from "node:fs"
import type { RedisServer } from "../../test/support/redis.js"
import type { Server } from "../e2e/contenders.js"
import type { Usage } from "../e2e/probe.js"
import { median } from "../harness.js"
import type { Sample } from "./trend.js"

/** File descriptors of a process, or `undefined` where the system does not tell. */
export const descriptors = (pid: number): number | undefined => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}

interface Look {
  readonly pid: number
  /** Seconds since the first look. */
  readonly at: number
  readonly clients: number
  readonly usage: Usage
  readonly descriptors: number | undefined
}

export class Looks {
  private readonly looks: Array<Look> = []
  private readonly from = performance.now()

  async take(servers: ReadonlyArray<Server>, clients: ReadonlyMap<number, number>): Promise<void> {
    for (const server of servers) {
      const open = descriptors(server.pid)
      const usage = await server.usage()
      if (usage === undefined) continue
      this.looks.push({
        pid: server.pid,
        at: (performance.now() - this.from) / 1_000,
        clients: clients.get(server.port) ?? 0,
        usage,
        descriptors: open
      })
    }
  }

  /** Live heap of a process since some time, in bytes. */
  heap(pid: number, since: number): ReadonlyArray<Sample> {
    return this.of(pid, since).map(({ at, clients, usage }) => ({ at, clients, value: usage.heap }))
  }

  descriptors(pid: number, since: number): ReadonlyArray<Sample> {
    return this.of(pid, since).flatMap(({ at, clients, descriptors }) =>
      descriptors === undefined ? [] : [{ at, clients, value: descriptors }]
    )
  }

  /** The event loop's delay in 99 of 100 looks, in ms, over all intervals of all replicas. */
  get delay(): { readonly median: number; readonly most: number } {
    const p99 = this.looks.map(({ usage }) => usage.p99)
    return { median: median(p99), most: Math.max(...p99) }
  }

  /** Cores that a replica used between two looks: the median. */
  get processor(): number {
    return median(
      this.looks.flatMap((look, i) => {
        const before = this.looks.slice(0, i).findLast(({ pid }) => pid === look.pid)
        return before === undefined ? [] : [(look.usage.cpu - before.usage.cpuAfter) / 1e6 / (look.at - before.at)]
      })
    )
  }

  /** The longest that any event loop was held up, in ms. */
  get longest(): number {
    return Math.max(...this.looks.map(({ usage }) => usage.longest))
  }

  private of(pid: number, since: number): ReadonlyArray<Look> {
    return this.looks.filter((look) => look.pid === pid && look.at >= since)
  }
}

export interface Asked {
  /** Commands, those in scripts too. */
  readonly commands: number
  /** What was sent to it. */
  readonly calls: number
  /** Seconds of processor. */
  readonly processor: number
}

/** All that a Redis has done up to now. */
export const asked = async (redis: RedisServer): Promise<Asked> => {
  const [stats, cpu] = await Promise.all([redis.command("INFO", "commandstats"), redis.command("INFO", "cpu")])
  const calls = Array.from(stats.matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm), ([, name = "", calls]) => ({
    name,
    calls: Number(calls)
  }))
  const sum = (of: typeof calls): number => of.reduce((sum, { calls }) => sum + calls, 0)
  const seconds = (name: string): number => Number(new RegExp(`^${name}:(.*)$`, "m").exec(cpu)?.[1])
  return {
    commands: sum(calls),
    calls: sum(calls.filter(({ name }) => /^(evalsha|eval|fcall)$/.test(name))),
    processor: seconds("used_cpu_user") + seconds("used_cpu_sys")
  }
}
