/**
 * The calls that cross the network, as values: what a script is given, what it answers, what it publishes.
 *
 * The replica decides over these values only, so its decisions can be tried without a Redis.
 */
import type { Value } from "../../internal/input/json.js"
import type { LeaveReason } from "../../PresenceChange.js"
import type { Port, RedisReply } from "../client/port.js"

import { understood } from "./format.js"
import { connectionOf, fieldOf, type Keys, ownerOf } from "./keys.js"

import * as scripts from "./scripts.js"

/** One operation on a connection. */
export type Operation =
  | {
      readonly type: "put"
      readonly topic: string
      readonly seq: number
      readonly revision: number
      readonly key: string
      /** JSON text. */
      readonly meta: string
    }
  | { readonly type: "remove"; readonly topic: string; readonly seq: number; readonly reason: LeaveReason }

export interface ApplyCall {
  readonly mode: "own" | "reap" | "evict"
  /** Whose connections these are. */
  readonly replica: string
  readonly number: number
  readonly tag: string
  readonly operations: ReadonlyArray<Operation>
}

export type ApplyAnswer =
  | { readonly status: "LEASE" }
  | { readonly status: "STALE" }
  | { readonly status: "ALIVE" }
  | {
      readonly status: "OK"
      readonly epoch: string
      readonly changed: number
      /** Whether a reaped replica has nothing left and is forgotten. */
      readonly emptied: boolean
      readonly versions: ReadonlyMap<string, number>
      /** Indices of operations on connections that somebody evicted. */
      readonly forbidden: ReadonlyArray<number>
      /** Of a reap: who was ended by it, and not by another before. */
      readonly lost: ReadonlyArray<Lost>
      /** Indices of operations on topics of which a key has another type: somebody else wrote it. */
      readonly prevented: ReadonlyArray<number>
    }

/** A member that a lost replica had, and where. */
export interface Lost {
  readonly topic: string
  readonly member: StoredMember
}

export interface BeatCall {
  readonly mode: "beat" | "claim" | "leave"
  readonly replica: string
  readonly number: number
  readonly tag: string
  /** The history in which the replica has removed what Redis had of it and it did not hold; empty for none. */
  readonly settled: string
  /** Places of connections whose eviction the owner has seen. */
  readonly seen: ReadonlyArray<string>
}

export type BeatAnswer =
  | { readonly status: "LEASE" }
  | { readonly status: "STALE" }
  | { readonly status: "SHARED"; readonly theirs: string }
  | {
      readonly status: "OK"
      readonly epoch: string
      /** Another after each restart and fail-over of Redis, which may have lost the last writes. */
      readonly history: string
      /** How many connections Redis has for this replica. */
      readonly connections: number
      readonly late: ReadonlyArray<string>
      /** Places of connections that were evicted. */
      readonly evicted: ReadonlyArray<string>
      /** The shortest heartbeat of all replicas, in ms, at which everybody beats. */
      readonly heartbeat: number
      /** The longest lease of all replicas, in ms: for so long one may be silent who is there. */
      readonly lease: number
    }

/** A member of a topic, as Redis holds it. */
export interface StoredMember {
  readonly connection: string
  /** The topic's version at its join. */
  readonly joined: number
  readonly revision: number
  readonly key: string
  readonly meta: Value
}

/** Where a topic stands. `tag` is empty for a topic without members, whose version is the floor. */
export interface Standing {
  readonly epoch: string
  readonly version: number
  readonly tag: string
}

export interface ReadAnswer {
  /** Another after each restart and fail-over of Redis; empty for who does not follow. */
  readonly history: string
  /** `undefined` when nobody has written anything since Redis was empty. */
  readonly standing: Standing | undefined
  readonly replicas: ReadonlySet<string>
  /** Replicas that have not yet removed, since Redis restarted or failed over, who has left before. */
  readonly doubted: ReadonlySet<string>
  readonly size: number
  /** `undefined` when there are more than were asked for. */
  readonly members: ReadonlyArray<StoredMember> | undefined
}

/** A topic at the end of a snapshot. */
export interface End extends Pick<ReadAnswer, "history" | "replicas" | "doubted"> {
  readonly standing: Standing
}

/** What one call changed in one topic. */
export interface TopicMessage {
  readonly epoch: string
  readonly from: number
  readonly fromTag: string
  readonly to: number
  readonly tag: string
  /** The topic had no members before. */
  readonly born: boolean
  readonly operations: ReadonlyArray<MessageOperation>
}

export type MessageOperation =
  | {
      readonly type: "put"
      readonly connection: string
      readonly revision: number
      readonly key: string
      readonly meta: Value
    }
  | { readonly type: "remove"; readonly connection: string; readonly reason: LeaveReason }

const letters = { released: "r", expired: "e", evicted: "v", replicaLost: "l" } as const

const reasons: Readonly<Record<string, LeaveReason>> = { r: "released", e: "expired", v: "evicted", l: "replicaLost" }

// Calling

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

/** How a replica lives. Others may live by another lease and heartbeat. */
export interface Settings {
  /** Milliseconds. */
  readonly lease: number
  readonly heartbeat: number
  /** The same for all. */
  readonly partitions: number
  /** Whether it keeps the key index. Default false. */
  readonly keyIndex?: boolean
}

export const beat = async (port: Port, keys: Keys, settings: Settings, call: BeatCall): Promise<BeatAnswer> => {
  const { replica } = call
  const { lease, heartbeat, partitions, keyIndex = false } = settings
  const own = [keys.index(replica), keys.evicted(replica)]
  const names = [keys.leases, keys.versions, ...own, keys.shared, keys.replicas, ...(keyIndex ? [keys.keyIndex] : [])]
  const numbers = [lease, heartbeat, call.settled, partitions]
  const args = [call.mode, replica, call.number, call.tag, ...numbers, keys.inboxes, ...call.seen]
  const reply = list(await port.run(scripts.beat, names, args))
  const status = String(reply[0])
  if (status === "LEASE" || status === "STALE") return { status }
  if (status === "SHARED") return { status, theirs: String(reply[1]) }
  return {
    status: "OK",
    epoch: String(reply[1]),
    history: String(reply[2]),
    connections: Number(reply[3]),
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

/**
 * Topics on which a key may be, by pages of the key index. As long as somebody keeps none, or another program has written
 * there: by pages of all topics.
 */
export async function* topicsWith(
  port: Port,
  keys: Keys,
  key: string,
  onForeign: () => void
): AsyncGenerator<ReadonlyArray<string>, void> {
  for (let last = ""; ; ) {
    const page = await topicPage(port, keys, key, last, onForeign)
    if (page === undefined) return yield* topics(port, keys)
    yield page
    if (page.length < PAGE) return
    last = page.at(-1) ?? ""
  }
}

/** `undefined` where the key index is not to be believed. */
const topicPage = async (
  port: Port,
  keys: Keys,
  key: string,
  last: string,
  onForeign: () => void
): Promise<ReadonlyArray<string> | undefined> => {
  try {
    const reply = await port.run(scripts.where, [keys.leases, keys.keyIndex], [key, last, PAGE])
    return Array.isArray(reply) ? list(reply).map(String) : undefined
  } catch (cause) {
    if (!isForeign(cause)) throw cause
    onForeign()
    return undefined
  }
}

/** All topics by pages. */
export async function* topics(port: Port, keys: Keys): AsyncGenerator<ReadonlyArray<string>, void> {
  for await (const page of pages(port, keys.versions)) yield fieldsOf(page).filter((topic) => topic !== "")
}

/**
 * The places of a replica's connections by pages: from its index, or from all topics where somebody has deleted that.
 */
export async function* placesOf(port: Port, keys: Keys, replica: string): AsyncGenerator<ReadonlyArray<string>, void> {
  let hasIndex = false
  for await (const page of pages(port, keys.index(replica))) {
    const fields = fieldsOf(page)
    hasIndex ||= fields.includes("")
    yield fields
  }
  // Whose index goes with its lease was ended by somebody else.
  if (hasIndex || (await port.command("ZSCORE", [keys.leases, replica])) === null) return
  for await (const some of topics(port, keys)) {
    for (const topic of some) {
      for await (const page of pages(port, keys.members(topic))) {
        const owners = fieldsOf(page).map(ownerOf)
        yield owners.filter((owner) => owner.replica === replica).map(({ seq }) => fieldOf(seq, topic))
      }
    }
  }
}

/** A hash by pages of its fields and values by turns. A page may be empty, and what changes meanwhile on two or none. */
export async function* pages(port: Port, key: string): AsyncGenerator<ReadonlyArray<string>, void> {
  for (let cursor = "0"; ; ) {
    const reply = list(await port.command("HSCAN", [key, cursor, "COUNT", PAGE]))
    yield list(reply[1]).map(String)
    cursor = String(reply[0])
    if (cursor === "0") return
  }
}

/** Fields that a page has, about. */
const PAGE = 500

/** The fields of a page. */
const fieldsOf = (page: ReadonlyArray<string>): ReadonlyArray<string> => page.filter((_, index) => index % 2 === 0)

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

// Decoding

const standingOf = (head: RedisReply, version: RedisReply): Standing | undefined => {
  if (typeof head !== "string") return undefined
  const [epoch = "", floor] = head.split(" ")
  if (typeof version !== "string") return { epoch, version: Number(floor), tag: "" }
  const [number, tag = ""] = version.split(" ")
  return { epoch, version: Number(number), tag }
}

/** Connections and members by turns. What no replica wrote is none. */
export const membersOf = (entries: ReadonlyArray<RedisReply>): Array<StoredMember> => {
  const members: Array<StoredMember> = []
  for (let i = 0; i + 1 < entries.length; i += 2) {
    const member = storedMemberOf(String(entries[i]), String(entries[i + 1]))
    if (member !== undefined) members.push(member)
  }
  return members
}

/** "joined revision meta\nkey": the meta is JSON text, which has no line break of its own; the key may. */
const storedMemberOf = (connection: string, text: string): StoredMember | undefined => {
  const a = text.indexOf(" ")
  const b = text.indexOf(" ", a + 1)
  const end = text.indexOf("\n", b)
  const joined = Number(text.slice(0, a))
  const revision = Number(text.slice(a + 1, b))
  if (a < 1 || b < a || end < b || !isCount(joined) || !isCount(revision) || !isCount(ownerOf(connection).seq)) {
    return undefined
  }
  const meta = parsed(text.slice(b + 1, end))
  return meta === undefined ? undefined : { connection, joined, revision, meta, key: text.slice(end + 1) }
}

/** What is counted from 0 on. */
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** Older first: by the version of the join, then, within one call, by the replica's own order. */
export const byAge = (a: { joined: number; connection: string }, b: { joined: number; connection: string }): number => {
  if (a.joined !== b.joined) return a.joined - b.joined
  return seqOf(a.connection) - seqOf(b.connection) || (a.connection < b.connection ? -1 : 1)
}

const seqOf = (connection: string): number => Number(connection.slice(connection.lastIndexOf(".") + 1))

/** What was published on a topic's channel; `undefined` for what no replica publishes. Throws of a newer format. */
export const messageOf = (text: string): TopicMessage | undefined => {
  const parts = parsed(text)
  if (!Array.isArray(parts)) return undefined
  understood(parts)
  const [epoch, from, fromTag, to, tag, born] = parts as ReadonlyArray<Value>
  if (typeof epoch !== "string" || typeof fromTag !== "string" || typeof tag !== "string") return undefined
  if (!isCount(from) || !isCount(to) || to <= from) return undefined
  const operations: Array<MessageOperation> = []
  for (let i = 6; i < parts.length; ) {
    const connection: Value = parts[i + 1]
    if (typeof connection !== "string" || !isCount(ownerOf(connection).seq)) return undefined
    if (parts[i] === "+") {
      const revision: Value = parts[i + 2]
      const key: Value = parts[i + 3]
      const meta: Value | undefined = parts[i + 4]
      if (!isCount(revision) || typeof key !== "string" || meta === undefined) return undefined
      operations.push({ type: "put", connection, revision, key, meta })
      i += 5
    } else {
      const reason = reasons[String(parts[i + 2])]
      if (parts[i] !== "-" || reason === undefined) return undefined
      operations.push({ type: "remove", connection, reason })
      i += 3
    }
  }
  return { epoch, from, fromTag, to, tag, born: born === 1, operations }
}

/** JSON that nobody can change; `undefined` for what is none. */
const parsed = (text: string): Value | undefined => {
  try {
    return freeze(JSON.parse(text) as Value)
  } catch {
    return undefined
  }
}

const freeze = (value: Value): Value => {
  if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) freeze(inner as Value)
    Object.freeze(value)
  }
  return value
}

const list = (reply: RedisReply | undefined): ReadonlyArray<RedisReply> => (Array.isArray(reply) ? reply : [])
