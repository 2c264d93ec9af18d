/**
 * A follower's copy of a topic: a snapshot with the later diffs applied.
 *
 * It checks on the way that a diff begins where the copy stands, and that everything it names is there.
 */
import type { Connection, PresenceChange } from "../../src/index.js"

export interface Copy {
  readonly epoch: string
  readonly version: number
  readonly connections: ReadonlyArray<Connection>
}

export const apply = (copy: Copy | undefined, change: PresenceChange): Copy => {
  if (change._tag === "Snapshot") {
    return { epoch: change.epoch, version: change.version, connections: sorted(change.connections) }
  }
  if (copy === undefined) throw new Error("a diff came before the first snapshot")
  if (change.from !== copy.version) {
    throw new Error(`a gap or a repeat: a diff from ${change.from} came to a copy at ${copy.version}`)
  }
  if (change.epoch === copy.epoch && change.version <= change.from) {
    throw new Error(`a diff from ${change.from} goes to ${change.version}, which is not forward`)
  }
  let connections = [...copy.connections]
  const find = (ref: string, key: string): number => {
    const index = connections.findIndex((connection) => connection.ref === ref)
    if (index === -1 || connections[index]?.key !== key) throw new Error(`${key} (${ref}) is not in the copy`)
    return index
  }
  for (const leave of change.leaves) connections.splice(find(leave.ref, leave.key), 1)
  for (const { key, ref, previousRef, meta } of change.updates) {
    connections[find(previousRef, key)] = { key, ref, meta }
  }
  for (const join of change.joins) {
    if (connections.some((connection) => connection.ref === join.ref)) throw new Error(`${join.ref} joins twice`)
    connections = [...connections, join]
  }
  return { epoch: change.epoch, version: change.version, connections: sorted(connections) }
}

export const applyAll = (changes: Iterable<PresenceChange>): Copy | undefined => {
  let copy: Copy | undefined
  for (const change of changes) copy = apply(copy, change)
  return copy
}

/** By key in UTF-16 order; the sort is stable, so age stays the order within a key. */
const sorted = (connections: ReadonlyArray<Connection>): ReadonlyArray<Connection> =>
  [...connections].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
