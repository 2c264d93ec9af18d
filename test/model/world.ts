/**
 * What presence should do, as naively as can be: one list of connections in the order they joined.
 *
 * Each change is told to the world's log of its topic: as the event it makes, and as the state it leads to. What
 * happens at one moment in no particular order is one group.
 */
import type { LeaveReason } from "../../src/index.js"

export type Status = "present" | "lingering" | "expired" | "evicted" | "released"

/** One lease, as the model sees it. */
export interface Tracked<L extends { readonly ref: string }> {
  readonly lease: L
  readonly topic: string
  readonly key: string
  readonly scope: number
  readonly ttl: number
  readonly delay: number
  meta: unknown
  status: Status
  /** When it expires or, when it lingers, departs. */
  deadline: number
}

/** The events of changes that happened at one moment. */
export type Group = ReadonlyArray<string>

export interface Topic {
  /** Events since somebody last looked. */
  groups: Array<Group>
  /** Changed connections since the life began, and since ever. */
  version: number
  changes: number
  followers: number
  /** Whether a life has ended since somebody last looked. */
  ended: boolean
  /** States by version of this life. */
  history: Map<number, string>
}

export class World<L extends { readonly ref: string }> {
  now = 0
  readonly all: Array<Tracked<L>> = []
  /** Those that are there, oldest first. */
  private connections: Array<Tracked<L>> = []
  private readonly topics = new Map<string, Topic>()
  private told: Map<string, Array<string>> | undefined

  topic(name: string): Topic {
    let topic = this.topics.get(name)
    if (topic === undefined) {
      topic = { groups: [], version: 0, changes: 0, followers: 0, ended: true, history: new Map() }
      this.topics.set(name, topic)
    }
    return topic
  }

  // Reading

  of(topic: string): ReadonlyArray<Tracked<L>> {
    return this.connections.filter((tracked) => tracked.topic === topic)
  }

  list(topic: string): ReadonlyArray<{ readonly key: string; readonly metas: ReadonlyArray<unknown> }> {
    const keys = [...new Set(this.of(topic).map(({ key }) => key))].sort()
    return keys.map((key) => ({
      key,
      metas: this.of(topic)
        .filter((tracked) => tracked.key === key)
        .map(({ meta }) => meta)
    }))
  }

  state(topic: string): string {
    const sorted = [...this.of(topic)].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    return JSON.stringify(sorted.map(({ key, lease, meta }) => [key, lease.ref, meta]))
  }

  topicNames(): ReadonlyArray<string> {
    return [...new Set(this.connections.map(({ topic }) => topic))].sort()
  }

  // Changing

  track(tracked: Tracked<L>): void {
    this.all.push(tracked)
    this.together(() => this.join(tracked))
  }

  refresh(tracked: Tracked<L>): "renewed" | "rejoined" | "evicted" | "released" {
    if (tracked.status === "present") {
      tracked.deadline = this.now + tracked.ttl
      return "renewed"
    }
    return this.rejoin(tracked)
  }

  update(tracked: Tracked<L>, meta: unknown): "updated" | "rejoined" | "evicted" | "released" {
    if (tracked.status === "expired") tracked.meta = meta
    if (tracked.status !== "present") return this.rejoin(tracked)
    if (canonical(tracked.meta) === canonical(meta)) return "updated"
    tracked.meta = meta
    this.together(() => this.changed(tracked.topic, { type: "update", key: tracked.key, meta }))
    return "updated"
  }

  release(tracked: Tracked<L>): void {
    if (tracked.status === "expired") tracked.status = "released"
    else this.together(() => this.leave(tracked, "released"))
  }

  evict(topic: string, key: string): number {
    const gone = this.of(topic).filter((tracked) => tracked.key === key)
    this.together(() => {
      for (const tracked of gone) this.leave(tracked, "evicted")
    })
    return gone.length
  }

  closeScope(scope: number): void {
    for (const tracked of [...this.all].reverse()) {
      if (tracked.scope !== scope) continue
      if (tracked.status === "present" && tracked.delay > 0) {
        tracked.status = "lingering"
        tracked.deadline = this.now + tracked.delay
      } else if (tracked.status !== "lingering") this.release(tracked)
    }
  }

  sweep(): number {
    const due = this.due("present")
    this.together(() => {
      for (const tracked of due) this.leave(tracked, "expired")
    })
    return due.length
  }

  depart(): number {
    const due = this.due("lingering")
    this.together(() => {
      for (const tracked of due) this.leave(tracked, "released")
    })
    return due.length
  }

  /** One second. */
  pass(sweeps: boolean): void {
    this.now += 1
    this.together(() => {
      this.depart()
      if (sweeps) this.sweep()
    })
  }

  follow(name: string): void {
    this.topic(name).followers++
  }

  unfollow(name: string): void {
    const topic = this.topic(name)
    topic.followers--
    this.collect(name, topic)
  }

  private due(status: Status): ReadonlyArray<Tracked<L>> {
    return this.connections.filter((tracked) => tracked.status === status && tracked.deadline <= this.now)
  }

  private join(tracked: Tracked<L>): void {
    const stayed = this.of(tracked.topic).filter(({ key, status }) => key === tracked.key && status === "lingering")
    tracked.status = "present"
    tracked.deadline = this.now + tracked.ttl
    this.connections.push(tracked)
    this.changed(tracked.topic, { type: "join", key: tracked.key, meta: tracked.meta })
    for (const other of stayed) this.leave(other, "released")
  }

  private rejoin(tracked: Tracked<L>): "rejoined" | "evicted" | "released" {
    switch (tracked.status) {
      case "expired":
        this.together(() => this.join(tracked))
        return "rejoined"
      case "evicted":
        return "evicted"
      default:
        return "released"
    }
  }

  private leave(tracked: Tracked<L>, reason: LeaveReason): void {
    if (tracked.status !== "present" && tracked.status !== "lingering") return
    tracked.status = reason === "replicaLost" ? "released" : reason
    this.connections = this.connections.filter((other) => other !== tracked)
    const last = !this.of(tracked.topic).some(({ key }) => key === tracked.key)
    this.changed(tracked.topic, last ? { type: "leave", key: tracked.key } : undefined)
    this.collect(tracked.topic, this.topic(tracked.topic))
  }

  private changed(name: string, event: object | undefined): void {
    const topic = this.topic(name)
    topic.version++
    topic.changes++
    const group = this.told?.get(name) ?? []
    if (event !== undefined) group.push(JSON.stringify(event))
    this.told?.set(name, group)
  }

  /** All that is changed within is one group. */
  private together(change: () => void): void {
    if (this.told !== undefined) {
      change()
      return
    }
    const told = new Map<string, Array<string>>()
    this.told = told
    change()
    this.told = undefined
    for (const [name, group] of told) {
      const topic = this.topic(name)
      topic.groups.push(group)
      topic.history.set(topic.version, this.state(name))
    }
  }

  private collect(name: string, topic: Topic): void {
    if (topic.followers > 0 || this.of(name).length > 0) return
    topic.ended = true
    topic.version = 0
    topic.history = new Map()
  }
}

/** Equal as JSON, in whatever order names stand. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, child: unknown) =>
    typeof child === "object" && child !== null && !Array.isArray(child)
      ? Object.fromEntries(Object.entries(child).sort(([a], [b]) => (a < b ? -1 : 1)))
      : child
  )
