/**
 * What happens in one simulation, as data: a seed makes it, moves can be taken out of it, and it can be written down.
 */
import type { Life } from "./replica.js"
import { randomFrom } from "./time.js"

export const TOPICS = ["a", "b"] as const
const KEYS = ["alice", "bob", "carol"] as const
/** Replicas that run at a time, at the most. */
const REPLICAS = 3

/** `replica` and `which` count those who are there, again from the first when there are fewer. */
export type Move = { readonly after: number } & (
  | { readonly do: "track" | "evict"; readonly replica: number; readonly topic: string; readonly key: string }
  | { readonly do: "update" | "release"; readonly replica: number; readonly which: number }
  | { readonly do: "follow" | "unfollow"; readonly replica: number; readonly topic: string }
  /** The process. */
  | { readonly do: "pause"; readonly replica: number; readonly ms: number }
  | { readonly do: "kill" | "stop"; readonly replica: number; readonly next: Life }
  | { readonly do: "step"; readonly replica: number; readonly ms: number }
  /** Its connections, or one of them. */
  | { readonly do: "lose"; readonly replica: number; readonly line: Line }
  | { readonly do: "cut"; readonly replica: number; readonly line: Line; readonly ms: number }
  | { readonly do: "delay"; readonly replica: number; readonly line: Line; readonly by: number; readonly ms: number }
  | { readonly do: "deafen"; readonly replica: number }
  /** All of them. */
  | { readonly do: "cutAll"; readonly ms: number }
  /** Redis. */
  | { readonly do: "refuse"; readonly replica: number; readonly ms: number }
  | { readonly do: "fill"; readonly ms: number }
  | { readonly do: "stepRedis"; readonly ms: number }
  | { readonly do: "flush" }
  /** Somebody deletes a key. */
  | { readonly do: "delete"; readonly key: Deleted }
  /** From nothing, or from what it had some time ago. */
  | { readonly do: "restart"; readonly age: number | undefined }
  /** To a host that lacks the last writes and whose clock is off; the old one is gone, follows it, or does not know yet. */
  | {
      readonly do: "failOver"
      readonly age: number
      readonly skew: number
      readonly old: "gone" | "follows" | "goesOn"
    }
)

/** A key by its letter: of all, the first replica's index, or a topic's members; or the two that know who lives. */
export type Deleted = "l" | "v" | "r" | "lr" | "c" | "i" | `m:${string}`

export type Line = "commands" | "subscriber" | "both"

export interface Schedule {
  readonly seed: number
  readonly lives: ReadonlyArray<Life>
  readonly moves: ReadonlyArray<Move>
}

const LIVES: ReadonlyArray<Life> = [
  { lease: 6_000, heartbeat: 2_000 },
  { lease: 9_000, heartbeat: 3_000 },
  { lease: 12_000, heartbeat: 2_000 },
  { lease: 12_000, heartbeat: 4_000 }
]

/** What the clock of Redis may step by: less than would be noticed, and more; backwards likewise. */
const STEPS = [-3_600_000, -20_000, -4_000, -100, 100, 3_000, 7_000, 20_000, 3_600_000]

/**
 * Faults for which nobody who is there may be seen to leave. A delay of more than the time-out is none of them: it works as a cut.
 * It is drawn with the others all the same, so that seeds keep their meaning.
 */
const HARMLESS = [
  "kill",
  "stop",
  "step",
  "lose",
  "delay",
  "deafen",
  "cutAll",
  "refuse",
  "stepRedis",
  "flush",
  "restart",
  "failOver"
] as const

/** Those for which somebody may. Where all of them happen, everything is excused, so each schedule has few kinds. */
const HARMFUL = ["pause", "cut", "fill", "evict"] as const

const DELETED: ReadonlyArray<Deleted> = ["l", "v", "r", "c", "i", ...TOPICS.map((topic) => `m:${topic}` as const)]

/** How often something happens, in ms, at the most. */
const PACE = 1_200

export const scheduleOf = (seed: number, length = 30): Schedule => {
  const random = randomFrom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const one = <A>(values: ReadonlyArray<A>): A => values[below(values.length)] as A
  const all = random() < 0.5 ? one(LIVES) : undefined
  const life = (): Life => all ?? one(LIVES)
  const kinds = [
    ...Array.from({ length: 1 + below(5) }, () => one(HARMLESS)),
    ...Array.from({ length: below(3) }, () => one(HARMFUL))
  ]
  const line = (): Line => one(["commands", "subscriber", "both"])
  let fills = 0

  const fault = (after: number): Move => {
    const kind = one(kinds)
    const replica = below(REPLICAS)
    switch (kind) {
      case "pause":
        return { after, do: kind, replica, ms: below(20_000) }
      case "kill":
      case "stop":
        return { after, do: kind, replica, next: random() < 0.8 ? life() : one(LIVES) }
      case "step":
        return { after, do: kind, replica, ms: one(STEPS) }
      case "lose":
        return { after, do: kind, replica, line: line() }
      case "cut":
        return { after, do: kind, replica, line: line(), ms: below(15_000) }
      case "delay":
        return {
          after,
          do: kind,
          replica,
          line: line(),
          by: 50 + below(random() < 0.7 ? 590 : 3_000),
          ms: below(15_000)
        }
      case "deafen":
        return { after, do: kind, replica }
      case "cutAll":
        return { after, do: kind, ms: below(25_000) }
      case "refuse":
        return { after, do: kind, replica, ms: below(40_000) }
      case "fill":
        // It is full once, so that not everybody is excused all the time.
        return fills++ > 0 ? { after, do: "flush" } : { after, do: kind, ms: below(8_000) }
      case "stepRedis":
        return { after, do: kind, ms: one(STEPS) }
      case "flush":
        return { after, do: kind }
      case "restart":
        return { after, do: kind, age: random() < 0.3 ? undefined : below(30_000) }
      case "failOver":
        return {
          after,
          do: kind,
          age: random() < 0.5 ? below(300) : below(30_000),
          skew: random() < 0.6 ? 0 : one(STEPS),
          old: one(["gone", "follows", "goesOn"])
        }
      case "evict":
        return { after, do: kind, replica, topic: one(TOPICS), key: one(KEYS) }
    }
  }

  const moves = Array.from({ length }, (): Move => {
    const after = below(PACE)
    const replica = below(REPLICAS)
    const what = random()
    if (what < 0.25) return fault(after)
    if (what < 0.5) return { after, do: "track", replica, topic: one(TOPICS), key: one(KEYS) }
    if (what < 0.62) return { after, do: "update", replica, which: below(10) }
    if (what < 0.8) return { after, do: "release", replica, which: below(10) }
    return { after, do: random() < 0.6 ? "follow" : "unfollow", replica, topic: one(TOPICS) }
  })
  return { seed, lives: Array.from({ length: random() < 0.4 ? 2 : REPLICAS }, life), moves: withDeletion(seed, moves) }
}

/** In every third schedule somebody deletes a key besides, sometimes both of those that know who lives. */
const withDeletion = (seed: number, moves: ReadonlyArray<Move>): ReadonlyArray<Move> => {
  // By chance of its own, so that seeds keep their meaning.
  const random = randomFrom(~seed)
  if (random() > 1 / 3) return moves
  const at = Math.floor(random() * moves.length)
  const one = DELETED[Math.floor(random() * DELETED.length)] as Deleted
  const key = one === "r" && random() < 0.5 ? "lr" : one
  return moves.toSpliced(at, 0, { after: 1 + Math.floor(random() * PACE), do: "delete", key })
}

/** The same with fewer moves, as long as it fails: halves, quarters, single ones. */
export const shrink = async (
  schedule: Schedule,
  fails: (schedule: Schedule) => Promise<boolean>
): Promise<Schedule> => {
  let { moves } = schedule
  for (let size = moves.length >> 1; size >= 1; ) {
    let isSmaller = false
    for (let at = 0; at < moves.length; ) {
      const [first, ...rest] = moves.slice(at, at + size)
      const next = moves[at + size]
      // What is left happens when it did.
      const gap = [first, ...rest].reduce((sum, move) => sum + (move?.after ?? 0), 0)
      const without = [
        ...moves.slice(0, at),
        ...(next === undefined ? [] : [{ ...next, after: next.after + gap }]),
        ...moves.slice(at + size + 1)
      ]
      if (await fails({ ...schedule, moves: without })) {
        moves = without
        isSmaller = true
      } else at += size
    }
    if (!isSmaller || size > 1) size >>= 1
  }
  return { ...schedule, moves }
}
