/**
 * Changes the rules in small ways, one at a time, and says which changes no test notices.
 *
 *   npm run mutate                         all rooms
 *   npm run mutate -- internal/state       one of them
 */
import { fileURLToPath } from "node:url"
import { mutateScripts } from "./lua.js"
import { mutate } from "./mutants.js"
import { ROOMS } from "./rooms.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

const wanted = process.argv.slice(2).filter((arg) => arg !== "--")
const SCRIPTS = "redis/protocol"
const names = [...ROOMS.map(({ name }) => name), SCRIPTS]
const unknown = wanted.filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`no room ${unknown.join(", ")}: there are ${names.join(", ")}`)

for (const name of names) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const room = ROOMS.find((room) => room.name === name)
  const { mutants, killed, survivors } = room === undefined ? mutateScripts(root) : await mutate(root, room)
  for (const { file, at, line, becomes } of survivors) console.log(`${file}:${at}\n  ${line}\n  ${becomes}\n`)
  console.log(`${name}: ${killed} of ${mutants} noticed, ${((100 * killed) / mutants).toFixed(1)} %`)
}
process.exit()
