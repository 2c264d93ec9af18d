/**
 * Replicas as real processes, and how to know that they agree.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, expect } from "@effect/vitest"
import type { Presence } from "../../src/index.js"
import type { PresenceRedisOptions, RedisOptions } from "../../src/redis/index.js"
import { bundle } from "../support/bundle.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { type RedisServer, startRedis } from "../support/redis.js"

export type Command =
  | {
      readonly do: "track"
      readonly id: string
      readonly topic: string
      readonly key: string
      readonly meta?: unknown
      /** Milliseconds. */
      readonly leaveDelay?: number | undefined
    }
  | { readonly do: "trackMany"; readonly topic: string; readonly key: string; readonly count: number }
  | { readonly do: "close"; readonly id: string }
  | { readonly do: "update"; readonly id: string; readonly meta: unknown }
  | { readonly do: "refresh"; readonly id: string }
  | { readonly do: "ended"; readonly id: string; readonly ms: number }
  | { readonly do: "evict"; readonly topic: string; readonly key: string }
  | { readonly do: "count"; readonly topic: string }
  | { readonly do: "follow"; readonly topic: string }
  | { readonly do: "report"; readonly topic: string }
  | { readonly do: "refs" }
  | { readonly do: "health" }

export type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string }

/** What a replica lists, and what its followers were told. */
export interface Report {
  readonly list: ReadonlyArray<{ readonly key: string; readonly metas: ReadonlyArray<unknown> }>
  readonly copy: ReadonlyArray<{ readonly key: string; readonly ref: string }>
  readonly version: number
  readonly joins: number
  /** The reasons of each key's leaves, in order. */
  readonly leaves: Readonly<Record<string, ReadonlyArray<string>>>
  /** How many leave events there were for each key. */
  readonly leaveEvents: Readonly<Record<string, number>>
  readonly problem: string | null
}

/** How long a program takes that does nothing, in ms. */
const idleStart = (): number => {
  const began = performance.now()
  spawnSync(process.execPath, ["-e", ""])
  return performance.now() - began
}

/** How much slower this machine is than one that has nothing else to do; not just for a moment, as when tests begin. */
const slowness = Math.min(5, Math.max(1, Math.round(Math.min(idleStart(), idleStart(), idleStart()) / 150)))

/** Short, so that tests need not wait long, and longer where a machine is busy: all must beat within it. */
export const LEASE = 3_000 * slowness
export const HEARTBEAT = 1_000 * slowness
/** Until one that is dead is gone. */
export const GONE = LEASE + HEARTBEAT

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const folder = fileURLToPath(new URL(`../../node_modules/.cache/effect-presence/${process.pid}`, import.meta.url))
const program = `${folder}/replica.mjs`
afterAll(() => rmSync(folder, { recursive: true, force: true }))

export class ReplicaProcess {
  /** What it holds, by id: what it was told to track, and not yet to end. */
  readonly holds = new Map<string, { readonly topic: string; readonly key: string; ref: string }>()
  private calls = 0
  private readonly waiting = new Map<number, (answer: Answer) => void>()
  private readonly exited: Promise<number | null>

  private constructor(readonly child: ChildProcess) {
    child.on("message", (answer: Answer) => {
      this.waiting.get(answer.id)?.(answer)
      this.waiting.delete(answer.id)
    })
    // However a test ends, its replicas do not outlive it.
    const end = (): void => {
      child.kill("SIGKILL")
    }
    process.once("exit", end)
    this.exited = new Promise((resolve) =>
      child.once("exit", (code) => {
        process.off("exit", end)
        for (const [id, resolve] of this.waiting) resolve({ id, error: `the process ended with ${code}` })
        resolve(code)
      })
    )
  }

  static async start(options: PresenceRedisOptions): Promise<ReplicaProcess> {
    const all = { lease: LEASE, heartbeat: HEARTBEAT, timeout: 2_000 * slowness, ...options }
    if (!existsSync(program)) bundle("test/redis/replica.process.ts", program)
    const child = spawn(process.execPath, [program, JSON.stringify(all)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    const replica = new ReplicaProcess(child)
    await replica.answered(0)
    return replica
  }

  async call<A>(command: Command): Promise<A> {
    const id = ++this.calls
    const answer = this.answered<A>(id)
    this.child.send({ id, command })
    return answer
  }

  async track(id: string, topic: string, key: string, meta?: unknown, leaveDelay?: number): Promise<string> {
    const { ref } = await this.call<{ readonly ref: string }>({ do: "track", id, topic, key, meta, leaveDelay })
    this.holds.set(id, { topic, key, ref })
    return ref
  }

  async close(id: string): Promise<void> {
    this.holds.delete(id)
    return this.call({ do: "close", id })
  }

  follow(topic: string): Promise<void> {
    return this.call({ do: "follow", topic })
  }

  report(topic: string): Promise<Report> {
    return this.call({ do: "report", topic })
  }

  /** Closes its layer. */
  async dispose(): Promise<void> {
    const id = ++this.calls
    const answer = this.answered<null>(id)
    this.child.send({ id, command: { do: "stop" } })
    await answer
    this.holds.clear()
  }

  /** Closes its layer and lets the process end. */
  async stop(): Promise<void> {
    await this.dispose()
    expect(await this.exited).toBe(0)
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL")
    await this.exited
    this.holds.clear()
  }

  private answered<A>(id: number): Promise<A> {
    return new Promise((resolve, reject) => {
      this.waiting.set(id, (answer) => {
        if ("error" in answer) reject(new Error(answer.error))
        else resolve(answer.value as A)
      })
    })
  }
}

/** What a slow machine may take beside the time that replicas wait for. It guards against hanging, and proves nothing. */
const SLOW = 240_000

/**
 * Waits for something that is to become so, and says what is so instead when it does not. `ms` is what replicas wait for
 * themselves: leases that run out, calls that time out.
 */
export const eventually = async <A>(ms: number, look: () => Promise<A> | A): Promise<A> => {
  const until = Date.now() + ms + SLOW
  for (;;) {
    try {
      return await look()
    } catch (cause) {
      if (Date.now() > until) throw cause
      await sleep(25)
    }
  }
}

/** Every replica lists, and every follower was told, exactly what the replicas hold. */
export const expectAgreement = async (topic: string, replicas: ReadonlyArray<ReplicaProcess>): Promise<void> => {
  const held = replicas.flatMap((replica) => [...replica.holds.values()]).filter((hold) => hold.topic === topic)
  const refs = held.map(({ ref }) => ref).sort()
  const keys = [...new Set(held.map(({ key }) => key))].sort()
  for (const replica of replicas) {
    const report = await replica.report(topic)
    expect(report.problem).toBeNull()
    expect(report.list.map(({ key }) => key)).toEqual(keys)
    expect(report.list.reduce((sum, { metas }) => sum + metas.length, 0)).toBe(held.length)
    expect(report.copy.map(({ ref }) => ref).sort()).toEqual(refs)
  }
}

/** Of the tests of a file: one Redis for all, and replicas and lines that end with each test. */
export const useReplicas = () => {
  let server: RedisServer
  let worlds = 0
  let replicas: Array<ReplicaProcess> = []
  let proxies: Array<Proxy> = []

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())
  afterEach(async () => {
    await Promise.all(replicas.map((replica) => replica.kill()))
    await Promise.all(proxies.map((proxy) => proxy.close()))
    replicas = []
    proxies = []
  })

  const redis = (): RedisServer => server
  const world = (): string => `world ${worlds}`
  const nextWorld = (): string => `world ${++worlds}`

  /** Replicas of a world of their own, each following the room. */
  const start = async (
    count: number,
    options: RedisOptions & Presence.Options & { readonly url?: string } = {}
  ): Promise<ReadonlyArray<ReplicaProcess> & { readonly 0: ReplicaProcess; readonly 1: ReplicaProcess }> => {
    const all = { url: server.url, ...options, prefix: options.prefix ?? nextWorld() }
    const started = await Promise.all(Array.from({ length: count }, () => ReplicaProcess.start(all)))
    replicas.push(...started)
    await Promise.all(started.map((replica) => replica.follow("room")))
    return started as never
  }

  /** A line to Redis that can be cut. */
  const through = async (): Promise<Proxy> => {
    const proxy = await startProxy(server.port)
    proxies.push(proxy)
    return proxy
  }

  return { redis, world, nextWorld, start, through }
}
