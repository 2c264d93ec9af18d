/**
 * The calls that cross the network: a script with what it is given, and what it answers.
 *
 * The replica decides over values only, so its decisions can be tried without a Redis.
 */
import type { Port, RedisReply } from "../client/port.js"
import { list, membersOf, standingOf, storedMemberOf } from "./decoding.js"
import { connectionOf, type Keys } from "./keys.js"
import * as scripts from "./scripts.js"
import {
  type ApplyAnswer,
  type ApplyCall,
  type BeatAnswer,
  type BeatCall,
  byAge,
  type Lost,
  type ReadAnswer,
  type Settings,
  type Standing,
  type StoredMember
} from "./values.js"

const letters = { released: "r", expired: "e", evicted: "v", replicaLost: "l" } as const

export const apply = async (port: Port, keys: Keys, call: ApplyCall): Promise<ApplyAnswer> => {
  const topics = new Map<string, number>()
  for (const { topic } of call.operations) if (!topics.has(topic)) topics.set(topic, topics.size + 1)
  const names = [keys.leases, keys.versions, keys.index(call.replica), keys.evicted(call.replica)]
  const args: Array<string | number> = [call.mode, call.replica, call.number, call.tag, keys.channel, topics.size]
  for (const topic of topics.keys()) {
    names.push(keys.members(topic), keys.keys(topic))
    args.push(topic)
  }
  names.push(keys.keyIndex)
  for (const operation of call.operations) {
    const topic = topics.get(operation.topic) ?? 0
    if (operation.type === "put") {
      args.push("+", topic, operation.seq, operation.revision, operation.key, operation.meta)
    } else args.push("-", topic, operation.seq, letters[operation.reason])
  }
  const leaves = call.operations.every(({ type }) => type === "remove")
  const reply = list(await port.run(leaves ? scripts.applyLeaves : scripts.apply, names, args))
  const status = String(reply[0])
  if (status === "LEASE" || status === "STALE" || status === "ALIVE") return { status }
  const versions = new Map<string, number>()
  const numbers = list(reply[4])
  for (const [topic, index] of topics) versions.set(topic, Number(numbers[index - 1]))
  return {
    status: "OK",
    epoch: String(reply[1]),
    changed: Number(reply[2]),
    emptied: reply[3] === 1,
    versions,
    forbidden: list(reply[5]).map(Number),
    lost: lostOf(call, list(reply[6])),
    prevented: list(reply[7]).map(Number)
  }
}

const lostOf = ({ replica, operations }: ApplyCall, entries: ReadonlyArray<RedisReply>): ReadonlyArray<Lost> => {
  const lost: Array<Lost> = []
  for (let i = 0; i + 1 < entries.length; i += 2) {
    const operation = operations[Number(entries[i])]
    if (operation === undefined) continue
    const { topic, seq } = operation
    const member = storedMemberOf(connectionOf(replica, seq), String(entries[i + 1]))
    if (member !== undefined) lost.push({ topic, member })
  }
  return lost
}

export const beat = async (port: Port, keys: Keys, settings: Settings, call: BeatCall): Promise<BeatAnswer> => {
  const { replica } = call
  const { lease, heartbeat, partitions, keyIndex = false } = settings
  const own = [keys.index(replica), keys.evicted(replica)]
  const names = [keys.leases, keys.versions, ...own, keys.shared, keys.replicas, ...(keyIndex ? [keys.keyIndex] : [])]
  const numbers = [lease, heartbeat, call.settled, partitions]
  const whole = call.whole ? "1" : ""
  const args = [call.mode, replica, call.number, call.tag, ...numbers, keys.inboxes, whole, ...call.seen]
  const reply = list(await port.run(scripts.beat, names, args))
  const status = String(reply[0])
  if (status === "LEASE" || status === "STALE") return { status }
  if (status === "SHARED") return { status, theirs: String(reply[1]) }
  return {
    status: "OK",
    epoch: String(reply[1]),
    history: String(reply[2]),
    connections: reply[3] === null ? undefined : Number(reply[3]),
    late: list(reply[4]).map(String),
    evicted: list(reply[5]).map(String),
    heartbeat: Number(reply[6]),
    lease: Number(reply[7])
  }
}

/** Reads a topic, with its members if they are at most `limit`. */
export const read = async (
  port: Port,
  keys: Keys,
  topic: string,
  limit: number,
  purpose: "follow" | "list" = "list"
): Promise<ReadAnswer> => {
  const names = [keys.leases, keys.versions, keys.members(topic), keys.replicas]
  const reply = list(await port.run(scripts.read, names, [topic, limit, purpose]))
  return {
    standing: standingOf(reply[0] ?? null, reply[1] ?? null),
    history: String(reply[2]),
    replicas: new Set(list(reply[3]).map(String)),
    size: Number(reply[4]),
    members: Array.isArray(reply[5]) ? membersOf(list(reply[5])) : undefined,
    doubted: new Set(list(reply[6]).map(String))
  }
}

/** The connections of one key, oldest first. */
export const get = async (port: Port, keys: Keys, topic: string, key: string): Promise<ReadonlyArray<StoredMember>> => {
  const reply = await port.run(scripts.get, [keys.keys(topic), keys.members(topic), keys.replicas], [key])
  return membersOf(list(reply)).sort(byAge)
}

/** How many keys and connections each of the topics has. */
export const counts = async (
  port: Port,
  keys: Keys,
  topics: ReadonlyArray<string>
): Promise<ReadonlyArray<{ readonly keys: number; readonly connections: number }>> => {
  const names = topics.flatMap((topic) => [keys.keys(topic), keys.members(topic)])
  const reply = list(await port.run(scripts.counts, names, []))
  return topics.map((_, i) => ({ keys: Number(reply[2 * i]), connections: Number(reply[2 * i + 1]) }))
}

/** Those of the topics on which a key is. */
export const having = async (
  port: Port,
  keys: Keys,
  topics: ReadonlyArray<string>,
  key: string
): Promise<ReadonlyArray<string>> => {
  const names = topics.map((topic) => keys.keys(topic))
  const found = new Set(list(await port.run(scripts.having, names, [key])))
  return topics.filter((_, i) => found.has(i))
}

/** Where topics of one partition stand; a `standing` of `undefined` as in {@link ReadAnswer}. */
export const standings = async (
  port: Port,
  keys: Keys,
  topics: ReadonlyArray<string>
): Promise<ReadonlyArray<Standing | undefined>> => {
  const [head, ...rest] = list(await port.command("HMGET", [keys.versions, "", ...topics]))
  return rest.map((version) => standingOf(head ?? null, version))
}

/** Whether a call failed because a key has another type than replicas give it. */
export const isForeign = (cause: unknown): boolean => cause instanceof Error && cause.message.startsWith("WRONGTYPE")
