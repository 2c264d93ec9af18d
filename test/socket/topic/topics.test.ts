/** What the members of a topic are told over turns of the event loop: diffs and messages in one order, each sender in their own time. */
import { afterEach, beforeEach, expect, it, vi } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import type { PresenceChange, Snapshot } from "../../../src/PresenceChange.js"
import { PresenceUnavailable } from "../../../src/PresenceError.js"
import { pack } from "../../../src/socket/topic/audience.js"
import { Flushes } from "../../../src/socket/topic/flushes.js"
import { type Member, Topics } from "../../../src/socket/topic/topics.js"

const CROWD = 30

const snapshot: Snapshot = { _tag: "Snapshot", topic: "t", epoch: "e", version: 0, connections: [] }

const diff = (version: number): PresenceChange => ({
  _tag: "Diff",
  topic: "t",
  epoch: "e",
  from: version - 1,
  version,
  joins: [{ key: "k", ref: `r${version}`, meta: version }],
  leaves: [],
  updates: []
})

/** To tell one takes so many ms of the 8 that a turn has. */
const EACH = 1

beforeEach(() => {
  let now = 0
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += EACH
    return now
  })
})

afterEach(() => {
  vi.restoreAllMocks()
})

/** Another route. */
const elsewhere = crypto.randomUUID()

const makeTopic = () => {
  const ends: Array<string> = []
  const published: Array<unknown> = []
  let follower: {
    readonly onChange: (change: PresenceChange) => void
    readonly onEnd: (e?: PresenceUnavailable) => void
  }
  let onText: (text: string) => void = () => {}
  const topics = new Topics({
    protocol: "phoenix",
    flushes: new Flushes(
      Duration.zero,
      () => 0,
      Effect.runFork,
      () => Effect.void
    ),
    follow: (_, listener) => {
      follower = listener
      listener.onChange(snapshot)
      return () => {}
    },
    hear: (_, hear) => {
      onText = hear
      return () => {}
    },
    publish: (_, text) => published.push(text),
    stopping: () => false
  })
  const crowd = Array.from({ length: CROWD }, (_, i) => {
    const heard: Array<string> = []
    const member: Member & { readonly heard: Array<string>; open: boolean } = {
      version: 2,
      joinRef: String(i),
      watches: true,
      open: true,
      stale: false,
      ref: undefined,
      heard,
      write: ({ bytes, rest = [] }) => {
        const [, , , event, payload] = JSON.parse(Buffer.concat([bytes, ...rest]).toString())
        heard.push(
          event === "presence_diff" ? `diff ${payload.joins.k.metas[0].phx_ref}` : `${event} ${payload.n ?? ""}`
        )
      },
      end: (end) => ends.push(end)
    }
    return member
  })
  const [topic] = crowd.map((member) => topics.join("t", "t", member, "here"))
  if (topic === undefined) throw new Error("nobody is there")
  for (const { heard } of crowd) heard.length = 0
  return {
    topic,
    crowd,
    ends,
    published,
    change: (version: number) => follower.onChange(diff(version)),
    fail: () => follower.onEnd(new PresenceUnavailable({ reason: "away" })),
    fromElsewhere: (n: number) => onText(pack(elsewhere, message(n))),
    told: () => crowd.map(({ heard }) => heard.length)
  }
}

const message = (n: number) => ({ event: "hello", payload: JSON.stringify({ n }) })

const nextTurn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

it.live("a message goes to very many in turns, and who has another waits until all have heard it", () =>
  Effect.gen(function* () {
    const { topic, crowd, published, told, change } = makeTopic()
    const [sender] = crowd
    expect(topic.pass(message(1), sender, true)).toBeUndefined()
    expect(told().filter((count) => count === 1)).toHaveLength(8)
    const second = topic.pass(message(2), sender, true)
    change(1)
    const third = topic.pass(message(3), crowd[1], true)
    if (second === undefined || third === undefined) throw new Error("a sender did not wait")
    expect(published).toHaveLength(3)
    yield* second
    expect(Math.min(...told())).toBe(1)
    yield* third
    expect(Math.min(...told())).toBe(3)
    while (Math.min(...told()) < 4) yield* nextTurn
    for (const { heard } of crowd) expect(heard).toEqual(["hello 1", "hello 2", "diff r1", "hello 3"])
    // All have heard all: nobody waits.
    expect(topic.pass(message(4), sender, false)).toBeUndefined()
    while (Math.max(...told()) < 5 || told().filter((count) => count === 5).length < CROWD - 1) yield* nextTurn
    expect(sender?.heard).toHaveLength(4)
  })
)

it.live("who is sent the state while a message goes round hears the message", () =>
  Effect.gen(function* () {
    const { topic, crowd, told } = makeTopic()
    const last = crowd[CROWD - 1]
    if (last === undefined) throw new Error("nobody is there")
    topic.pass(message(1), undefined, false)
    topic.greet(last)
    while (Math.min(...told()) < 1 || last.heard.length < 2) yield* nextTurn
    expect(last.heard).toEqual(["presence_state ", "hello 1"])
  })
)

it.live("messages from elsewhere wait in line, but no more than some: beyond them all are told at once", () =>
  Effect.gen(function* () {
    const { crowd, fromElsewhere, told } = makeTopic()
    for (let n = 1; n <= 65; n++) fromElsewhere(n)
    expect(Math.max(...told())).toBe(1)
    for (let n = 66; n <= 100; n++) fromElsewhere(n)
    expect(Math.min(...told())).toBeGreaterThanOrEqual(35)
    while (Math.min(...told()) < 100) yield* nextTurn
    const all = Array.from({ length: 100 }, (_, i) => `hello ${i + 1}`)
    for (const { heard } of crowd) expect(heard).toEqual(all)
  })
)

it.live("when the topic ends who waits goes on, and nobody is told more", () =>
  Effect.gen(function* () {
    const { topic, crowd, ends, fail, change, told, fromElsewhere } = makeTopic()
    topic.pass(message(1), crowd[0], true)
    const waiting = topic.pass(message(2), crowd[0], true)
    change(1)
    if (waiting === undefined) throw new Error("the sender did not wait")
    const fiber = yield* Effect.fork(waiting)
    const before = told()
    fail()
    yield* Fiber.join(fiber)
    for (let turns = 0; turns < 5; turns++) yield* nextTurn
    expect(told()).toEqual(before)
    expect(ends).toEqual(crowd.map(() => "phx_error"))
    // Who says something before they hear of the end does not wait for ever, nor does who passes on what is said elsewhere.
    expect(topic.pass(message(3), crowd[0], true)).toBeUndefined()
    for (let n = 0; n < 100; n++) fromElsewhere(n)
    expect(told()).toEqual(before)
  })
)
