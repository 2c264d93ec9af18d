/** What Redis answers and publishes, as values. What no replica wrote is none. */
import type { Value } from "../../internal/input/json.js"
import type { LeaveReason } from "../../PresenceChange.js"
import type { RedisReply } from "../client/port.js"
import { understood } from "./format.js"
import { ownerOf } from "./keys.js"
import type { MessageOperation, Standing, StoredMember, TopicMessage } from "./values.js"

const reasons = new Map<unknown, LeaveReason>([
  ["r", "released"],
  ["e", "expired"],
  ["v", "evicted"],
  ["l", "replicaLost"]
])

export const standingOf = (head: RedisReply, version: RedisReply): Standing | undefined => {
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
export const storedMemberOf = (connection: string, text: string): StoredMember | undefined => {
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
      const reason = reasons.get(parts[i + 2])
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

export const list = (reply: RedisReply | undefined): ReadonlyArray<RedisReply> => (Array.isArray(reply) ? reply : [])
