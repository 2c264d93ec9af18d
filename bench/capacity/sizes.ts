/** Sizes that run here, beside what the model says of them. */
import { performance } from "node:perf_hooks"
import { type Constants, cost } from "./model.js"
import { numbers, Rig } from "./rig.js"

export interface Size {
  readonly people: number
  readonly room: number
  /** A second, in all. */
  readonly updates: number
}

const REPLICAS = 3
const MS = 4_000

export interface Compared {
  readonly what: string
  readonly predicted: number
  readonly measured: number
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0)

/** People come to three replicas in turn, then update. Clients of this crowd give no heartbeats. */
export const compare = (constants: Constants, { people, room, updates }: Size): Promise<ReadonlyArray<Compared>> =>
  Rig.with(REPLICAS, async (rig) => {
    const of = { ...constants, heartbeat: 0 }
    const rooms = people / room
    await rig.warm(100)
    const crowds = numbers(0, REPLICAS).map((replica) => ({
      replica,
      crowd: rig.crowd(),
      members: numbers(0, people).filter((i) => Math.floor(i / rooms) % REPLICAS === replica)
    }))
    const from = performance.now()
    const came = await rig.used(() =>
      Promise.all(crowds.map(({ crowd, replica, members }) => rig.join(crowd, replica, members, rooms, room)))
    )
    const seconds = (performance.now() - from) / 1_000
    const update = async () => {
      const told = await Promise.all(
        crowds.map(({ crowd }) => crowd.ask({ do: "update", perSecond: updates / REPLICAS, ms: MS }, "updated"))
      )
      return sum(told.map(({ sent }) => sent))
    }
    await update()
    let sent = 0
    const before = performance.now()
    const changed = await rig.used(async () => {
      sent = await update()
    })
    const lasted = Math.max(MS / 1_000, (performance.now() - before) / 1_000 - 1.5)
    const none = { joins: 0, leaves: 0, updates: 0 }
    // On the way half of them are there.
    const coming = cost(of, { ...none, people: people / 2, room: room / 2, joins: people / seconds }, REPLICAS)
    const changing = cost(of, { ...none, people, room, updates: sent / lasted }, REPLICAS)
    return [
      { what: "Node, us a join", predicted: (coming.node * seconds) / people, measured: sum(came.node) / people },
      { what: "Node, us an update", predicted: (changing.node * lasted) / sent, measured: sum(changed.node) / sent },
      { what: "Redis, us an update", predicted: (changing.redis * lasted) / sent, measured: changed.redis / sent },
      {
        what: "heap of a replica, MB",
        predicted: changing.bytes / 1e6,
        measured: sum(came.heap) / REPLICAS / 1e6
      }
    ]
  })
