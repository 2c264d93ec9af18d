/**
 * The names of everything in Redis.
 *
 * A partition is a complete presence in one slot: the prefix and the partition's number in braces come first in every
 * key, so a topic that holds a brace moves nothing. A topic belongs to a partition by its hash, the same on every
 * replica; a single server has one partition, a cluster sixteen.
 */

/** Why a prefix is refused, or `undefined` for a good one. */
export const checkPrefix = (prefix: unknown): string | undefined => {
  if (typeof prefix !== "string") return "it is no text"
  if (prefix.length === 0) return "it is empty"
  if (/[{}]/.test(prefix)) return "a brace in it would decide the slot of every key"
  return prefix.isWellFormed() ? undefined : "it holds a lone surrogate"
}

/** Among the leases: all who had one when they were lost, and who lived how with them. */
export const EVERYBODY = "*"

/** The keys and channels of one partition. */
export class Keys {
  readonly leases: string
  readonly versions: string
  /** By what the first replica lives: all must have its number of partitions. */
  readonly shared: string
  /** How each replica lives, and who is doubted. */
  readonly replicas: string
  /** Where each key is, kept by those who were told to. */
  readonly keyIndex: string
  /** What a topic's channel begins with. */
  readonly channel: string
  /** What a replica's inbox begins with. */
  readonly inboxes: string
  private readonly base: string

  constructor(prefix: string, partition: number) {
    this.base = `${prefix}:{${partition}}:`
    this.leases = `${this.base}l`
    this.versions = `${this.base}v`
    this.shared = `${this.base}c`
    this.replicas = `${this.base}r`
    this.keyIndex = `${this.base}o`
    this.channel = `${this.base}t:`
    this.inboxes = `${this.base}n:`
  }

  members(topic: string): string {
    return `${this.base}m:${topic}`
  }

  keys(topic: string): string {
    return `${this.base}k:${topic}`
  }

  index(replica: string): string {
    return `${this.base}i:${replica}`
  }

  evicted(replica: string): string {
    return `${this.base}x:${replica}`
  }

  topicChannel(topic: string): string {
    return this.channel + topic
  }

  /** Where a replica is told to beat: something of its was evicted, or somebody beats more often. */
  inbox(replica: string): string {
    return this.inboxes + replica
  }
}

/** The partition of a topic: FNV-1a over its UTF-16 units. */
export const partitionOf = (topic: string, partitions: number): number => {
  if (partitions === 1) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < topic.length; i++) hash = Math.imul(hash ^ topic.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % partitions
}

/** A connection's place in the index of its replica. */
export const fieldOf = (seq: number, topic: string): string => `${seq}:${topic}`

/** The reverse; `undefined` for what is no such place. */
export const placeOf = (field: string): { readonly seq: number; readonly topic: string } | undefined => {
  const colon = field.indexOf(":")
  const seq = Number(field.slice(0, colon))
  return colon > 0 && Number.isSafeInteger(seq) ? { seq, topic: field.slice(colon + 1) } : undefined
}

/** A connection's name in Redis. */
export const connectionOf = (replica: string, seq: number): string => `${replica}.${seq}`

/** Whose a connection is: its name in Redis, its own for ever, is the replica and the number of its join there. */
export const ownerOf = (connection: string): { readonly replica: string; readonly seq: number } => {
  const dot = connection.lastIndexOf(".")
  return { replica: connection.slice(0, dot), seq: Number(connection.slice(dot + 1)) }
}

/** A connection's ref: its name with the revision, which counts the joins and updates of that replica together. */
export const refOf = (connection: string, revision: number): string => {
  const { replica, seq } = ownerOf(connection)
  return `${replica}.${seq.toString(36)}.${revision.toString(36)}`
}
