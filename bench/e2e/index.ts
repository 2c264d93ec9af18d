/**
 * `npm run bench:e2e -- [--rounds 3] [--sockets 2000] [--rooms 200]`: the ready server beside what else one would pick, from end to
 * end: real servers, and clients in processes of their own that know who they see.
 *
 * In each round every server runs once, there and back; the ratios are taken within a round, and their median and range
 * are printed. Memory is live heap after a collection.
 */
import { parseArgs } from "node:util"
import { report } from "../harness.js"
import { batched, type Contender, ours, socketIo } from "./contenders.js"
import { type Figures, steady, storm } from "./scenarios.js"

const text = (fallback: string) => ({ type: "string", default: fallback }) as const
const { values } = parseArgs({ options: { rounds: text("3"), sockets: text("2000"), rooms: text("200") } })
const [rounds, sockets, rooms] = [Number(values.rounds), Number(values.sockets), Number(values.rooms)]
if (!(rounds >= 1 && rooms >= 1 && sockets % (2 * rooms) === 0)) {
  throw new Error("rounds and rooms are 1 or more, and every room has the same even number of sockets")
}

interface Bout {
  readonly name: string
  readonly rival: Contender
  readonly run: (contender: Contender) => Promise<Figures>
  /** How much of the rival's figure ours may be. */
  readonly targets: Figures
}

const bouts: ReadonlyArray<Bout> = [
  {
    name: `${sockets} sockets in ${rooms} rooms`,
    rival: socketIo,
    run: (contender) => storm(contender, { sockets, rooms }),
    targets: {
      "processor a join, us": 0.9,
      "processor a leave, us": 0.9,
      "processor a return, us": 0.9,
      "heap a socket, bytes": 0.8,
      "until all see all, ms": 1.2,
      "bytes to a client": 1.9
    }
  },
  {
    name: "one room of 700",
    rival: batched,
    run: (contender) => storm(contender, { sockets: 700, rooms: 1 }),
    targets: { "processor a join, us": 2, "processor a leave, us": 2.5, "bytes to a client": 1.8 }
  },
  {
    name: "one room of 500, 50 updates a second",
    rival: batched,
    run: (contender) => steady(contender, 500, 50, 5_000),
    targets: { "processor, ms a second": 1.3 }
  }
]

for (const { name, rival, run, targets } of bouts) {
  const mine: Array<Figures> = []
  const theirs: Array<Figures> = []
  for (let round = 0; round < rounds; round++) {
    const turns = [async () => mine.push(await run(ours)), async () => theirs.push(await run(rival))]
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn()
  }
  console.log(`${name}, beside ${rival.name}`)
  for (const figure of Object.keys(mine[0] ?? {})) {
    const [a, b] = [mine, theirs].map((runs) => runs.map((figures) => figures[figure] ?? Number.NaN))
    const ratios = (a ?? []).map((ours, round) => ours / (b?.[round] ?? Number.NaN))
    report(figure, a ?? [], "", undefined)
    report(`of ${rival.name}`, ratios, "", targets[figure])
  }
}
