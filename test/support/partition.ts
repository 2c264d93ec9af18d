/**
 * One partition of Redis in memory: what the scripts do, in plain words and with a clock that a test turns. A property
 * test compares it with the scripts on a real server, so simulations may stand on it.
 */

import { connectionOf, EVERYBODY, fieldOf } from "../../src/redis/protocol/keys.js"
import type {
  ApplyAnswer,
  ApplyCall,
  BeatAnswer,
  BeatCall,
  Lost,
  MessageOperation,
  ReadAnswer,
  Settings,
  Standing,
  StoredMember,
  TopicMessage
} from "../../src/redis/protocol/values.js"

const LATE = Number.NEGATIVE_INFINITY

interface Topic {
  version: number
  tag: string
  readonly members: Map<string, StoredMember>
}

interface Lived {
  readonly lease: number
  readonly heartbeat: number
  readonly settled: string
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
  /** Deadlines; -Infinity of one that was found late. */
  readonly leases = new Map<string, number>()
  /** How each replica lives; one of version 0.1 has no numbers of its own. */
  readonly settings = new Map<string, Lived>()
  /** Who was doubted at the last beat, and in which history that was. */
  private doubts: { readonly history: string; readonly replicas: ReadonlySet<string> } | undefined
  readonly topics = new Map<string, Topic>()
  readonly indexes = new Map<string, Set<string>>()
  readonly numbers = new Map<string, number>()
  readonly evicted = new Map<string, Set<string>>()

  constructor(
    private readonly clock: Clock,
    private readonly publish: (topic: string, message: TopicMessage) => void,
    private readonly nudge: (replica: string) => void = () => {}
  ) {}

  apply(call: ApplyCall): ApplyAnswer {
    const { mode, replica, tag } = call
    const isIn = (this.leases.get(replica) ?? LATE) > LATE
    if (mode === "own") {
      if (!isIn) return { status: "LEASE" }
      if (call.number <= (this.numbers.get(replica) ?? 0)) return { status: "STALE" }
      // Of an index that somebody deleted it stays away.
      if (this.numbers.has(replica)) this.numbers.set(replica, call.number)
    } else if (mode === "reap" && isIn) return { status: "ALIVE" }

    const epoch = this.epoch ?? tag
    const index = setOf(this.indexes, replica)
    const evicted = setOf(this.evicted, replica)
    const opened = new Map<
      string,
      {
        topic: Topic
        from: number
        fromTag: string
        isUnversioned: boolean
        isUntold: boolean
        told: Array<MessageOperation>
      }
    >()
    const forbidden: Array<number> = []
    const lost: Array<Lost> = []
    let changed = 0
    for (const [at, operation] of call.operations.entries()) {
      let open = opened.get(operation.topic)
      if (open === undefined) {
        const topic = this.topics.get(operation.topic)
        open =
          topic === undefined || topic.tag === ""
            ? {
                topic: topic ?? { version: 0, tag: "", members: new Map() },
                from: this.floor,
                fromTag: "",
                isUnversioned: false,
                isUntold: false,
                told: []
              }
            : { topic, from: topic.version, fromTag: topic.tag, isUnversioned: false, isUntold: false, told: [] }
        opened.set(operation.topic, open)
      }
      const { members } = open.topic
      const version = open.from + 1
      const field = fieldOf(operation.seq, operation.topic)
      const connection = connectionOf(replica, operation.seq)
      const member = members.get(connection)
      if (operation.type === "put") {
        const { revision, key } = operation
        if (member !== undefined && revision <= member.revision) {
          if (!index.has(field)) open.isUntold = true
          if (open.fromTag === "" || open.isUntold) open.isUnversioned = true
          index.add(field)
          continue
        }
        if (member === undefined && evicted.has(field)) {
          forbidden.push(at)
          continue
        }
        if (member === undefined) index.add(field)
        const meta = JSON.parse(operation.meta)
        members.set(connection, { connection, joined: member?.joined ?? version, revision, key, meta })
        open.told.push({ type: "put", connection, revision, key, meta })
        changed++
      } else {
        const isIndexed = index.delete(field)
        if (member === undefined && !isIndexed) continue
        members.delete(connection)
        if (mode === "evict") evicted.add(field)
        else if (mode === "reap" && member !== undefined) lost.push({ topic: operation.topic, member })
        open.told.push({ type: "remove", connection, reason: operation.reason })
        changed++
      }
    }
    const versions = new Map<string, number>()
    this.epoch = epoch
    for (const [name, { topic, from, fromTag, isUnversioned, isUntold, told }] of opened) {
      const isMoved = told.length > 0 || isUnversioned
      versions.set(name, isMoved ? from + 1 : fromTag === "" ? 0 : from)
      if (!isMoved) continue
      topic.version = from + 1
      topic.tag = tag
      if (topic.members.size > 0) this.topics.set(name, topic)
      else {
        this.topics.delete(name)
        this.floor = Math.max(this.floor, topic.version)
      }
      if (told.length === 0 || isUntold) continue
      const born = fromTag === ""
      this.publish(name, { epoch, from, fromTag, to: topic.version, tag, born, operations: told })
    }
    let emptied = false
    const isWhole = call.operations.length === 0 || this.numbers.has(replica)
    if (mode === "reap" && isWhole && index.size === 0) {
      this.forget(replica)
      emptied = true
    }
    return { status: "OK", epoch, changed, emptied, versions, forbidden, lost, prevented: [] }
  }

  beat(call: BeatCall, { lease, heartbeat, partitions }: Settings): BeatAnswer {
    const { mode, replica } = call
    const { now } = this.clock
    if (call.number <= (this.numbers.get(replica) ?? 0)) return { status: "STALE" }
    if (this.leases.size === 0) {
      for (const [other, { lease }] of this.settings) this.leases.set(other, now + lease)
      if (this.leases.size === 0 && [...this.topics.values()].some(({ tag }) => tag !== "")) {
        this.leases.set(EVERYBODY, now + lease)
        this.settings.set(EVERYBODY, { lease, heartbeat, settled: "" })
      }
    }
    const elder = /^lease (\d+) ms, heartbeat (\d+) ms, partitions (\d+)$/.exec(this.shared ?? "")
    const elders = elder === null ? undefined : { lease: Number(elder[1]), heartbeat: Number(elder[2]) }
    const inTime = [...this.leases].filter(([, deadline]) => deadline > LATE)
    const isStranger = (other: string): boolean => other !== replica && !this.settings.has(other)
    const lives = inTime.flatMap(([other, deadline]) => {
      const isElder = isStranger(other)
      const lived = this.settings.get(other) ?? (isElder ? elders : { lease, heartbeat })
      return lived === undefined ? [] : [{ isElder, beaten: deadline - lived.lease, ...lived }]
    })
    const own = lives.filter(({ isElder }) => !isElder)
    const shortest = Math.min(heartbeat, ...lives.map(({ heartbeat }) => heartbeat))
    const longest = Math.max(lease, ...lives.map(({ lease }) => lease))
    const first = `lease ${lease} ms, heartbeat ${heartbeat} ms, partitions ${partitions}`
    const format = `format 2, partitions ${partitions}`
    if (Number(/^format (\d+)/.exec(this.shared ?? "")?.[1] ?? 0) > 2) {
      if ([...this.leases.keys()].some(isStranger)) return { status: "SHARED", theirs: String(this.shared) }
      this.shared = format
    }
    if (mode === "claim" && this.shared !== first && this.shared !== format) {
      const isRefused =
        elder !== null && Number(elder[3]) === partitions
          ? inTime.some(([other, deadline]) => deadline > now && isStranger(other))
          : this.leases.size > 0
      if (this.shared !== undefined && isRefused) return { status: "SHARED", theirs: this.shared }
      this.shared = this.shared === undefined ? first : format
    }
    if (lives.length > 0) {
      const silence = now - Math.max(...(own.length > 0 ? own : lives).map(({ beaten }) => beaten))
      const isNew = this.doubts !== undefined && this.doubts.history !== this.history
      if (silence < 0 || silence > 2 * shortest || isNew) {
        for (const [other, deadline] of this.leases) this.leases.set(other, deadline + silence)
      }
    }
    if (mode === "beat" && (this.leases.get(replica) ?? LATE) === LATE) return { status: "LEASE" }
    if (mode === "beat" && this.shared === undefined && ![...this.leases.keys()].some(isStranger)) this.shared = format
    const evicted = setOf(this.evicted, replica)
    for (const place of call.seen) evicted.delete(place)
    const isWhole = this.numbers.has(replica) || call.whole || !this.leases.has(replica)
    const connections = isWhole ? setOf(this.indexes, replica).size : undefined
    this.epoch ??= call.tag
    const { history } = this
    const answer = {
      status: "OK",
      epoch: this.epoch,
      history,
      connections,
      heartbeat: shortest,
      lease: longest
    } as const
    if (mode === "leave") {
      if (connections === 0 && this.numbers.has(replica)) {
        this.forget(replica)
        this.settings.delete(replica)
        this.evicted.delete(replica)
        if (this.leases.size === 0) this.leaveNobody()
      }
      return { ...answer, late: [], evicted: [] }
    }
    const isSettled = connections === 0 || call.settled === history || this.settings.get(replica)?.settled === history
    this.settings.set(replica, { lease, heartbeat, settled: isSettled ? history : "" })
    this.leases.set(replica, now + lease)
    if (isWhole) this.numbers.set(replica, call.number)
    if (mode === "claim" && shortest === heartbeat) {
      for (const [other, lived] of this.settings) if (lived.heartbeat > heartbeat) this.nudge(other)
    }
    const late: Array<string> = []
    for (const [other, deadline] of this.leases) {
      if (deadline > now) continue
      this.leases.set(other, LATE)
      late.push(other)
    }
    for (const other of [...this.settings.keys()]) if (!this.leases.has(other)) this.settings.delete(other)
    const replicas = [...this.settings].filter(([, { settled }]) => settled !== history).map(([other]) => other)
    this.doubts = { history, replicas: new Set(replicas) }
    return { ...answer, late, evicted: [...evicted] }
  }

  read(name: string): ReadAnswer {
    const members = [...(this.topics.get(name)?.members.values() ?? [])]
    return {
      standing: this.standing(name),
      history: this.history,
      replicas: new Set(this.leases.keys()),
      doubted: this.doubted(),
      size: members.length,
      members
    }
  }

  /** Who was doubted at the last beat: what is told to who does not ask for the history. */
  get marked(): ReadonlySet<string> {
    return this.doubts?.replicas ?? new Set()
  }

  private doubted(): ReadonlySet<string> {
    if (this.doubts === undefined || this.doubts.history === this.history) return this.marked
    // Nobody has beaten yet in this history.
    return new Set(this.settings.keys())
  }

  private leaveNobody(): void {
    this.settings.clear()
    this.doubts = undefined
  }

  standing(name: string): Standing | undefined {
    if (this.epoch === undefined) return undefined
    const topic = this.topics.get(name)
    return topic === undefined || topic.tag === ""
      ? { epoch: this.epoch, version: this.floor, tag: "" }
      : { epoch: this.epoch, version: topic.version, tag: topic.tag }
  }

  /** FLUSHALL, or a restart without a disk. */
  flush(): void {
    this.epoch = undefined
    this.floor = 0
    this.shared = undefined
    this.leaveNobody()
    for (const map of [this.leases, this.topics, this.indexes, this.numbers, this.evicted]) map.clear()
  }

  /** Somebody deletes a key, by its letter, of a replica or a topic. */
  delete(key: string): void {
    const name = key.slice(2)
    if (key === "l") this.leases.clear()
    else if (key === "r") this.leaveNobody()
    else if (key === "c") this.shared = undefined
    else if (key === "v") {
      this.epoch = undefined
      this.floor = 0
      for (const topic of this.topics.values()) Object.assign(topic, { version: 0, tag: "" })
    } else if (key.startsWith("i")) {
      this.indexes.delete(name)
      this.numbers.delete(name)
    } else this.topics.get(name)?.members.clear()
  }

  /** A copy, as a Redis replica or a file has it, which can be put into any partition, and more than once. */
  save(): (into: FakePartition, history: string) => void {
    const { epoch, floor, shared, doubts, settings, leases, numbers, topics, indexes, evicted } = this
    const saved = structuredClone({ epoch, floor, shared, doubts, settings, leases, numbers, topics, indexes, evicted })
    return (into, history) => Object.assign(into, structuredClone(saved), { history })
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
