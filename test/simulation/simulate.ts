import { scheduleOf } from "./schedule.js"
import { World } from "./world.js"

const from = Number(process.argv[2] ?? 0)
const runs = Number(process.argv[3] ?? 10)
const start = process.cpuUsage()
let events = 0
let failed = 0
for (let seed = from; seed < from + runs; seed++) {
  const world = new World(scheduleOf(seed))
  const problems = await world.play()
  events += world.events
  if (problems.length > 0) {
    failed++
    if (failed < 6) console.log(seed, problems.slice(0, 4))
  }
}
const { user, system } = process.cpuUsage(start)
console.log({ runs, failed, events: events / runs, msPerRun: (user + system) / 1000 / runs })
