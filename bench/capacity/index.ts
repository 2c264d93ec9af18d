/**
 * `npm run capacity -- [--sockets 600] [--storm 10000]`: measures what a join, an update, a frame cost here; holds the model
 * that is made of them against three sizes that run here; then says what three sizes need that do not. A storm is so many
 * sockets on one replica: all join, and all are gone at once.
 */
import { loadavg } from "node:os"
import { parseArgs } from "node:util"
import { measure } from "./constants.js"
import { type Load, plan } from "./model.js"
import { compare, type Size } from "./sizes.js"
import { storm } from "./storm.js"

const text = (fallback: string) => ({ type: "string", default: fallback }) as const
const { values } = parseArgs({ options: { sockets: text("600"), storm: text("10000") } })
const [sockets, stormy] = [Number(values.sockets), Number(values.storm)]
if (!(sockets >= 100 && stormy >= 0 && stormy % 20 === 0)) {
  throw new Error("sockets are 100 or more, and a storm is a multiple of 20, or 0 for none")
}

// Whoever was started is ended when this process exits.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1))

const amount = (n: number): string =>
  n >= 100 ? Math.round(n).toLocaleString("en") : n.toLocaleString("en", { maximumSignificantDigits: 2 })
const percent = (n: number): string => `${n > 0 ? "+" : ""}${Math.round(100 * n)} %`
const line = (...cells: ReadonlyArray<string>): void =>
  console.log(`  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(44) : cell.padStart(16))).join("")}`)

console.log(`constants, of ${sockets} sockets; load average ${loadavg().map(amount).join(", ")}`)
const constants = await measure(sockets)
for (const [name, value] of Object.entries(constants))
  line(name, amount(value), name.endsWith("Bytes") ? "bytes" : "us")

const sizes: ReadonlyArray<Size & { readonly name: string }> = [
  { name: "300 people in rooms of 10", people: 300, room: 10, updates: 60 },
  { name: "two rooms of 100 with cursors", people: 200, room: 100, updates: 60 },
  { name: "one room of 300", people: 300, room: 300, updates: 20 }
]
const errors: Array<number> = []
for (const { name, ...size } of sizes) {
  console.log(`\n${name}, at three replicas; load average ${loadavg().map(amount).join(", ")}`)
  line("", "predicted", "measured", "error")
  for (const { what, predicted, measured } of await compare(constants, size)) {
    const error = predicted / measured - 1
    errors.push(error)
    line(what, amount(predicted), amount(measured), percent(error))
  }
}
const sorted = errors.map(Math.abs).sort((a, b) => a - b)
console.log(
  `\nerror of the prediction: median ${percent(sorted[Math.floor(sorted.length / 2)] ?? 0)}, most ${percent(sorted.at(-1) ?? 0)}`
)

/** Somebody stays for ten minutes. */
const MINUTES = 10
const stay = (people: number): Pick<Load, "people" | "joins" | "leaves"> => ({
  people,
  joins: people / (60 * MINUTES),
  leaves: people / (60 * MINUTES)
})
const loads: ReadonlyArray<Load & { readonly name: string }> = [
  { name: "1,000,000 people in rooms of 10, an update a minute", ...stay(1e6), room: 10, updates: 1e6 / 60 },
  { name: "10,000 rooms of 100, ten cursors at 5 a second in each", ...stay(1e6), room: 100, updates: 1e4 * 50 },
  { name: "one room of 100,000, an update an hour", ...stay(1e5), room: 1e5, updates: 1e5 / 3_600 }
]
for (const { name, ...load } of loads) {
  console.log(`\n${name}, who stay ${MINUTES} minutes`)
  const needs = plan(constants, load)
  if (needs === undefined) {
    console.log("  no number of replicas carries it")
    continue
  }
  line("replicas", amount(needs.replicas))
  line("Redis masters", amount(Math.ceil(needs.redis)), `${amount(100 * needs.redis)} % of one`)
  line("messages a second to each replica", amount(needs.messages))
  line("live heap of a replica, MB", amount(needs.bytes / 1e6))
  line("most of the processor", needs.largest, percent(needs.share))
  line("seconds of full load when a replica is lost", amount(needs.loss))
  line("seconds of full load of a deploy of all", amount(needs.deploy))
}

if (stormy > 0) {
  console.log(`\na storm of ${amount(stormy)} sockets in rooms of 10; load average ${loadavg().map(amount).join(", ")}`)
  await storm(stormy, (name, value) => line(name, amount(value)))
}
process.exit(0)
