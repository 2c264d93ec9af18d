/** What crosses the network, as values: what a script is given, what it answers, what it publishes. */
import type { Value } from "../../internal/input/json.js"
import type { LeaveReason } from "../../PresenceChange.js"

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
  /** Whether it has looked for all that Redis has of it, and written all that it holds, since its index was lost. */
  readonly whole: boolean
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
      /** How many connections Redis has for this replica; `undefined` where somebody has deleted its index. */
      readonly connections: number | undefined
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

/** Older first: by the version of the join, then, within one call, by the replica's own order. */
export const byAge = (a: { joined: number; connection: string }, b: { joined: number; connection: string }): number => {
  if (a.joined !== b.joined) return a.joined - b.joined
  return seqOf(a.connection) - seqOf(b.connection) || (a.connection < b.connection ? -1 : 1)
}

const seqOf = (connection: string): number => Number(connection.slice(connection.lastIndexOf(".") + 1))
