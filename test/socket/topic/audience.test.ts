import { afterEach, beforeEach, describe, expect, it, vi } from "@effect/vitest"
import * as fc from "fast-check"
import { Presence } from "phoenix"
import type { Connection, Diff, PresenceChange, Snapshot } from "../../../src/PresenceChange.js"
import type { Version } from "../../../src/socket/protocol/codec.js"
import { isReserved } from "../../../src/socket/protocol/session.js"
import { Audience, type Frame, pack, type Recipient, unpack } from "../../../src/socket/topic/audience.js"
import { NetDiff } from "../../../src/web/netDiff.js"

/** A topic that changes, as presence tells it: one diff for each change. */
class Model {
  connections: Array<Connection> = []
  private version = 0
  private refs = 0

  get snapshot(): Snapshot {
    const connections = [...this.connections].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    return { _tag: "Snapshot", topic: "t", epoch: "e", version: this.version, connections }
  }

  join(key: string, meta: number): Diff {
    const connection = { key, ref: `r${this.refs++}`, meta: { n: meta } }
    this.connections.push(connection)
    return this.diff({ joins: [connection] })
  }

  leave(at: number): Diff | undefined {
    const [left] = this.connections.splice(at % Math.max(1, this.connections.length), 1)
    return left && this.diff({ leaves: [{ ...left, reason: "released" }] })
  }

  update(at: number, meta: number): Diff | undefined {
    const old = this.connections[at % Math.max(1, this.connections.length)]
    if (old === undefined) return undefined
    const update = { ...old, ref: `r${this.refs++}`, meta: { n: meta } }
    this.connections[this.connections.indexOf(old)] = update
    return this.diff({ updates: [{ ...update, previousRef: old.ref }] })
  }

  change(step: Op): Diff | undefined {
    if (step.op === "join") return this.join(step.key, step.meta)
    if (step.op === "leave") return this.leave(step.at)
    return step.op === "update" ? this.update(step.at, step.meta) : undefined
  }

  /** As the client keeps it. */
  get state(): unknown {
    return sorted(this.connections.map(({ key, ref, meta }) => JSON.stringify([key, ref, meta])))
  }

  private diff(change: Partial<Pick<Diff, "joins" | "leaves" | "updates">>): Diff {
    const from = this.version++
    return {
      _tag: "Diff",
      topic: "t",
      epoch: "e",
      from,
      version: this.version,
      joins: [],
      leaves: [],
      updates: [],
      ...change
    }
  }
}

const sorted = (lines: ReadonlyArray<string>): ReadonlyArray<string> => [...lines].sort()

/** A listener whose frames go to the list that Phoenix's own client keeps. */
class Client implements Recipient {
  readonly watches = true
  open = true
  stale = false
  readonly frames: Array<Frame> = []
  readonly known = new Set<string>()
  readonly faults: Array<string> = []
  private readonly bindings = new Map<string, (payload: Record<string, unknown>) => void>()
  private readonly presence = new Presence({
    on: (event, callback) => {
      this.bindings.set(event, callback)
      return 0
    },
    joinRef: () => this.joinRef
  })

  constructor(
    readonly joinRef = "1",
    readonly version: Version = 2
  ) {
    this.presence.onJoin((_, __, { metas }) => {
      for (const { phx_ref } of metas) {
        if (this.known.has(phx_ref)) this.faults.push(`joined again: ${phx_ref}`)
        this.known.add(phx_ref)
      }
    })
    this.presence.onLeave((_, __, { metas }) => {
      for (const { phx_ref } of metas) if (!this.known.delete(phx_ref)) this.faults.push(`never heard of: ${phx_ref}`)
    })
  }

  write(frame: Frame): void {
    if (!this.open) this.faults.push("written while full")
    this.frames.push(frame)
    const parsed = JSON.parse(Buffer.from(frame.bytes).toString())
    const [, , , event, payload] = this.version === 2 ? parsed : [0, 0, 0, parsed.event, parsed.payload]
    this.bindings.get(event)?.(payload)
  }

  get state(): unknown {
    return sorted(
      Object.entries(this.presence.state).flatMap(([key, { metas }]) =>
        metas.map(({ phx_ref, phx_ref_prev, ...meta }) => JSON.stringify([key, phx_ref, meta]))
      )
    )
  }
}

type Op =
  | { readonly op: "join"; readonly key: string; readonly meta: number }
  | { readonly op: "leave" | "fill" | "drain" | "arrive"; readonly at: number }
  | { readonly op: "update"; readonly at: number; readonly meta: number }
  | { readonly op: "flush" | "lag" | "turn" }

const at = fc.nat(20)
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant("join" as const), key: fc.constantFrom("a", "b", "__proto__"), meta: at })
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("leave" as const), at }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("update" as const), at, meta: at }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constantFrom("flush" as const, "lag" as const, "turn" as const) }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constantFrom("fill" as const, "drain" as const, "arrive" as const), at }) }
)

/** To tell one takes so many ms. */
const telling = (ms: number): void => {
  let now = 0
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += ms
    return now
  })
}

// No turn is over because the machine is busy.
beforeEach(() => telling(0))
afterEach(() => {
  vi.restoreAllMocks()
})

describe("an audience", () => {
  it.each([0, 3, 9])(
    "whatever happens on the topic, whenever clients come and go, whichever are full, and if each takes %i ms, all end with the same list",
    (ms) => {
      telling(ms)
      fc.assert(
        fc.property(fc.array(op, { maxLength: 80 }), (ops) => {
          const model = new Model()
          const audience = new Audience("phoenix", "t")
          const window = new NetDiff()
          const clients: Array<Client> = []
          const arrive = () => {
            const client = new Client(String(clients.length + 1), clients.length % 2 === 0 ? 2 : 1)
            clients.push(client)
            audience.add(client)
          }
          const untold: Array<PresenceChange> = []
          const goOn = () => {
            audience.goOn()
            while (!audience.isTelling && untold.length > 0) audience.tell(untold.shift() as PresenceChange)
          }
          const flush = () => {
            if (audience.isTelling) return
            untold.push(...window.take())
            goOn()
          }
          const pick = (at: number): Client | undefined => clients[at % clients.length]
          arrive()
          window.add(model.snapshot)
          flush()
          for (const step of ops) {
            if (step.op === "flush") flush()
            else if (step.op === "turn") goOn()
            else if (step.op === "lag") window.add(model.snapshot)
            else if (step.op === "arrive") arrive()
            else if (step.op === "fill" || step.op === "drain") {
              const client = pick(step.at)
              if (client === undefined) continue
              client.open = step.op === "drain"
              if (client.open && client.stale) audience.greet(client)
            } else {
              const change = model.change(step)
              if (change !== undefined) window.add(change)
            }
          }
          for (const client of clients) {
            client.open = true
            if (client.stale) audience.greet(client)
          }
          while (audience.isTelling) goOn()
          flush()
          while (audience.isTelling) goOn()
          for (const client of clients) {
            expect(client.state).toEqual(model.state)
            expect(client.faults).toEqual([])
          }
        }),
        { numRuns: 300 }
      )
    }
  )

  it("encodes a change once for each version: every socket of it is written the same bytes", () => {
    const model = new Model()
    const audience = new Audience("phoenix", "t")
    const clients = Array.from({ length: 10 }, (_, i) => new Client("1", i % 2 === 0 ? 2 : 1))
    for (const client of clients) audience.add(client)
    audience.tell(model.snapshot)
    audience.tell(model.join("a", 1))
    const bytes = new Set(clients.map(({ frames }) => frames[1]?.bytes))
    expect(clients.every(({ frames }) => frames.length === 2)).toBe(true)
    expect(bytes.size).toBe(2)
  })

  it("tells very many in turns; who leaves meanwhile is told no more, and who comes hears it with the state", () => {
    telling(1)
    const model = new Model()
    const audience = new Audience("phoenix", "t")
    const clients = Array.from({ length: 100 }, () => new Client())
    audience.tell(model.snapshot)
    for (const client of clients) audience.add(client)
    audience.tell(model.join("a", 1))
    const told = () => clients.filter(({ frames }) => frames.length === 2).length
    expect([audience.isTelling, told()]).toEqual([true, 8])
    const [gone] = clients.splice(-1)
    audience.recipients.delete(gone as Client)
    const late = new Client()
    audience.add(late)
    for (let turns = 1; audience.isTelling; turns++) {
      audience.goOn()
      expect(told()).toBe(Math.min(99, 8 + 8 * turns))
    }
    expect([gone?.frames.length, late.frames.length]).toEqual([1, 1])
    for (const client of [...clients, late]) expect([client.state, client.faults]).toEqual([model.state, []])
  })

  it("one that has drained while others are told is sent the state, and not what is in it", () => {
    telling(9)
    const model = new Model()
    const audience = new Audience("phoenix", "t")
    audience.tell(model.snapshot)
    const clients = Array.from({ length: 3 }, () => new Client())
    for (const client of clients) audience.add(client)
    const last = clients[2] as Client
    const goOn = () => {
      while (audience.isTelling) audience.goOn()
    }
    last.open = false
    audience.tell(model.join("a", 1))
    goOn()
    expect([last.stale, last.frames.length]).toEqual([true, 1])
    audience.tell(model.join("b", 2))
    expect(audience.isTelling).toBe(true)
    last.open = true
    audience.greet(last)
    goOn()
    expect(clients.map(({ frames }) => frames.length)).toEqual([3, 3, 2])
    for (const client of clients) expect([client.state, client.faults]).toEqual([model.state, []])
  })

  it("one who joins before the state is there gets it as soon as it is, {} included", () => {
    const model = new Model()
    const audience = new Audience("phoenix", "t")
    const early = new Client()
    audience.add(early)
    expect(early.frames).toHaveLength(0)
    audience.tell(model.snapshot)
    expect(early.frames.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual([
      `["1",null,"t","presence_state",{}]`
    ])
  })

  it("a full one misses messages and diffs, and gets the state when it has drained; others are not held up", () => {
    const model = new Model()
    const audience = new Audience("phoenix", "t")
    const [full, other] = [new Client(), new Client()]
    audience.add(full)
    audience.add(other)
    audience.tell(model.snapshot)
    full.open = false
    audience.tell(model.join("a", 1))
    audience.pass({ event: "hello", payload: "{}" }, undefined)
    expect(full.frames).toHaveLength(1)
    expect(other.frames).toHaveLength(3)
    full.open = true
    audience.greet(full)
    audience.tell(model.join("b", 2))
    expect(full.state).toEqual(model.state)
    expect(full.frames).toHaveLength(3)
  })

  it("a message goes to all but its sender; bytes only to those whose version has them", () => {
    const audience = new Audience("phoenix", "t")
    const [sender, two, one] = [new Client(), new Client("1", 2), new Client("1", 1)]
    for (const client of [sender, two, one]) audience.add(client)
    audience.pass({ event: "hello", payload: `{"a":1}` }, sender)
    expect(sender.frames).toHaveLength(0)
    expect(Buffer.from(two.frames[0]?.bytes ?? []).toString()).toBe(`[null,null,"t","hello",{"a":1}]`)
    expect(JSON.parse(Buffer.from(one.frames[0]?.bytes ?? []).toString())).toMatchObject({
      event: "hello",
      payload: { a: 1 }
    })
    const heard: Array<Frame> = []
    two.write = (frame) => heard.push(frame)
    audience.pass({ event: "file", payload: Uint8Array.of(9) }, sender)
    expect(heard).toEqual([{ bytes: Uint8Array.of(2, 1, 4, 0x74, 0x66, 0x69, 0x6c, 0x65, 9), binary: true }])
    expect(one.frames).toHaveLength(1)
  })
})

describe("messages for elsewhere", () => {
  const message = fc.record({
    event: fc.string(),
    payload: fc.dictionary(fc.string(), fc.jsonValue()).map((payload) => JSON.stringify(payload))
  })
  const binary = fc.record({
    event: fc.string(),
    payload: fc.uint8Array(),
    inner: fc.option(fc.string(), { nil: undefined })
  })

  it("are what they were; one's own and what is none are not taken", () => {
    fc.assert(
      fc.property(fc.oneof(message, binary), (message) => {
        const packed = pack("here-", message)
        expect(unpack("here-", packed)).toBeUndefined()
        const unpacked = unpack("there", packed)
        if (isReserved(message.event)) {
          expect(unpacked).toBeUndefined()
          return
        }
        expect(unpacked?.event).toBe(message.event)
        expect(unpacked?.inner).toBe("inner" in message ? message.inner : undefined)
        const { payload } = message
        if (payload instanceof Uint8Array) expect(Uint8Array.from(unpacked?.payload as Uint8Array)).toEqual(payload)
        else expect(unpacked?.payload).toEqual(JSON.stringify(JSON.parse(payload)))
      })
    )
    fc.assert(fc.property(fc.string(), (text) => void unpack("here-", text)))
    for (const text of ["", "null", "[]", `{"event":5}`, `{"event":"e"}`, `{"event":"e","payload":[]}`]) {
      expect(unpack("here-", `there${text}`)).toBeUndefined()
    }
  })

  it("what only the server may say, and what nobody could have sent, is not taken from outside", () => {
    const from = (event: string, rest: string) => unpack("here-", `there{"event":${JSON.stringify(event)},${rest}}`)
    expect(from("hello", `"payload":{}`)).toEqual({ event: "hello", payload: "{}" })
    for (const event of [
      "phx_close",
      "PHX_error",
      "phx_reply",
      "presence_state",
      "presence_diff",
      "system",
      "postgres_changes",
      "chan_reply_1",
      "access_token",
      "",
      "x".repeat(256)
    ]) {
      expect(from(event, `"payload":{}`)).toBeUndefined()
      expect(from(event, `"bytes":"AQ=="`)).toBeUndefined()
    }
    expect(from("hello", `"payload":{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`)).toBeUndefined()
  })
})
