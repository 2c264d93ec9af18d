/**
 * `npm run examples`: runs each recipe and prints what it answers. `test/examples.test.ts` says what that must be.
 */
import { Console, Effect } from "effect"
import * as FirstProgram from "./first-program.js"
import * as JsonList from "./json-list.js"
import * as LiveCursors from "./live-cursors.js"
import * as TypingIndicator from "./typing-indicator.js"
import * as ViewersBadge from "./viewers-badge.js"

const show = <A, E>(name: string, program: Effect.Effect<A, E>) =>
  Effect.flatMap(program, (answer) => Console.log(`${name.padEnd(18)}${JSON.stringify(answer)}`))

await Effect.runPromise(
  Effect.all([
    show("first program", FirstProgram.program),
    show("viewers badge", ViewersBadge.program),
    show("typing indicator", TypingIndicator.program),
    show("live cursors", LiveCursors.program),
    show("JSON list", JsonList.program)
  ])
)
