/**
 * The ready server as a process, and an innocent client of it (`innocent.mjs`) who is watched: whatever others do, they are
 * answered, they miss nothing, and afterwards the server is as it was.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { built } from "../support/bin.js"

/** How it stands with the server, after its garbage is collected. */
export interface Condition {
  /** Bytes of the heap that are in use. */
  readonly heap: number
  /** Bytes of memory that the system gives it. */
  readonly resident: number
  /** Files and sockets that it has open; 0 where that cannot be seen. */
  readonly descriptors: number
}

/** What the innocent client met with. */
export interface Experience {
  /** Milliseconds until each heartbeat was answered, sorted. */
  readonly latencies: ReadonlyArray<number>
  /** What befell it that should not have. */
  readonly complaints: ReadonlyArray<string>
}

export interface Arena {
  readonly port: number
  readonly condition: () => Promise<Condition>
  /** Watches the innocent client while something is done. */
  readonly during: (attack: () => Promise<void>) => Promise<Experience>
  /** Whether the server still runs, and what it wrote if not. */
  readonly ended: () => string | undefined
  readonly stop: () => Promise<void>
}

const HOOK = `
process.on("message", async () => {
  for (let i = 0; i < 3; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
  const { heapUsed, rss } = process.memoryUsage()
  process.send({ heap: heapUsed, resident: rss })
})
process.channel?.unref()`

export const startArena = async (): Promise<Arena> => {
  const child = fork(`${built}/server/bin.js`, [], {
    env: { PATH: process.env.PATH, PORT: "0", LOG_LEVEL: "Warning" },
    execArgv: ["--expose-gc", "--import", `data:text/javascript,${encodeURIComponent(HOOK)}`],
    stdio: ["ignore", "pipe", "pipe", "ipc"]
  })
  let said = ""
  let ended: string | undefined
  const line = new Promise<string>((resolve, reject) => {
    child.stdout?.on("data", (text) => {
      said += text
      if (said.includes("\n")) resolve(said)
    })
    child.once("exit", (code, signal) => {
      ended = `it ended with ${code ?? signal}: ${said.slice(-2_000)}`
      reject(new Error(ended))
    })
  })
  child.stderr?.on("data", (text) => {
    said += text
  })
  const port = Number(/:(\d+)/.exec(await line)?.[1])
  line.catch(() => {})

  const condition = async (): Promise<Condition> => {
    const answer = once(child, "message")
    child.send("condition")
    const [{ heap, resident }] = await answer
    return { heap, resident, descriptors: descriptorsOf(child.pid) }
  }

  return {
    port,
    condition,
    during: (attack) => watch(port, attack),
    ended: () => ended,
    stop: async () => {
      if (ended !== undefined) return
      const exit = once(child, "exit")
      child.kill("SIGTERM")
      await exit
    }
  }
}

const descriptorsOf = (pid: number | undefined): number => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

/** Watches the innocent client while something is done. */
const watch = async (port: number, attack: () => Promise<void>): Promise<Experience> => {
  const child = fork(new URL("innocent.mjs", import.meta.url), [String(port)])
  try {
    await once(child, "message")
    await attack()
    const experience = once(child, "message")
    child.send("end")
    return (await experience)[0]
  } finally {
    child.kill("SIGKILL")
  }
}

/** The part of sorted figures below which so much of them lies. */
export const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
