/**
 * The registry alone, without Effect, beside the cores of what others use for the same.
 */
import { Adapter } from "socket.io-adapter"
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness.js"
import * as Y from "yjs"
import { Connection, Registry } from "../src/internal/registry.js"
import { check, type Row } from "./harness.js"
import { names, nth, perOperation } from "./measure.js"

const terms = { replica: "r", ttl: 30e9, leaveDelay: 0 }
const limits = { connectionsPerKey: 1_000, keysPerTopic: 1_000_000 }
const meta = { role: "viewer" }

/** Times `work`, which tracks and releases `count` connections, over and over until a sample is some 100,000 of them. */
const repeated = (count: number, work: () => void) => {
  const repeats = 100_000 / count
  const start = performance.now()
  for (let i = 0; i < repeats; i++) work()
  return perOperation(performance.now() - start, count * repeats)
}

const registry = (topics: ReadonlyArray<string>, keys: ReadonlyArray<string>) => () => {
  let changes = 0
  const registry = new Registry<Connection>("r", limits, () => {
    changes++
  })
  const connections: Array<Connection> = []
  let now = 0
  const cost = repeated(keys.length, () => {
    for (let i = 0; i < keys.length; i++) {
      const connection = new Connection(nth(topics, i), nth(keys, i), meta, terms)
      registry.track(connection, now++)
      connections[i] = connection
    }
    check("topics", registry.topics, topics.length)
    for (const connection of connections) registry.release(connection)
  })
  check("changes", changes, 200_000)
  check("connections", registry.connections, 0)
  return cost
}

const socketIo = (topics: ReadonlyArray<string>, keys: ReadonlyArray<string>) => () => {
  const adapter = new Adapter({ server: { encoder: undefined } })
  let changes = 0
  adapter.on("join-room", () => changes++)
  adapter.on("leave-room", () => changes++)
  const cost = repeated(keys.length, () => {
    for (let i = 0; i < keys.length; i++) adapter.addAll(nth(keys, i), new Set([nth(topics, i)]))
    check("topics", adapter.rooms.size, topics.length)
    for (let i = 0; i < keys.length; i++) adapter.delAll(nth(keys, i))
  })
  check("changes", changes, 200_000)
  check("connections", adapter.sids.size, 0)
  return cost
}

/** A server's side: it applies what clients sent, one state each, and removes them. A topic is an `Awareness`. */
const yProtocols = (topics: ReadonlyArray<string>, keys: ReadonlyArray<string>) => () => {
  const docs = topics.map(() => new Y.Doc())
  const rooms = docs.map((doc) => new Awareness(doc))
  let changes = 0
  for (const room of rooms) {
    room.setLocalState(null)
    room.on("change", () => changes++)
  }
  const client = new Awareness(new Y.Doc())
  const updates = Array.from({ length: 100_000 / keys.length }, (_, clock) =>
    keys.map((key, i) => {
      client.meta.set(i, { clock: clock + 1, lastUpdated: 0 })
      return encodeAwarenessUpdate(client, [i], new Map([[i, { key, ...meta }]]))
    })
  )
  let repeat = 0
  const cost = repeated(keys.length, () => {
    const sent = updates[repeat++] ?? []
    sent.forEach((update, i) => {
      const room = rooms[i % rooms.length]
      if (room !== undefined) applyAwarenessUpdate(room, update, "client")
    })
    check("states", rooms[0]?.states.size, keys.length / rooms.length)
    for (let i = 0; i < keys.length; i++) {
      const room = rooms[i % rooms.length]
      if (room !== undefined) removeAwarenessStates(room, [i], "client")
    }
  })
  check("changes", changes, 200_000)
  for (const doc of [...docs, client.doc]) doc.destroy()
  return cost
}

const row = (name: string, topics: ReadonlyArray<string>, keys: ReadonlyArray<string>): Row => ({
  name,
  unit: "ns",
  ours: registry(topics, keys),
  rivals: [
    { name: "socket.io-adapter", target: 0.6, run: socketIo(topics, keys) },
    { name: "y-protocols awareness", target: 0.25, run: yProtocols(topics, keys) }
  ]
})

export const core: ReadonlyArray<Row> = [
  row("core: track and release, 1,000 in one topic", ["room:1"], names("user-", 1_000)),
  row("core: track and release, 10,000 over 1,000 topics", names("room:", 1_000), names("user-", 10_000))
]
