/**
 * Plays schedules, one seed after the other, until one fails: then it prints the seed, what did not hold, and the same
 * schedule with as few moves as still fail, which `play` plays again.
 *
 *   npm run simulate -- --runs 10000 --seed 1
 */
import { parseArgs } from "node:util"
import { simulate } from "./runs.js"

const { values } = parseArgs({
  options: { runs: { type: "string", default: "1000" }, seed: { type: "string" } }
})
const runs = Number(values.runs)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 30))
if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) {
  throw new Error(`--runs ${values.runs} --seed ${values.seed}: both are whole numbers, and runs at least 1`)
}
console.log(`${runs} runs from seed ${seed} on`)
const failure = await simulate(seed, runs, (run) => {
  if (run % 500 === 0) console.log(`${run} of ${runs}`)
})
console.log(failure ?? `all of ${runs} runs hold`)
if (failure !== undefined) process.exitCode = 1
