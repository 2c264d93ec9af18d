/** Replicas over a Redis, crowds that come to them, and what each has used meanwhile. */
import { setTimeout } from "node:timers/promises"
import { type RedisServer, startRedis } from "../../test/support/redis.js"
import { Crowd, ours, PATIENT, type Server, start } from "../e2e/contenders.js"
import { asked } from "../soak/processes.js"

export interface Used {
  /** Microseconds of processor of each replica. */
  readonly node: ReadonlyArray<number>
  /** Microseconds of processor of Redis. */
  readonly redis: number
  /** The longest that each event loop was held up, in ms. */
  readonly longest: ReadonlyArray<number>
  /** Bytes of live heap that came to each. */
  readonly heap: ReadonlyArray<number>
}

/** Milliseconds from one answer to the next, more than the window of a diff, and how many. */
const REST = 100
const TURNS = 6

export const at = (values: ReadonlyArray<number>, i: number): number => values[i] ?? Number.NaN
export const numbers = (from: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => from + i)

export class Rig {
  private readonly crowds: Array<Crowd> = []

  private constructor(
    private readonly redis: RedisServer,
    private readonly servers: ReadonlyArray<Server>
  ) {}

  /** Runs something on so many replicas, and ends them. */
  static async with<A>(replicas: number, run: (rig: Rig) => Promise<A>): Promise<A> {
    const redis = await startRedis()
    const servers: Array<Server> = []
    for (let i = 0; i < replicas; i++) servers.push(await start(ours, { ...PATIENT, REDIS_URL: redis.url }))
    const rig = new Rig(redis, servers)
    try {
      return await run(rig)
    } finally {
      for (const crowd of rig.crowds) await crowd.kill()
      for (const server of servers) await server.end("SIGKILL")
      await redis.stop()
    }
  }

  crowd(): Crowd {
    const crowd = Crowd.gather()
    this.crowds.push(crowd)
    return crowd
  }

  /** Lets members come to a replica, and waits until each sees as many as it should. */
  join(crowd: Crowd, replica: number, members: ReadonlyArray<number>, rooms: number, expect: number) {
    const port = this.servers[replica]?.port ?? 0
    return crowd.ask({ do: "join", port, protocol: "phoenix", rooms, members, atOnce: 64, expect }, "converged")
  }

  /** What is measured later is compiled by then, and has grown what grows once. */
  async warm(sockets: number): Promise<void> {
    for (const replica of this.servers.keys()) {
      const crowd = this.crowd()
      await this.join(crowd, replica, numbers(0, sockets), sockets, 1)
      await crowd.ask({ do: "update", perSecond: 200, ms: 2_000 }, "updated")
      await this.leave(crowd, replica, 0)
    }
  }

  /** What is used until nothing more is to do. What is used all the time is in it, so something has to happen. */
  async used(work: () => Promise<unknown>): Promise<Used> {
    const before = await this.look()
    await work()
    await this.rest()
    const after = await this.look()
    return {
      node: after.usages.map(({ cpu }, i) => cpu - (before.usages[i]?.cpuAfter ?? 0)),
      redis: after.redis - before.redis,
      longest: after.usages.map(({ longest }) => longest),
      heap: after.usages.map(({ heap }, i) => heap - (before.usages[i]?.heap ?? 0))
    }
  }

  /** Ends a crowd as a host that fails, and waits until its replica has only so many connections. */
  async leave(crowd: Crowd, replica: number, remaining: number): Promise<void> {
    await crowd.kill()
    while ((await this.health(replica)).connections > remaining) await setTimeout(REST)
  }

  private async health(replica: number): Promise<{ readonly connections: number }> {
    const answer = await fetch(`http://127.0.0.1:${this.servers[replica]?.port}/health`)
    return (await answer.json()) as { readonly connections: number }
  }

  /** Each replica has taken what had come, and told what follows from it: it answers, again and again. */
  private async rest(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) {
      await setTimeout(REST)
      for (const replica of this.servers.keys()) await this.health(replica)
    }
  }

  private async look() {
    const usages = []
    for (const server of this.servers) {
      const usage = await server.usage()
      if (usage === undefined) throw new Error(`a replica has ended: ${server.said()}`)
      usages.push(usage)
    }
    return { usages, redis: (await asked(this.redis)).processor * 1e6 }
  }
}

/** Frames that a crowd has received up to now. */
export const frames = async (crowd: Crowd): Promise<number> => (await crowd.ask({ do: "count" }, "counted")).frames
