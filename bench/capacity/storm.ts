/** So many sockets on one replica: all join as fast as it takes them, then all are gone at once. */
import { performance } from "node:perf_hooks"
import { at, numbers, Rig } from "./rig.js"

const ROOM = 10

/** Tells each figure when it is known. */
export const storm = (sockets: number, tell: (name: string, value: number) => void): Promise<void> =>
  Rig.with(1, async (rig) => {
    await rig.warm(200)
    const crowds = [rig.crowd(), rig.crowd()]
    const rooms = sockets / ROOM
    const from = performance.now()
    // Every second member of each room in a process.
    const came = await rig.used(() =>
      Promise.all(
        crowds.map((crowd, odd) => {
          const members = numbers(0, sockets).filter((i) => Math.floor(i / rooms) % 2 === odd)
          return rig.join(crowd, 0, members, rooms, ROOM)
        })
      )
    )
    const seconds = (performance.now() - from) / 1_000
    tell("processor a join, us", at(came.node, 0) / sockets)
    tell("of Redis a join, us", came.redis / sockets)
    tell("joins a second of a core", 1e6 / (at(came.node, 0) / sockets))
    tell("until all saw all, s", seconds)
    tell("longest turn while they joined, ms", at(came.longest, 0))
    tell("live heap a socket, bytes", at(came.heap, 0) / sockets)
    const left = await rig.used(() => Promise.all(crowds.map((crowd) => rig.leave(crowd, 0, 0))))
    tell("processor a leave, us", at(left.node, 0) / sockets)
    tell("of Redis a leave, us", left.redis / sockets)
    tell("longest turn while they left, ms", at(left.longest, 0))
  })
