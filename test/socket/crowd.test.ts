/** A thousand sockets on one topic. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { WebSocket } from "ws"
import { nextTurn } from "../../src/internal/leases/turns.js"
import { phoenixUrl } from "./support/client.js"
import { makeServer } from "./support/server.js"

const SOCKETS = 1_000
const CHANGES = 10_000

type Metas = {
  readonly [key: string]: { readonly metas: ReadonlyArray<{ readonly n: number; readonly phx_ref: string }> }
}

/**
 * A list as Phoenix's client keeps it. From one list the same bytes lead to the same next list, so that is worked out
 * once for all members who are there: a thousand clients in one process would be the slower part of the test.
 */
class Known {
  private static last: { readonly bytes: Buffer; readonly known: Known } | undefined
  private after: { readonly bytes: Buffer; readonly known: Known } | undefined

  private constructor(readonly present: ReadonlyMap<string, string>) {}

  static of(state: Buffer): Known {
    if (Known.last === undefined || !Known.last.bytes.equals(state)) {
      const present = new Map<string, string>()
      add(present, JSON.parse(String(state)))
      Known.last = { bytes: state, known: new Known(present) }
    }
    return Known.last.known
  }

  next(diff: Buffer): Known {
    if (this.after === undefined || !this.after.bytes.equals(diff)) {
      const present = new Map(this.present)
      const { joins, leaves }: { joins: Metas; leaves: Metas } = JSON.parse(String(diff))
      for (const { metas } of Object.values(joins)) {
        for (const { phx_ref } of metas) if (present.has(phx_ref)) throw new Error(`joined again: ${phx_ref}`)
      }
      add(present, joins)
      for (const { metas } of Object.values(leaves)) {
        for (const { phx_ref } of metas) if (!present.delete(phx_ref)) throw new Error(`never heard of ${phx_ref}`)
      }
      this.after = { bytes: diff, known: new Known(present) }
    }
    return this.after.known
  }
}

const add = (present: Map<string, string>, metas: Metas): void => {
  for (const [key, { metas: list }] of Object.entries(metas)) {
    for (const { n, phx_ref } of list) present.set(phx_ref, `${key} ${n}`)
  }
}

/** The head of a frame that says who is here; the payload follows, then one bracket. */
const HEAD = /^\[(null|"\d+"),null,"room","presence_(state|diff)",/

class Member {
  joined = false
  known: Known | undefined
  private joinRef = ""
  private ref = 0

  constructor(
    readonly ws: WebSocket,
    readonly key: string
  ) {
    ws.on("message", (data) => {
      const bytes = data as Buffer
      const head = HEAD.exec(bytes.toString("latin1", 0, 64))
      if (head === null) return
      const payload = bytes.subarray(head[0].length, -1)
      if (head[2] === "diff") this.known = this.known?.next(payload)
      else if (head[1] === `"${this.joinRef}"`) this.known = Known.of(payload)
    })
  }

  join(n: number): void {
    this.joined = true
    this.joinRef = String(++this.ref)
    this.known = undefined
    this.say(this.joinRef, "phx_join", { key: this.key, meta: { n } })
  }

  leave(): void {
    this.joined = false
    this.known = undefined
    this.say(String(++this.ref), "phx_leave", {})
  }

  update(n: number): void {
    this.say(String(++this.ref), "presence", { type: "presence", event: "track", payload: { n } })
  }

  private say(ref: string, event: string, payload: object): void {
    this.ws.send(JSON.stringify([this.joinRef, ref, "room", event, payload]))
  }
}

const list = (present: Iterable<readonly [string, string]>): string => JSON.stringify(Array.from(present).sort())

/** The same numbers in each run. */
const random = (seed: number) => (max: number) => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return (seed >>> 8) % max
}

it.scopedLive("all of them end with the same list after 10,000 random joins, leaves and updates", () =>
  Effect.gen(function* () {
    const server = yield* makeServer({ diffInterval: "200 millis", limits: { idleTimeout: "10 minutes" } })
    const members = yield* Effect.forEach(
      Array.from({ length: SOCKETS }, (_, i) => `user ${i % 700}`),
      (key) =>
        Effect.acquireRelease(
          Effect.async<Member>((resume) => {
            const ws = new WebSocket(phoenixUrl(server.url))
            const member = new Member(ws, key)
            ws.on("open", () => resume(Effect.succeed(member)))
          }),
          ({ ws }) => Effect.sync(() => ws.terminate())
        ),
      { concurrency: 50 }
    )
    for (const [i, member] of members.entries()) {
      member.join(0)
      if (i % 50 === 0) yield* nextTurn
    }
    const below = random(42)
    for (let i = 0; i < CHANGES; i++) {
      const member = members[below(SOCKETS)] as Member
      const what = below(4)
      if (!member.joined) member.join(i)
      else if (what === 0) member.leave()
      else if (what === 1) member.join(i)
      else member.update(i)
      if (i % 50 === 0) yield* nextTurn
    }
    for (const member of members) if (!member.joined) member.join(-1)
    for (;;) {
      const { connections } = yield* server.presence.snapshot("room")
      const expected = list(connections.map(({ ref, key, meta }) => [ref, `${key} ${(meta as { n: number }).n}`]))
      const lists = new Set(members.map(({ known }) => known))
      if (Array.from(lists).every((known) => known !== undefined && list(known.present) === expected)) break
      yield* Effect.sleep(50)
    }
    expect(yield* server.presence.count("room")).toEqual({ keys: 700, connections: SOCKETS })
  })
)
