/** What happens to a server, and what it cost it. Every scenario ends only when each client has seen what is so. */
import { setTimeout } from "node:timers/promises"
import { median } from "../harness.js"
import { type Contender, Crowd, type Server, start } from "./contenders.js"
import { micros } from "./wire.js"

/** By name, in the unit that the name says. */
export type Figures = Readonly<Record<string, number>>

export interface Size {
  readonly sockets: number
  readonly rooms: number
}

/** A server, and three crowds of which two make up all members: every second of each room. */
const withServer = async (
  contender: Contender,
  run: (server: Server, crowds: readonly [Crowd, Crowd, Crowd]) => Promise<Figures>
): Promise<Figures> => {
  const server = await start(contender)
  const crowds = [Crowd.gather(), Crowd.gather(), Crowd.gather()] as const
  try {
    return await run(server, crowds)
  } finally {
    for (const crowd of crowds) await crowd.kill()
    await server.end("SIGKILL")
  }
}

const half = ({ sockets, rooms }: Size, odd: number): ReadonlyArray<number> =>
  Array.from({ length: sockets }, (_, i) => i).filter((i) => Math.floor(i / rooms) % 2 === odd)

const used = async (server: Server) => {
  const usage = await server.usage()
  if (usage === undefined) throw new Error(`the server has ended: ${server.said()}`)
  return usage
}

/** What a server uses while something happens, until it has nothing more to do. */
const costOf = async (server: Server, work: () => Promise<number>) => {
  const before = await used(server)
  const ms = await work()
  await setTimeout(300)
  const after = await used(server)
  return {
    ms,
    cpu: after.cpu - before.cpuAfter,
    longest: after.longest,
    heap: after.heap - before.heap,
    rss: after.rss
  }
}

/** All join, the process of half of them dies, and as many come back at once. */
export const storm = (contender: Contender, size: Size): Promise<Figures> =>
  withServer(contender, async (server, [stays, dies, returns]) => {
    const each = size.sockets / size.rooms
    const join = (crowd: Crowd, odd: number, atOnce: number) =>
      crowd.ask(
        {
          do: "join",
          port: server.port,
          protocol: contender.protocol,
          rooms: size.rooms,
          members: half(size, odd),
          atOnce,
          expect: each
        },
        "converged"
      )
    const since = async (from: number, ends: ReadonlyArray<Promise<{ readonly at: number }>>): Promise<number> =>
      (Math.max(...(await Promise.all(ends)).map(({ at }) => at)) - from) / 1_000

    const joins = await costOf(server, () => since(micros(), [join(stays, 0, 64), join(dies, 1, 64)]))
    const counted = await Promise.all([stays, dies].map((crowd) => crowd.ask({ do: "count" }, "counted")))
    const bytes = counted.reduce((sum, { bytes }) => sum + bytes, 0)

    const leaves = await costOf(server, async () => {
      const seen = stays.ask({ do: "expect", expect: each / 2 }, "converged")
      const from = micros()
      await dies.kill()
      return since(from, [seen])
    })
    const backs = await costOf(server, () => {
      const seen = stays.ask({ do: "expect", expect: each }, "converged")
      return since(micros(), [join(returns, 1, size.sockets), seen])
    })
    return {
      "processor a join, us": joins.cpu / size.sockets,
      "until all see all, ms": joins.ms,
      "bytes to a client": bytes / size.sockets,
      "heap a socket, bytes": joins.heap / size.sockets,
      "memory of the process, MB": joins.rss / 1e6,
      "processor a leave, us": leaves.cpu / (size.sockets / 2),
      "processor a return, us": backs.cpu / (size.sockets / 2),
      "longest turn, ms": Math.max(joins.longest, leaves.longest, backs.longest)
    }
  })

/** Members of one room move their cursors. */
export const steady = (contender: Contender, sockets: number, perSecond: number, ms: number): Promise<Figures> =>
  withServer(contender, async (server, [crowd]) => {
    const members = Array.from({ length: sockets }, (_, i) => i)
    const { port } = server
    const { protocol } = contender
    await crowd.ask({ do: "join", port, protocol, rooms: 1, members, atOnce: 64, expect: sockets }, "converged")
    // What is measured is compiled by then.
    await crowd.ask({ do: "update", perSecond, ms: 1_000 }, "updated")
    let delays: ReadonlyArray<number> = []
    const cost = await costOf(server, async () => {
      const updated = await crowd.ask({ do: "update", perSecond, ms }, "updated")
      delays = updated.delays
      return ms
    })
    return { "processor, ms a second": cost.cpu / ms, "until heard, ms (median)": median(delays) / 1_000 }
  })
