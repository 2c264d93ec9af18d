/** What the page on the protocol shows is what goes over the network, in that order. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, phoenixUrl, type RawClient, supabaseUrl } from "../socket/support/client.js"
import { makeServer } from "../socket/support/server.js"
import { follow, type Heard, serve } from "../support/http.js"

const page = readFileSync(fileURLToPath(new URL("../../docs/protocol.md", import.meta.url)), "utf8")

/** The blocks of lines that a client says (`>`) and hears (`<`). */
const dialogues = [...page.matchAll(/^```\n(> [\s\S]*?)^```$/gm)].map(([, text = ""]) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => ({ says: line.startsWith("> "), frame: JSON.parse(line.slice(2)) }))
)

/** Refs are made anew each time: in the order in which they are told they are R1, R2 and so on. */
const named = (frames: ReadonlyArray<unknown>): unknown => {
  const refs: Array<string> = []
  return JSON.parse(JSON.stringify(frames), (name, value) => {
    if (name !== "phx_ref") return value
    if (!refs.includes(value)) refs.push(value)
    return `R${refs.indexOf(value) + 1}`
  })
}

const play = (client: RawClient, dialogue: (typeof dialogues)[number] = []): Effect.Effect<void> =>
  Effect.gen(function* () {
    const told: Array<unknown> = []
    for (const { says, frame } of dialogue) {
      if (says) client.ws.send(JSON.stringify(frame))
      else {
        told.push(frame)
        yield* client.until(() => client.frames.length >= told.length)
      }
    }
    expect(named(client.frames)).toEqual(told)
  })

it("the page has a dialogue of each protocol", () => {
  expect(dialogues.length).toBe(2)
})

it.scopedLive("of a client of Phoenix", () =>
  Effect.gen(function* () {
    const { url } = yield* makeServer({ diffInterval: "50 millis" })
    const bob = yield* connect(phoenixUrl(url))
    bob.say("1", "1", "lobby", "phx_join", { key: "bob", meta: { role: "editor" } })
    yield* bob.heard("presence_state")
    yield* play(yield* connect(phoenixUrl(url)), dialogues[0])
  })
)

it.scopedLive("of a client of Supabase", () =>
  Effect.gen(function* () {
    // What is tracked is told in a diff, which the page does not show here.
    const { url } = yield* makeServer({ diffInterval: "1 hour" })
    yield* play(yield* connect(supabaseUrl(url)), dialogues[1])
  })
)

/** The events of the page's block, each with its id and its data. */
const events: ReadonlyArray<Heard> = (/^```\n(id: [\s\S]*?)^```$/m.exec(page)?.[1] ?? "").split("\n\n").map((block) => {
  const [, id, event, data = ""] = /^id: (.*)\nevent: (.*)\ndata: (.*)/.exec(block) ?? []
  return { id, event, data: JSON.parse(data) }
})

it.scopedLive("of an event stream, written as the page writes it", () =>
  Effect.gen(function* () {
    const { port, presence } = yield* serve()
    const lease = yield* presence.track("lobby", "alice")
    const stream = yield* follow(port, "/presence/lobby/events")
    const snapshot = yield* stream.next
    yield* lease.release
    const diff = yield* stream.next
    const epoch = JSON.stringify(snapshot).match(/"epoch":"([^"]*)"/)?.[1] ?? ""
    const shown = JSON.stringify([snapshot, diff]).replaceAll(epoch, "E").replaceAll(lease.ref, "R1")
    expect(shown).toBe(JSON.stringify(events))
  })
)
