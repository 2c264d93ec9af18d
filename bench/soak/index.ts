/**
 * `npm run soak -- [--minutes 2] [--sockets 5000] [--streams 500] [--rooms 500] [--replicas 3] [--every 120] [--leave-delay 10] [--patience 120]`:
 * replicas of the ready server over one Redis, with clients that come and go, while every so many seconds one of them is
 * killed or all are deployed one after the other. At the end everybody rests, and each list of each replica has to be
 * what the clients know; then all leave. A table says what was found; the exit code is 1 when something does not hold.
 *
 * In the second half the first replica is left alone: its heap and descriptors are those that have to be flat. However
 * this ends, all that it started ends with it.
 */
import { loadavg } from "node:os"
import { setTimeout } from "node:timers/promises"
import { Clients } from "./clients.js"
import { asked, Looks } from "./processes.js"
import { Replicas } from "./replicas.js"
import { flat, held, type Row, report } from "./report.js"
import { left, rested } from "./rest.js"
import { settings } from "./settings.js"

const { seconds, sockets, streams, rooms, every, leaveDelay } = settings

// Whoever was started is ended when this process exits.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1))
process.once("unhandledRejection", (reason) => {
  console.error(reason)
  process.exit(1)
})

const say = (line: string): void => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`)
const failures: Array<string> = []
const fail = (why: string): void => {
  say(why)
  failures.push(why)
}

const clients = Clients.start((why) => {
  console.error(why)
  process.exit(1)
})
const replicas = await Replicas.start(
  settings.replicas,
  // Nobody leaves in a deploy: with a leave delay it hands over.
  { PRESENCE_LEAVE_DELAY: `${leaveDelay} seconds`, LOG_LEVEL: "Warning" },
  (ports) => {
    say(`replicas are on ${ports.map((port) => `http://127.0.0.1:${port}`).join(", ")}`)
    return clients.ask({ do: "balance", ports })
  },
  fail
)

// Shorter than half of the delay is no leave, whatever the machine is busy with.
await clients.ask({ do: "come", sockets, streams, rooms, grace: leaveDelay * 500 })
while ((await clients.ask({ do: "count" })).expected > 0) await setTimeout(100)
say(`${sockets} sockets and ${streams} event streams are there`)

const looks = new Looks()
const before = await asked(replicas.redis)
// A hundredth of the sockets moves in a second, and twice as many change.
await clients.ask({ do: "stir", moves: sockets / 100, updates: sockets / 50 })
const from = performance.now()
const elapsed = (): number => (performance.now() - from) / 1_000

let isStirred = true
const looking = (async () => {
  while (isStirred) {
    await looks.take(replicas.all, (await clients.ask({ do: "count" })).open)
    await setTimeout(Math.min(15, seconds / 10) * 1_000)
  }
})()

let [kills, deploys] = [0, 0]
for (let n = 1; n * every < seconds; n++) {
  await setTimeout(Math.max(0, n * every - elapsed()) * 1_000)
  const spared = n * every > seconds / 2 ? 1 : 0
  if (n % 2 === 1) {
    kills++
    await replicas.kill(spared + Math.floor(Math.random() * (settings.replicas - spared)))
    say("a replica was killed, and another is there")
  } else {
    deploys++
    for (let i = spared; i < settings.replicas; i++) await replicas.deploy(i)
    say("replicas were deployed, one after the other")
  }
}
await setTimeout(Math.max(0, seconds - elapsed()) * 1_000)
isStirred = false
await looking
const [span, load] = [elapsed(), loadavg()]
const after = await asked(replicas.redis)
const perSecond = (name: "commands" | "calls" | "processor"): number => (after[name] - before[name]) / span

say("everybody rests")
const rest = await rested(clients, replicas)
say("all leave")
const gone = await left(clients, replicas)

const wronged = held("told to have left while they were there", rest.answer.wronged)
/** Half a lease in which a replica, or Redis, had no processor. */
const isStarved = looks.longest > 5_000 || replicas.warnings.length > 0
const [veteran] = replicas.all
const judged = (samples: ReturnType<Looks["heap"]>, unit: number, name: string, most: number): Row =>
  flat(samples, span / 2, unit, name, most)
const pid = veteran?.pid ?? 0
const whole = (n: number): string => Math.round(n).toLocaleString("en")

console.log(
  `\n${(span / 60).toFixed(1)} minutes, ${settings.replicas} replicas, ${whole(sockets)} sockets and ${whole(streams)} event streams in ${whole(rooms)} rooms, ${kills} kills and ${deploys} rolling deploys; load average ${load.map((of) => of.toFixed(1)).join(", ")}`
)
const holds = report([
  held("ghosts on lists", rest.of("ghost")),
  held("missing from lists", rest.of("missing")),
  held("stale metas on lists", rest.of("stale")),
  held("what clients see otherwise than it is", rest.wrong),
  // A replica that stands still for its lease is taken for lost, and so it should be.
  isStarved ? { ...wronged, holds: undefined } : wronged,
  held("on a list when all had left", gone.listed),
  held("descriptors left when all had left", gone.open),
  held("replicas that ended otherwise than asked", failures),
  judged(looks.heap(pid, span / 2), 1e6, "live heap of the first replica, MB", 0.1),
  judged(looks.descriptors(pid, span / 2), 1, "descriptors of the first replica", 0.02),
  {
    name: "moves; updates; returns after a lost connection",
    found: [rest.answer.moves, rest.answer.updates, rest.answer.returns].map(whole).join("; ")
  },
  {
    name: "event loop's delay, p99 between looks, ms",
    found: `median ${whole(looks.delay.median)}, most ${whole(looks.delay.most)}`
  },
  { name: "processor of a replica, % of a core", found: `median ${whole(100 * looks.processor)}` },
  {
    name: "Redis: commands a second; scripts a second; % of a core",
    found: `${whole(perSecond("commands"))}; ${whole(perSecond("calls"))}; ${(100 * perSecond("processor")).toFixed(1)}`
  },
  {
    name: "seconds until lists were right; until all had gone",
    found: `${whole(rest.seconds)}; ${whole(gone.seconds)}`
  },
  { name: "warnings of replicas", found: whole(replicas.warnings.length) }
])
for (const warning of replicas.warnings.slice(0, 5)) console.log(warning)
await replicas.stop()
process.exit(holds ? 0 : 1)
