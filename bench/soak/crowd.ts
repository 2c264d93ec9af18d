/**
 * The process of all clients: sockets that come and go, change and lose their connections, and event streams. It knows who
 * is where, and is asked for it when everybody rests.
 */
import { differences } from "./check.js"
import { Member } from "./member.js"
import { Reader } from "./reader.js"
import { World } from "./world.js"

/** What the parent says. Each is answered by one `Answer`. */
export type Order =
  | { readonly do: "balance" /** Where replicas are that take clients. */; readonly ports: ReadonlyArray<number> }
  | {
      readonly do: "come"
      readonly sockets: number
      readonly streams: number
      readonly rooms: number
      /** How long somebody may be without a connection and have never left, in ms. */
      readonly grace: number
    }
  | { readonly do: "stir" /** A second. */; readonly moves: number; readonly updates: number }
  /** Whoever is between two rooms comes back, or is out for good. */
  | { readonly do: "rest" }
  | { readonly do: "count" }
  | { readonly do: "compare" }
  | { readonly do: "leave" }

/** What it answers to all of them. */
export interface Answer {
  /** Open sockets and event streams, by the replica's port. */
  readonly open: ReadonlyMap<number, number>
  /** Who has not come for the first time. */
  readonly expected: number
  /** Sockets that wait for an answer of the server. */
  readonly unsettled: number
  readonly moves: number
  readonly updates: number
  readonly returns: number
  /** The first few, in words, of those who were told that somebody left who was there. */
  readonly wronged: ReadonlyArray<string>
  readonly truth: ReturnType<typeof rooms>
  /** In words, when asked to compare: what clients see otherwise than it is. */
  readonly wrong: ReadonlyArray<string>
}

let world = new World(0)
let roomCount = 0
let members: Array<Member> = []
let readers: Array<Reader> = []
let queue: Array<Member | Reader> = []
let moves = 0
let updates = 0
let stirring: NodeJS.Timeout | undefined
/** Who has left a room and will come to another. */
const between = new Map<Member, NodeJS.Timeout>()

const someone = (): Member | undefined => members[Math.floor(Math.random() * members.length)]
const somewhere = (): string => `room${Math.floor(Math.random() * roomCount)}`

/** By room, by key. */
const rooms = (): ReadonlyMap<string, ReadonlyMap<string, number>> => {
  const all = new Map(Array.from({ length: roomCount }, (_, i) => [`room${i}`, new Map<string, number>()]))
  for (const [room, key, n] of world.truth) all.get(room)?.set(key, n)
  return all
}

/** So many at a time, the next when one is there. */
const AT_ONCE = 64
const coming = new Set<Member | Reader>()

const gather = (sockets: number, streams: number): void => {
  members = Array.from({ length: sockets }, (_, i) => new Member(`k${i}`, world))
  readers = Array.from({ length: streams }, (_, i) => new Reader(`s${i}`, i % 2 === 0, world))
  queue = [...members, ...readers]
  const timer = setInterval(() => {
    for (const client of coming) if (client.isSettled) coming.delete(client)
    while (coming.size < AT_ONCE) {
      const client = queue.shift()
      if (client === undefined) return clearInterval(timer)
      client.come(`room${queue.length % roomCount}`)
      coming.add(client)
    }
  }, 10)
}

/** A third goes with a word, a third without one, and a third loses the connection. */
const move = (): void => {
  const member = someone()
  if (member?.room === undefined) return
  moves++
  const kind = moves % 3
  if (kind === 0) {
    member.drop()
    return
  }
  member.go(kind === 1)
  between.set(
    member,
    setTimeout(() => comeBack(member), 1_000 + Math.random() * 4_000)
  )
}

const comeBack = (member: Member): void => {
  clearTimeout(between.get(member))
  between.delete(member)
  member.come(somewhere())
}

const update = (): void => {
  const member = someone()
  if (member?.room === undefined) return
  updates++
  member.update()
}

/** Calls it so often a second, whatever the timers do. */
const often = (what: () => void, perSecond: number): (() => void) => {
  const from = performance.now()
  let done = 0
  return () => {
    for (; done < ((performance.now() - from) * perSecond) / 1_000; done++) what()
  }
}

const HEARTBEAT = 30
let second = 0
setInterval(() => {
  second++
  for (let i = second % HEARTBEAT; i < members.length; i += HEARTBEAT) members[i]?.beat()
}, 1_000)

const orders: { readonly [D in Order["do"]]: (order: Extract<Order, { do: D }>) => void } = {
  balance: ({ ports }) => {
    world.ports = ports
  },
  come: ({ sockets, streams, rooms, grace }) => {
    const { ports } = world
    world = new World(grace)
    world.ports = ports
    roomCount = rooms
    gather(sockets, streams)
  },
  stir: (rates) => {
    const [moveSome, updateSome] = [often(move, rates.moves), often(update, rates.updates)]
    stirring = setInterval(() => {
      moveSome()
      updateSome()
    }, 20)
  },
  rest: () => {
    clearInterval(stirring)
    for (const [i, member] of [...between.keys()].entries()) {
      if (i % 2 === 0) comeBack(member)
      else clearTimeout(between.get(member))
    }
    between.clear()
  },
  count: () => {},
  compare: () => {},
  leave: () => {
    for (const [i, member] of members.entries()) if (member.room !== undefined) member.go(i % 2 === 0)
    for (const reader of readers) reader.go()
  }
}

/** What clients who are there see, beside what is so. */
const wrong = (): ReadonlyArray<string> => {
  const truth = rooms()
  return [...members, ...readers].flatMap(({ key, room, view }) => {
    if (room === undefined) return []
    const found = differences(`${key} in ${room}`, view.list, truth.get(room) ?? new Map(), (key) =>
      key.startsWith("s")
    )
    return found.map(({ what }) => what)
  })
}

const open = (): ReadonlyMap<number, number> => {
  const counts = new Map<number, number>()
  for (const { port } of [...members, ...readers]) {
    if (port !== undefined) counts.set(port, (counts.get(port) ?? 0) + 1)
  }
  return counts
}

process.on("message", (order: Order) => {
  ;(orders[order.do] as (order: Order) => void)(order)
  const answer: Answer = {
    open: open(),
    expected: queue.length + [...coming].filter(({ isSettled }) => !isSettled).length,
    unsettled: members.filter(({ isSettled }) => !isSettled).length,
    moves,
    updates,
    returns: world.returns,
    wronged: world.wronged.slice(0, 5),
    truth: order.do === "compare" ? rooms() : new Map(),
    wrong: order.do === "compare" ? wrong() : []
  }
  process.send?.(answer)
})
process.on("disconnect", () => process.exit())
