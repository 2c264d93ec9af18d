/**
 * A process of clients. Each is one member of one room and keeps who it sees there; the parent is told when all of them see as many as it
 * expects.
 */

import { type ProtocolName, protocols } from "./protocols.js"
import { micros, Wire } from "./wire.js"

/** What the parent says. */
export type Order =
  | {
      readonly do: "join"
      readonly port: number
      readonly protocol: ProtocolName
      readonly rooms: number
      readonly members: ReadonlyArray<number>
      /** How many are connecting at the same time. */
      readonly atOnce: number
      /** How many each is to see. */
      readonly expect: number
    }
  | { readonly do: "expect"; readonly expect: number }
  | { readonly do: "count" }
  /** So many updates a second, by one after the other; or heartbeats. */
  | { readonly do: "update" | "beat"; readonly perSecond: number; readonly ms: number }

/** What it answers. */
export type Report =
  | { readonly is: "converged" /** Microseconds on the clock of all processes. */; readonly at: number }
  | { readonly is: "counted"; readonly bytes: number; readonly frames: number }
  | {
      readonly is: "updated"
      readonly sent: number /** Microseconds until each receiver heard. */
      readonly delays: ReadonlyArray<number>
    }

const tell = (report: Report): void => {
  process.send?.(report)
}

class Client {
  readonly sees = new Set<number>()
  readonly wire: Wire
  private joined = false

  constructor(port: number, protocol: ProtocolName, room: string, member: number, onJoined: () => void) {
    const { path, join, answer, news, update, heartbeat, isReply } = protocols[protocol]
    const say = (text: string): void => {
      if (isReply !== undefined) unanswered++
      this.wire.say(text)
    }
    this.update = () => say(update(room, micros()))
    this.beat = () => say(heartbeat ?? "")
    this.wire = new Wire(port, path, {
      onOpen: () => {
        for (const text of join(room, member)) this.wire.say(text)
      },
      onFrame: (bytes) => {
        const text = bytes.toString("latin1")
        if (isReply?.(text)) unanswered--
        const reply = answer?.(text, room, member)
        if (reply !== undefined) return this.wire.say(reply)
        const told = news(text)
        if (told === undefined) return
        if (told.isState) this.sees.clear()
        for (const one of told.gone) this.sees.delete(one)
        for (const one of told.here) this.sees.add(one)
        for (const sentAt of told.sentAt) if (sentAt >= measuringFrom) delays.push(micros() - sentAt)
        if (!this.joined && told.isState) {
          this.joined = true
          onJoined()
        }
        settle()
      },
      onClose: (why) => {
        throw new Error(`member ${member} was put out: ${why}`)
      }
    })
  }

  readonly update: () => void
  readonly beat: () => void
}

let clients: Array<Client> = []
let expected = 0
let converged = true
/** How many are still to come. */
let missing = 0
/** How many answers are still to come. */
let unanswered = 0
let measuringFrom = Number.POSITIVE_INFINITY
let delays: Array<number> = []

/** Whether all see as many as they should. Looked at once for all frames of a turn. */
let settling = false
const settle = (): void => {
  if (settling || converged) return
  settling = true
  setImmediate(() => {
    settling = false
    if (converged || missing > 0 || clients.some(({ sees }) => sees.size !== expected)) return
    converged = true
    tell({ is: "converged", at: micros() })
  })
}

const expectAll = (count: number): void => {
  expected = count
  converged = false
  settle()
}

const orders: { readonly [D in Order["do"]]: (order: Extract<Order, { do: D }>) => void } = {
  join: ({ port, protocol, rooms, members, atOnce, expect }) => {
    const queue = members.slice()
    missing = queue.length
    clients = []
    const next = (): void => {
      const member = queue.shift()
      if (member === undefined) return
      clients.push(
        new Client(port, protocol, `room${member % rooms}`, member, () => {
          missing--
          next()
        })
      )
    }
    expectAll(expect)
    for (let i = 0; i < atOnce; i++) next()
  },
  expect: ({ expect }) => expectAll(expect),
  count: () => {
    let [bytes, frames] = [0, 0]
    for (const { wire } of clients) {
      bytes += wire.bytes
      frames += wire.frames
    }
    tell({ is: "counted", bytes, frames })
  },
  update: (order) => often("update", order),
  beat: (order) => often("beat", order)
}

const often = (
  what: "update" | "beat",
  { perSecond, ms }: { readonly perSecond: number; readonly ms: number }
): void => {
  measuringFrom = micros()
  delays = []
  unanswered = 0
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.min(ms, (micros() - measuringFrom) / 1_000) * (perSecond / 1_000)
    for (; sent < due; sent++) clients[sent % clients.length]?.[what]()
    if (sent < ms * (perSecond / 1_000)) return
    // A server that is behind is waited for.
    if (unanswered > 0) return
    clearInterval(timer)
    // What is under way still comes.
    setTimeout(() => {
      measuringFrom = Number.POSITIVE_INFINITY
      tell({ is: "updated", sent, delays })
    }, 500)
  }, 2)
}

process.on("message", (order: Order) => (orders[order.do] as (order: Order) => void)(order))
process.on("disconnect", () => process.exit())
