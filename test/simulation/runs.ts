/**
 * Schedules one after the other, and of the first that fails what is needed to understand it.
 */
import { type Schedule, scheduleOf, shrink } from "./schedule.js"
import * as World from "./world.js"

/** Runs of so many seeds from one on. Why the first that failed did, in words; `undefined` when none did. */
export const simulate = async (
  seed: number,
  runs: number,
  onRun: (run: number) => void = () => {}
): Promise<string | undefined> => {
  for (let run = 1; run <= runs; run++) {
    const schedule = scheduleOf(seed + run - 1)
    const problems = await play(schedule)
    onRun(run)
    if (problems.length > 0) return explain(schedule, run)
  }
  return undefined
}

/** Then the event loop has a turn, as it has none while time is virtual. */
const play = async (schedule: Schedule): Promise<ReadonlyArray<string>> => {
  const problems = await World.play(schedule)
  await new Promise((resolve) => setImmediate(resolve))
  return problems
}

const explain = async (schedule: Schedule, run: number): Promise<string> => {
  const shrunk = await shrink(schedule, async (smaller) => (await play(smaller)).length > 0)
  return [
    `run ${run}, seed ${schedule.seed}: ${shrunk.moves.length} of ${schedule.moves.length} moves are enough:`,
    `{ seed: ${schedule.seed}, lives: ${JSON.stringify(shrunk.lives)}, moves: [`,
    ...shrunk.moves.map((move) => `  ${JSON.stringify(move)},`),
    "] }",
    ...(await play(shrunk)).slice(0, 5)
  ].join("\n")
}
