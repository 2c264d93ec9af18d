/**
 * `npm run bench -- [--check] [--million] [words]`: what this package costs beside what else one could do.
 *
 * `words` chooses the rows whose names contain one of them. With `--check` the exit code is 1 when a median is over its
 * target; a run that does not do its work fails always. `--million` adds the sizes that take minutes. The rows of Redis
 * start one for themselves; `REDIS=off` skips them.
 */
import { redisIsOff } from "../test/support/redis.js"
import { core } from "./core.js"
import { followers } from "./followers.js"
import { race } from "./harness.js"
import { leases } from "./leases.js"
import { lists } from "./lists.js"
import { close } from "./measure.js"
import { memory } from "./memory.js"
import { close as closeRedis, redis } from "./redis.js"
import { sockets } from "./sockets.js"
import { sweeps } from "./sweeps.js"

const args = process.argv.slice(2)
const words = args.filter((arg) => !arg.startsWith("--"))
const unknown = args.filter((arg) => arg.startsWith("--") && arg !== "--check" && arg !== "--million")
if (unknown.length > 0) throw new Error(`unknown option ${unknown.join(", ")}: --check and --million are allowed`)

const chosen = [...leases, ...lists, ...sweeps, ...followers, ...sockets, ...core, ...memory, ...redis].filter(
  ({ name }) => words.length === 0 || words.some((word) => name.includes(word))
)
if (chosen.length === 0) throw new Error(`no row's name contains ${words.join(" or ")}`)
const skipped = chosen.some((row) => redis.includes(row)) && redisIsOff() ? redis : []
if (skipped.length > 0) console.warn("REDIS=off: the rows of Redis are SKIPPED")

const over: Array<string> = []
for (const row of chosen) if (!skipped.includes(row) && !(await race(row))) over.push(row.name)
await closeRedis()
await close()

console.log(over.length === 0 ? "all targets are met" : `over target:\n  ${over.join("\n  ")}`)
if (args.includes("--check") && over.length > 0) process.exitCode = 1
