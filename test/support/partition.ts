/**
 * One partition of Redis in memory: what the scripts do, in plain words and with a clock that a test turns. A property
 * test compares it with the scripts on a real server, so simulations may stand on it.
 */
import type {
  ApplyAnswer,
  ApplyCall,
  BeatAnswer,
  BeatCall,
  MessageOperation,
  ReadAnswer,
  Standing,
  StoredMember,
  TopicMessage
} from "../../src/redis/protocol/calls.js"
import { fieldOf } from "../../src/redis/protocol/keys.js"

/** A connection's name in Redis, as the scripts make it. */
export const connectionOf = (replica: string, seq: number): string => `${replica}.${seq}`

interface Topic {
  version: number
  tag: string
  readonly members: Map<string, StoredMember>
}

export interface Clock {
  now: number
}

export class FakePartition {
  epoch: string | undefined
  floor = 0
  shared: string | undefined
  /** The id of the replication history: another after each fail-over. */
  history = "0"
  readonly leases = new Map<string, number>()
  readonly terms = new Map<string, { readonly lease: number; readonly heartbeat: number }>()
  readonly topics = new Map<string, Topic>()
  readonly indexes = new Map<string, Set<string>>()
  readonly numbers = new Map<string, number>()
  readonly evicted = new Map<string, Set<string>>()

  constructor(
    private readonly clock: Clock,
    private readonly lease: number,
    private readonly heartbeat: number,
    private readonly publish: (topic: string, message: TopicMessage) => void
  ) {}

  apply(call: ApplyCall): ApplyAnswer {
    const { mode, replica, tag } = call
    const inTime = (this.leases.get(replica) ?? 0) > this.clock.now
    if (mode === "own") {
      if (!inTime) return { status: "LEASE" }
      if (call.number <= (this.numbers.get(replica) ?? 0)) return { status: "STALE" }
      this.numbers.set(replica, call.number)
    } else if (mode === "reap" && inTime) return { status: "ALIVE" }

    const epoch = this.epoch ?? tag
    const index = setOf(this.indexes, replica)
    const evicted = setOf(this.evicted, replica)
    const opened = new Map<
      string,
      { topic: Topic; from: number; fromTag: string; born: boolean; told: Array<MessageOperation> }
    >()
    const forbidden: Array<number> = []
    let changed = 0
    for (const [at, operation] of call.operations.entries()) {
      let open = opened.get(operation.topic)
      if (open === undefined) {
        const topic = this.topics.get(operation.topic)
        open =
          topic === undefined
            ? {
                topic: { version: 0, tag: "", members: new Map() },
                from: this.floor,
                fromTag: "",
                born: true,
                told: []
              }
            : { topic, from: topic.version, fromTag: topic.tag, born: false, told: [] }
        opened.set(operation.topic, open)
      }
      const { members } = open.topic
      const version = open.from + 1
      const field = fieldOf(operation.seq, operation.topic)
      const connection = connectionOf(replica, operation.seq)
      const member = members.get(connection)
      if (operation.type === "put") {
        const { revision, key } = operation
        if (member !== undefined && revision <= member.revision) continue
        if (member === undefined && evicted.has(field)) {
          forbidden.push(at)
          continue
        }
        index.add(field)
        const meta = JSON.parse(operation.meta)
        members.set(connection, { connection, joined: member?.joined ?? version, revision, key, meta })
        open.told.push({ type: "put", connection, revision, key, meta })
        changed++
      } else {
        const indexed = index.delete(field)
        if (member === undefined) {
          if (indexed) changed++
          continue
        }
        members.delete(connection)
        if (mode === "evict") evicted.add(field)
        open.told.push({ type: "remove", connection, reason: operation.reason })
        changed++
      }
    }
    const versions = new Map<string, number>()
    this.epoch = epoch
    for (const [name, { topic, from, fromTag, born, told }] of opened) {
      versions.set(name, told.length === 0 ? from : from + 1)
      if (told.length === 0) continue
      topic.version = from + 1
      topic.tag = tag
      if (topic.members.size > 0) this.topics.set(name, topic)
      else {
        this.topics.delete(name)
        this.floor = Math.max(this.floor, topic.version)
      }
      this.publish(name, { epoch, from, fromTag, to: topic.version, tag, born, operations: told })
    }
    let emptied = false
    if (mode === "reap" && index.size === 0) {
      this.forget(replica)
      emptied = true
    }
    return { status: "OK", epoch, changed, emptied, versions, forbidden }
  }

  beat(call: BeatCall, shared: string, lease = this.lease, heartbeat = this.heartbeat): BeatAnswer {
    const { mode, replica } = call
    const { now } = this.clock
    if (call.number <= (this.numbers.get(replica) ?? 0)) return { status: "STALE" }
    let lastBeat: number | undefined
    let slowest = heartbeat
    const cut = new Set<string>()
    for (const [other, deadline] of this.leases) {
      const terms = this.terms.get(other) ?? { lease, heartbeat: 0 }
      if (deadline > now + terms.lease) {
        this.leases.set(other, now + terms.lease)
        cut.add(other)
      } else lastBeat = Math.max(lastBeat ?? Number.NEGATIVE_INFINITY, deadline - terms.lease)
      slowest = Math.max(slowest, terms.heartbeat)
    }
    const anybody = [...this.leases.values()].some((deadline) => deadline > now)
    if (mode === "claim" && (this.shared === undefined || partitionsOf(this.shared) !== partitionsOf(shared))) {
      if (this.shared !== undefined && anybody) return { status: "SHARED", theirs: this.shared }
      this.shared = shared
    }
    const silence = lastBeat === undefined ? 0 : now - lastBeat
    if (silence > 2 * slowest) {
      for (const [other, deadline] of this.leases) if (!cut.has(other)) this.leases.set(other, deadline + silence)
    }
    if (mode === "beat" && (this.leases.get(replica) ?? 0) <= now) return { status: "LEASE" }
    const evicted = setOf(this.evicted, replica)
    for (const place of call.seen) evicted.delete(place)
    const connections = setOf(this.indexes, replica).size
    this.epoch ??= call.tag
    const { history } = this
    if (mode === "leave") {
      if (connections === 0) {
        this.forget(replica)
        this.evicted.delete(replica)
      }
      return { status: "OK", epoch: this.epoch, history, connections, late: [], evicted: [] }
    }
    this.leases.set(replica, now + lease)
    if (mode === "claim") this.terms.set(replica, { lease, heartbeat })
    this.numbers.set(replica, call.number)
    const late = [...this.leases].filter(([, deadline]) => deadline <= now).map(([other]) => other)
    return { status: "OK", epoch: this.epoch, history, connections, late, evicted: [...evicted] }
  }

  read(name: string): ReadAnswer {
    const members = [...(this.topics.get(name)?.members.values() ?? [])]
    return {
      standing: this.standing(name),
      history: this.history,
      replicas: new Set(this.leases.keys()),
      size: members.length,
      members
    }
  }

  standing(name: string): Standing | undefined {
    if (this.epoch === undefined) return undefined
    const topic = this.topics.get(name)
    return topic === undefined
      ? { epoch: this.epoch, version: this.floor, tag: "" }
      : { epoch: this.epoch, version: topic.version, tag: topic.tag }
  }

  /** FLUSHALL, or a restart without a disk. */
  flush(): void {
    this.epoch = undefined
    this.floor = 0
    this.shared = undefined
    for (const map of [this.leases, this.terms, this.topics, this.indexes, this.numbers, this.evicted]) map.clear()
  }

  /** A copy, as a Redis replica has it; `restore` is the fail-over to it. */
  save(): () => void {
    const { epoch, floor, shared } = this
    const leases = new Map(this.leases)
    const numbers = new Map(this.numbers)
    const topics = new Map(
      [...this.topics].map(([name, topic]) => [name, { ...topic, members: new Map(topic.members) }])
    )
    const indexes = new Map([...this.indexes].map(([replica, index]) => [replica, new Set(index)]))
    const evicted = new Map([...this.evicted].map(([replica, places]) => [replica, new Set(places)]))
    return () => {
      this.flush()
      this.history += "'"
      this.epoch = epoch
      this.floor = floor
      this.shared = shared
      for (const [from, to] of [
        [leases, this.leases],
        [numbers, this.numbers],
        [topics, this.topics],
        [indexes, this.indexes],
        [evicted, this.evicted]
      ] as ReadonlyArray<[Map<string, unknown>, Map<string, unknown>]>) {
        for (const [name, value] of from) to.set(name, value)
      }
    }
  }

  private forget(replica: string): void {
    this.leases.delete(replica)
    this.indexes.delete(replica)
    this.numbers.delete(replica)
  }
}

const setOf = (sets: Map<string, Set<string>>, name: string): Set<string> => {
  let set = sets.get(name)
  if (set === undefined) {
    set = new Set()
    sets.set(name, set)
  }
  return set
}

const partitionsOf = (shared: string): string | undefined => /partitions (\d+)$/.exec(shared)?.[1] ?? shared
