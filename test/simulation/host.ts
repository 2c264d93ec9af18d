/**
 * A host with a Redis: the commands that a replica sends, over the partition in memory that is compared with the scripts
 * on a real server; what comes out is what Redis would answer, as plain values.
 */

import type { LeaveReason } from "../../src/PresenceChange.js"
import type { RedisReply } from "../../src/redis/client/port.js"
import { Keys } from "../../src/redis/protocol/keys.js"
import * as scripts from "../../src/redis/protocol/scripts.js"
import type {
  ApplyCall,
  BeatCall,
  Operation,
  Settings,
  StoredMember,
  TopicMessage
} from "../../src/redis/protocol/values.js"
import { FakePartition } from "../support/partition.js"
import { Heartbeats } from "./truth.js"

type Args = ReadonlyArray<string>

const REASONS: Readonly<Record<string, LeaveReason>> = {
  r: "released",
  e: "expired",
  v: "evicted",
  l: "replicaLost"
}

/** More members than this are read by pages, so that few make pages. */
const SMALL = 3

const PREFIX = "presence"
const keys = new Keys(PREFIX, 0)

/** What happens at a host that a simulation wants to know. */
export interface HostEvents {
  readonly now: () => number
  readonly random: () => number
  /** A text on a channel: to those who are subscribed to it there. */
  readonly publish: (channel: string, text: string) => void
  /** A heartbeat was taken; who was found late with it. */
  readonly onBeat: (call: BeatCall, settings: Settings, late: ReadonlyArray<string>) => void
  /** A heartbeat came of somebody whose lease is over. */
  readonly onRefused: (settings: Settings) => void
}

export class SimulatedHost {
  role: "master" | "slave" = "master"
  /** The memory is full. */
  isFull = false
  /** It takes no more connections. */
  refuses = false
  /** How far its clock is from the true one, in ms. */
  skew = 0
  /** How many topics were read, and how many of them after something was missed. */
  reads = 0
  data: FakePartition
  /** What `data` has heard. */
  heartbeats = new Heartbeats()
  private readonly known = new Set<string>()

  constructor(private readonly events: HostEvents) {
    this.data = this.makeData()
  }

  /** It comes up with nothing, or with what is restored into it. */
  restart(history: string): void {
    this.data = this.makeData()
    this.data.history = history
    this.known.clear()
  }

  private makeData(): FakePartition {
    const { events } = this
    const now = (): number => Math.floor(events.now() + 1e12 + this.skew)
    return new FakePartition(
      {
        get now() {
          return now()
        }
      },
      (topic, message) => events.publish(keys.topicChannel(topic), textOf(message)),
      (replica) => events.publish(keys.inbox(replica), "")
    )
  }

  /** Answers a command, or throws what Redis says. */
  execute(name: string, args: Args): RedisReply {
    switch (name) {
      case "EVALSHA": {
        const [hash = "", ...rest] = args
        if (!this.known.has(hash)) throw new Error("NOSCRIPT No matching script. Please use EVAL.")
        return this.run(hash, rest)
      }
      case "EVAL": {
        const [text = "", ...rest] = args
        const script = SCRIPTS.find((script) => script.text === text)
        if (script === undefined) throw new Error("ERR unknown script")
        this.known.add(script.hash)
        return this.run(script.hash, rest)
      }
      case "INFO":
        return `redis_version:7.2.0\r\nredis_mode:standalone\r\nrole:${this.role}\r\nmaxmemory:0\r\n`
      case "CLIENT":
        return "id=1 db=0"
      case "PUBLISH":
        this.events.publish(args[0] ?? "", args[1] ?? "")
        return 1
      case "HGET": {
        const [kind, topic] = partsOf(args[0])
        if (kind !== "k") break
        const found = this.membersOf(topic).filter(({ key }) => key === args[1])
        return found.length === 0 ? null : ` ${found.map(({ connection }) => connection).join(" ")} `
      }
      case "ZRANGE":
        return [...this.data.leases.keys()]
      case "ZADD": {
        const [, , ...late] = args
        for (const name of late.filter((_, at) => at % 2 === 1)) {
          if (!this.data.leases.has(name)) this.data.leases.set(name, Number.NEGATIVE_INFINITY)
        }
        return null
      }
      case "ZSCORE": {
        const deadline = this.data.leases.get(args[1] ?? "")
        return deadline === undefined ? null : String(deadline)
      }
      case "HLEN": {
        const [kind, topic] = partsOf(args[0])
        const members = this.membersOf(topic)
        return kind === "k" ? new Set(members.map(({ key }) => key)).size : members.length
      }
      case "HMGET":
        return [this.head(), ...args.slice(2).map((topic) => this.version(topic))]
      case "HSCAN":
        return this.scan(args[0] ?? "", Number(args[1]))
    }
    throw new Error(`ERR the simulated Redis does not know ${name} ${args.join(" ")}`)
  }

  private run(hash: string, rest: Args): RedisReply {
    const count = Number(rest[0])
    const names = rest.slice(1, 1 + count)
    const args = rest.slice(1 + count)
    switch (hash) {
      case scripts.apply.hash:
        if (this.isFull) throw new Error("OOM command not allowed when used memory > 'maxmemory'.")
        return this.apply(args)
      case scripts.applyLeaves.hash:
        return this.apply(args)
      case scripts.beat.hash:
        return this.beat(args)
      case scripts.read.hash:
        return this.read(args)
      default: {
        const [, topic] = partsOf(names[0])
        const doubts = this.data.marked
        const found = this.membersOf(topic).filter(
          ({ key, connection }) => key === args[0] && !doubts.has(connection.slice(0, connection.lastIndexOf(".")))
        )
        return found.flatMap((member) => [member.connection, memberText(member)])
      }
    }
  }

  private mustBeMaster(): void {
    if (this.role !== "master") throw new Error("READONLY You can't write against a read only replica.")
  }

  private apply(args: Args): RedisReply {
    this.mustBeMaster()
    const [mode, replica = "", number, tag = "", , count] = args
    const topics = args.slice(6, 6 + Number(count))
    const operations: Array<Operation> = []
    for (let i = 6 + Number(count); i < args.length; ) {
      const topic = topics[Number(args[i + 1]) - 1] ?? ""
      const seq = Number(args[i + 2])
      if (args[i] === "+") {
        const [revision, key = "", meta = ""] = args.slice(i + 3)
        operations.push({ type: "put", topic, seq, revision: Number(revision), key, meta })
        i += 6
      } else {
        operations.push({ type: "remove", topic, seq, reason: REASONS[args[i + 3] ?? ""] ?? "released" })
        i += 4
      }
    }
    const call = { mode: mode as ApplyCall["mode"], replica, number: Number(number), tag, operations }
    const answer = this.data.apply(call)
    if (answer.status !== "OK") return [answer.status]
    const versions = topics.map((topic) => String(answer.versions.get(topic) ?? 0))
    return ["OK", answer.epoch, answer.changed, answer.emptied ? 1 : 0, versions, answer.forbidden]
  }

  private beat(args: Args): RedisReply {
    this.mustBeMaster()
    const [mode, replica = "", number, tag = "", lease, heartbeat, settled = "", partitions, , whole, ...seen] = args
    const call: BeatCall = {
      mode: mode as BeatCall["mode"],
      replica,
      number: Number(number),
      tag,
      settled,
      whole: whole === "1",
      seen
    }
    const before = new Set([...this.data.leases].filter(([, at]) => at === Number.NEGATIVE_INFINITY).map(([r]) => r))
    const settings = { lease: Number(lease), heartbeat: Number(heartbeat), partitions: Number(partitions) }
    const answer = this.data.beat(call, settings)
    if (answer.status === "SHARED") return ["SHARED", answer.theirs]
    if (answer.status === "LEASE") this.events.onRefused(settings)
    if (answer.status !== "OK") return [answer.status]
    const newlyLate = answer.late.filter((other) => !before.has(other))
    this.events.onBeat(call, settings, newlyLate)
    const { epoch, history, connections, late, evicted } = answer
    return ["OK", epoch, history, connections ?? null, late, evicted, answer.heartbeat, answer.lease]
  }

  private read([topic = "", limit, purpose]: Args): RedisReply {
    if (Number(limit) > 0) this.reads++
    const { history, replicas, size, members, doubted } = this.data.read(topic)
    const isSmall = size <= Math.min(Number(limit), SMALL)
    return [
      this.head(),
      this.version(topic),
      purpose === "follow" ? history : "",
      [...replicas],
      size,
      isSmall ? (members ?? []).flatMap((member) => [member.connection, memberText(member)]) : null,
      [...(purpose === "follow" ? doubted : this.data.marked)]
    ]
  }

  /** Pages of two; who comes or goes meanwhile is on some or on none. */
  private scan(name: string, cursor: number): RedisReply {
    const [kind, rest] = partsOf(name)
    const fields =
      kind === "i"
        ? [...(this.data.numbers.has(rest) ? [""] : []), ...(this.data.indexes.get(rest) ?? [])].map(
            (place) => [place, ""] as const
          )
        : kind === "m"
          ? this.membersOf(rest).map((member) => [member.connection, memberText(member)] as const)
          : [...this.data.topics.keys()].map((topic) => [topic, this.version(topic) ?? ""] as const)
    // By their hash, so that a page does not move when others come and go.
    const hash = (text: string): number => {
      let h = 7
      for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
      return (h >>> 0) % 3
    }
    const page = fields.filter(([field]) => hash(field) === cursor || this.events.random() < 0.1)
    return [String((cursor + 1) % 3), page.flat()]
  }

  private membersOf(topic: string): ReadonlyArray<StoredMember> {
    return [...(this.data.topics.get(topic)?.members.values() ?? [])]
  }

  private head(): string | null {
    const { epoch, floor } = this.data
    return epoch === undefined ? null : `${epoch} ${floor}`
  }

  private version(topic: string): string | null {
    const found = this.data.topics.get(topic)
    return found === undefined ? null : `${found.version} ${found.tag}`
  }
}

const SCRIPTS = [scripts.apply, scripts.applyLeaves, scripts.beat, scripts.read, scripts.get]

/** `presence:{0}:m:topic` */
const partsOf = (name = ""): readonly [kind: string, rest: string] => {
  const base = `${PREFIX}:{0}:`
  return [name.slice(base.length, base.length + 1), name.slice(base.length + 2)]
}

const memberText = ({ joined, revision, meta, key }: StoredMember): string =>
  `${joined} ${revision} ${JSON.stringify(meta)}\n${key}`

const LETTERS: Readonly<Record<LeaveReason, string>> = {
  released: "r",
  expired: "e",
  evicted: "v",
  replicaLost: "l"
}

const textOf = ({ epoch, from, fromTag, to, tag, born, operations }: TopicMessage): string => {
  const told = operations.flatMap((operation) =>
    operation.type === "put"
      ? ["+", operation.connection, operation.revision, operation.key, operation.meta]
      : ["-", operation.connection, LETTERS[operation.reason]]
  )
  return JSON.stringify([epoch, from, fromTag, to, tag, born ? 1 : 0, ...told])
}
