/**
 * Changes the rules in small ways, one at a time, and says which changes no test notices.
 *
 *   npm run mutate                         all rooms
 *   npm run mutate -- internal/state       one of them
 *   npm run mutate -- redis/write outbox.ts:120 lease.ts    some lines or files of it
 */
import { fileURLToPath } from "node:url"
import { mutateScripts } from "./lua.js"
import { mutate } from "./mutants.js"
import type { Mutant } from "./outcome.js"
import { ROOMS } from "./rooms.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

const args = process.argv.slice(2).filter((arg) => arg !== "--")
const wanted = args.filter((arg) => !arg.includes("."))
const places = args.filter((arg) => arg.includes("."))
const isWanted = ({ file, at }: Mutant): boolean =>
  places.length === 0 || places.some((place) => file.endsWith(place) || `${file}:${at}`.endsWith(place))
const SCRIPTS = "redis/protocol/scripts"
const names = [...ROOMS.map(({ name }) => name), SCRIPTS]
const unknown = wanted.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`no room ${unknown.join(", ")}: there are ${names.join(", ")}`)

for (const name of names) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const room = ROOMS.find((room) => room.name === name)
  const { killed, survived } = await (room === undefined ? mutateScripts(root, isWanted) : mutate(root, room, isWanted))
  const all = killed + survived
  console.log(`${name}: ${killed} of ${all} noticed, ${((100 * killed) / all).toFixed(1)} %`)
}
process.exit()
