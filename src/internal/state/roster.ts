/**
 * Who is on one topic: its keys with their connections, and what is read of them.
 *
 * A key with one connection holds it directly, one with more holds a set in order of age. The sorted list is made
 * when it is asked for, kept until something changes, and then patched at the few keys that did. Keys sort as `<` and
 * the default `sort` do, by UTF-16: fast, and the same on every machine.
 */
import type { Value } from "../input/json.js"

/** What a roster needs to know of a connection. */
export interface RosterMember {
  readonly key: string
  readonly ref: string
  readonly meta: Value
}

export interface RosterEntry {
  readonly key: string
  readonly metas: ReadonlyArray<Value>
}

export class Roster<M extends RosterMember> {
  version = 0
  /** A followed roster lives on when it is empty. */
  kept = false
  /** Connections, of all keys. */
  connections = 0
  private readonly byKey = new Map<string, M | Set<M>>()
  /** The sorted entries, and the frozen copy that readers get: reading a frozen array is slow. */
  private entries: Array<RosterEntry> | undefined
  private listed: ReadonlyArray<RosterEntry> | undefined
  /** Keys that changed since `listed`. */
  private dirty: Set<string> | undefined
  private members: ReadonlyArray<RosterMember> | undefined

  /** The channel that mirrors its events. */
  readonly channel: string

  constructor(
    readonly topic: string,
    readonly epoch: string
  ) {
    this.channel = `presence:${topic}`
  }

  get keys(): number {
    return this.byKey.size
  }

  /** How many connections a key has. */
  size(key: string): number {
    const held = this.byKey.get(key)
    return held === undefined ? 0 : held instanceof Set ? held.size : 1
  }

  /** A key's connections, oldest first. */
  of(key: string): Iterable<M> {
    const held = this.byKey.get(key)
    return held === undefined ? [] : held instanceof Set ? held : [held]
  }

  *[Symbol.iterator](): Iterator<M> {
    for (const held of this.byKey.values()) {
      if (held instanceof Set) yield* held
      else yield held
    }
  }

  add(member: M): void {
    const held = this.byKey.get(member.key)
    if (held === undefined) this.byKey.set(member.key, member)
    else if (held instanceof Set) held.add(member)
    else this.byKey.set(member.key, new Set([held, member]))
    this.connections++
    this.touch(member.key)
  }

  /** Whether it was the key's last connection. */
  remove(member: M): boolean {
    const held = this.byKey.get(member.key)
    const last = held === member
    if (last) this.byKey.delete(member.key)
    else if (held instanceof Set) {
      held.delete(member)
      if (held.size === 1) for (const only of held) this.byKey.set(member.key, only)
    }
    this.connections--
    this.touch(member.key)
    return last
  }

  /** Says that something of a key has changed: one step of the version. */
  touch(key: string): void {
    this.version++
    this.members = undefined
    if (this.entries === undefined) return
    this.listed = undefined
    this.dirty ??= new Set()
    this.dirty.add(key)
    // Patching that many costs as much as sorting anew, and nobody may ask again.
    if (this.dirty.size > Math.min(10_000, Math.max(32, this.entries.length / 16))) {
      this.entries = undefined
      this.dirty = undefined
    }
  }

  entry(key: string): RosterEntry | undefined {
    const held = this.byKey.get(key)
    if (held === undefined) return undefined
    const metas = held instanceof Set ? Array.from(held, (member) => member.meta) : [held.meta]
    return Object.freeze({ key, metas: Object.freeze(metas) })
  }

  /** Entries sorted by key. The same frozen array until something changes. */
  list(): ReadonlyArray<RosterEntry> {
    if (this.listed === undefined) {
      if (this.entries === undefined) this.entries = this.sorted()
      else if (this.dirty !== undefined) this.entries = this.patched(this.entries, this.dirty)
      this.dirty = undefined
      this.listed = Object.freeze(this.entries.slice())
    }
    return this.listed
  }

  /** The connections, sorted by key, then age. The same frozen array until something changes. */
  snapshot(): ReadonlyArray<RosterMember> {
    if (this.members === undefined) {
      const members: Array<RosterMember> = []
      for (const { key } of this.list()) {
        for (const { ref, meta } of this.of(key)) members.push(Object.freeze({ key, ref, meta }))
      }
      this.members = Object.freeze(members)
    }
    return this.members
  }

  private sorted(): Array<RosterEntry> {
    const keys = Array.from(this.byKey.keys()).sort()
    return keys.map((key) => this.entry(key) as RosterEntry)
  }

  /** `entries` with those of the dirty keys put in, replaced or taken out. */
  private patched(entries: Array<RosterEntry>, dirty: ReadonlySet<string>): Array<RosterEntry> {
    // A few in place; from more on, whole runs are copied, so that nothing moves once for each of many.
    if (dirty.size <= 8) {
      for (const key of dirty) {
        const at = position(entries, key, 0)
        const there = entries[at]?.key === key ? 1 : 0
        const entry = this.entry(key)
        if (entry === undefined) entries.splice(at, there)
        else entries.splice(at, there, entry)
      }
      return entries
    }
    const runs: Array<Array<RosterEntry>> = []
    let start = 0
    for (const key of Array.from(dirty).sort()) {
      const end = position(entries, key, start)
      runs.push(entries.slice(start, end))
      start = entries[end]?.key === key ? end + 1 : end
      const entry = this.entry(key)
      if (entry !== undefined) runs.push([entry])
    }
    runs.push(entries.slice(start))
    return ([] as Array<RosterEntry>).concat(...runs)
  }
}

/** The first index from `start` whose key is not before `key`. */
const position = (entries: ReadonlyArray<RosterEntry>, key: string, start: number): number => {
  let low = start
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle] as RosterEntry).key < key) low = middle + 1
    else high = middle
  }
  return low
}
