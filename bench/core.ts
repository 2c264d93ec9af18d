/**
 * The registry alone, without Effect, beside the cores of what others use for the same: a crowd in which one after the
 * other leaves and comes back.
 */
import { Adapter } from "socket.io-adapter"
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness.js"
import { Doc } from "yjs"
import { Registry, TrackedConnection } from "../src/internal/state/registry.js"
import { check, type Row, type Run, type Time } from "./harness.js"
import { names, nth, perOperation, stopwatch } from "./measure.js"

const CHURN = 100_000
const terms = { replica: "r", ttl: 30e9, leaveDelay: 0 }
const limits = { connectionsPerKey: 1_000, keysPerTopic: 1_000_000, metaTotal: 536_870_912 }
const meta = { role: "viewer" }

/** Times one leaving and coming back; `i` is who, `n` counts. */
const churn = (crowd: number, again: (i: number, n: number) => void): Time => {
  const watch = stopwatch()
  for (let n = 0; n < CHURN; n++) again((n * 7_919) % crowd, n)
  return perOperation(watch(), CHURN)
}

type Contender = (topics: ReadonlyArray<string>, keys: ReadonlyArray<string>) => Run

const registry: Contender = (topics, keys) => {
  let changes = 0
  const registry = new Registry<TrackedConnection>("r", limits, () => {
    changes++
  })
  let now = 0
  const track = (key: string, i: number) => {
    const connection = new TrackedConnection(nth(topics, i), key, meta, terms)
    registry.track(connection, now++)
    return connection
  }
  const connections = keys.map(track)
  return () => {
    changes = 0
    const cost = churn(keys.length, (i) => {
      const connection = connections[i]
      if (connection !== undefined) registry.release(connection)
      connections[i] = track(nth(keys, i), i)
    })
    check("changes", changes, 2 * CHURN)
    check("connections", registry.connections, keys.length)
    return cost
  }
}

/** A socket that comes back has a new id, which is made before the time runs. */
const socketIo: Contender = (topics, keys) => {
  const adapter = new Adapter({ server: { encoder: undefined } })
  let changes = 0
  adapter.on("join-room", () => changes++)
  adapter.on("leave-room", () => changes++)
  const sockets = [...keys]
  const join = (id: string, i: number) => adapter.addAll(id, new Set([nth(topics, i)]))
  sockets.forEach(join)
  let run = 0
  return () => {
    changes = 0
    const ids = names(`socket-${run++}-`, CHURN)
    const cost = churn(keys.length, (i, n) => {
      adapter.delAll(nth(sockets, i))
      sockets[i] = nth(ids, n)
      join(nth(ids, n), i)
    })
    check("changes", changes, 2 * CHURN)
    check("connections", adapter.sids.size, keys.length)
    return cost
  }
}

/** A server's side: a topic is an `Awareness`, which applies what clients sent, one state each, and removes them. */
const yProtocols: Contender = (topics, keys) => () => {
  const docs = topics.map(() => new Doc())
  const rooms = docs.map((doc) => new Awareness(doc))
  const room = (i: number) => rooms[i % rooms.length] as Awareness
  let changes = 0
  for (const awareness of rooms) {
    awareness.setLocalState(null)
    awareness.on("change", () => changes++)
  }
  const client = new Awareness(new Doc())
  const update = (key: string, i: number, clock: number) => {
    client.meta.set(i, { clock, lastUpdated: 0 })
    return encodeAwarenessUpdate(client, [i], new Map([[i, { key, ...meta }]]))
  }
  keys.forEach((key, i) => {
    applyAwarenessUpdate(room(i), update(key, i, 1), "client")
  })
  const updates = Array.from({ length: CHURN }, (_, n) => {
    const i = (n * 7_919) % keys.length
    return update(nth(keys, i), i, n + 2)
  })
  const cost = churn(keys.length, (i, n) => {
    removeAwarenessStates(room(i), [i], "client")
    applyAwarenessUpdate(room(i), updates[n] as Uint8Array, "client")
  })
  check("changes", changes, keys.length + 2 * CHURN)
  check("states", rooms[0]?.states.size, keys.length / rooms.length)
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
