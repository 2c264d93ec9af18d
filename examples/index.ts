/**
 * `npm run examples` runs all examples that need nothing else, and prints what each answers; `npm run examples -- rpc chat`
 * those that are named. A larger one is a folder with a README of its own, and an `index.ts` that runs by itself too.
 * `test/examples.test.ts`, and for `replicas` `test/scripts/cluster.test.ts`, say what that must be.
 */
import { Console, Effect } from "effect"
import * as Chat from "./chat/index.js"
import * as FirstProgram from "./first-program.js"
import * as JsonList from "./json-list.js"
import * as LiveCursors from "./live-cursors.js"
import * as Replicas from "./replicas/index.js"
import * as Rpc from "./rpc/index.js"
import * as Tracing from "./tracing.js"
import * as TypingIndicator from "./typing-indicator.js"
import * as ViewersBadge from "./viewers-badge.js"

const programs: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
  "first-program": FirstProgram.program,
  "viewers-badge": ViewersBadge.program,
  "typing-indicator": TypingIndicator.program,
  "live-cursors": LiveCursors.program,
  "json-list": JsonList.program,
  tracing: Tracing.program,
  rpc: Rpc.program,
  chat: Chat.program,
  replicas: Replicas.program()
}

/** What needs more than this process: it runs when it is named. */
const needing = ["replicas"]

const named = process.argv.slice(2)
const unknown = named.filter((name) => !Object.hasOwn(programs, name))
if (unknown.length > 0) {
  console.error(`there is no example ${unknown.join(", ")}, only ${Object.keys(programs).join(", ")}`)
  process.exit(1)
}

await Effect.runPromise(
  Effect.forEach(
    Object.entries(programs).filter(([name]) => (named.length === 0 ? !needing.includes(name) : named.includes(name))),
    ([name, program]) =>
      Effect.flatMap(program, (answer) => Console.log(`${name.padEnd(18)}${JSON.stringify(answer)}`)),
    { discard: true }
  )
)
