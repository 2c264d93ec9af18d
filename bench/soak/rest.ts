/** What has to be so when nothing happens any more: it is looked at until it is, or until patience ends. */
import { setTimeout } from "node:timers/promises"
import { type Difference, differences } from "./check.js"
import type { Clients } from "./clients.js"
import { listsOf } from "./lists.js"
import { descriptors } from "./processes.js"
import type { Replicas } from "./replicas.js"
import { settings } from "./settings.js"

/** Looks until nothing is wrong. */
const until = async <A>(look: () => Promise<A>, isRight: (found: A) => boolean): Promise<A & { seconds: number }> => {
  const from = performance.now()
  for (;;) {
    // A replica may say that Redis has not answered in time, on a machine that is busy.
    const found = await look().catch((unanswered: Error) => unanswered)
    const seconds = (performance.now() - from) / 1_000
    const isOver = seconds > settings.patience
    if (found instanceof Error) {
      if (isOver) throw found
    } else if (isOver || isRight(found)) return { ...found, seconds }
    await setTimeout(500)
  }
}

/** The lists of all replicas, beside what the clients know, and what these see. */
export const rested = async (clients: Clients, { all }: Replicas) => {
  await clients.ask({ do: "rest" })
  return until(
    async () => {
      const found: Array<Difference> = []
      const answer = await clients.ask({ do: "compare" })
      for (const { port } of all) {
        for (const [room, listed] of await listsOf(port, answer.truth.keys())) {
          const truth = answer.truth.get(room) ?? new Map()
          found.push(...differences(`${room} at ${port}`, listed, truth, (key) => key.startsWith("s")))
        }
      }
      const of = (kind: Difference["kind"]): ReadonlyArray<string> =>
        found.filter((difference) => difference.kind === kind).map(({ what }) => what)
      return { answer, found, of, wrong: answer.wrong }
    },
    ({ answer, found, wrong }) => answer.unsettled === 0 && found.length === 0 && wrong.length === 0
  )
}

/** Nobody is listed, and no replica holds more descriptors than when it had started. */
export const left = async (clients: Clients, { all, bare }: Replicas) => {
  const { truth } = await clients.ask({ do: "compare" })
  await clients.ask({ do: "leave" })
  return until(
    async () => {
      const listed: Array<string> = []
      const open: Array<string> = []
      for (const { port, pid } of all) {
        // Before it is asked for lists, which takes connections.
        const now = descriptors(pid)
        if (now !== undefined && now > bare) open.push(`${now} at ${port}, ${bare} at the start`)
        for (const [room, list] of await listsOf(port, truth.keys())) {
          for (const key of list.keys()) listed.push(`${room} at ${port} lists ${key}`)
        }
      }
      return { listed, open }
    },
    ({ listed, open }) => listed.length === 0 && open.length === 0
  )
}
