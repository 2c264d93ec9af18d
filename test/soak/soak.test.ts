/**
 * `npm run soak` at a small size, without npm: what it says when all holds, and when something does not.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, home } from "../support/bin.js"
import { bundle } from "../support/bundle.js"
import { redisIsOff } from "../support/redis.js"

const programs = `${home}/build/bench/soak`

beforeAll(() => {
  build()
  for (const program of ["soak/index", "soak/crowd", "e2e/probe"]) {
    bundle(`bench/${program}.ts`, `${programs}/${program.slice(program.indexOf("/") + 1)}.js`)
  }
})
afterAll(clean)

class Soak {
  out = ""
  /** Its exit code, once nothing that it started holds its output any more: all of them have ended. */
  readonly ended: Promise<number | null>

  constructor(readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (text) => {
        this.out += text
      })
    }
    this.ended = once(child, "close").then(([code]) => code)
  }

  /** The line of the table. */
  row(name: string): string | undefined {
    return this.out.split("\n").find((line) => line.includes(`  ${name}  `))
  }

  /** The port of a replica, once all are there. */
  get port(): Effect.Effect<number> {
    return Effect.async((resume) => {
      this.child.stdout?.on("data", () => {
        const [, port] = /replicas are on http:\/\/127\.0\.0\.1:(\d+)/.exec(this.out) ?? []
        if (port !== undefined) resume(Effect.succeed(Number(port)))
      })
    })
  }
}

/** Its Redis, its clients and its replicas, where the system tells. */
const childrenOf = ({ pid }: ChildProcess): ReadonlyArray<string> => {
  const file = `/proc/${pid}/task/${pid}/children`
  if (!existsSync(file)) return []
  const pids = readFileSync(file, "utf8").trim().split(" ")
  expect(pids).toHaveLength(4)
  return pids
}

/** Nobody may have asked yet how one has ended that has no parent any more: it is a zombie. */
const isAlive = (pid: string): boolean => {
  const file = `/proc/${pid}/stat`
  return existsSync(file) && !/\) Z /.test(readFileSync(file, "utf8"))
}

const small = ["--sockets", "10", "--streams", "2", "--rooms", "2", "--replicas", "2"]

const soak = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Soak(
          spawn(process.execPath, [`${programs}/index.js`, ...args], {
            env: { PATH: process.env.PATH, REDIS_SERVER: process.env.REDIS_SERVER },
            stdio: ["ignore", "pipe", "pipe"]
          })
        )
    ),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGTERM")
        return ended
      })
  )

describe.skipIf(redisIsOff()).concurrent("npm run soak", () => {
  it.scopedLive(
    "after a kill and a rolling deploy lists are what clients know, and all that it started has ended",
    () =>
      Effect.gen(function* () {
        const run = yield* soak(
          ...["--minutes", "0.2", "--sockets", "150", "--streams", "30", "--rooms", "15"],
          ...["--every", "4", "--leave-delay", "3", "--patience", "300"]
        )
        const code = yield* Effect.promise(() => run.ended)
        expect(run.out).toContain("1 kills and 1 rolling deploys")
        expect(run.out).not.toContain("DOES NOT HOLD")
        expect(run.row("ghosts on lists")).toMatch(/^ {2}holds .* 0$/)
        expect(run.row("missing from lists")).toMatch(/^ {2}holds .* 0$/)
        expect(code).toBe(0)
      })
  )

  it.scopedLive("somebody on a list whom no client of its own put there is a ghost, and the exit code is 1", () =>
    Effect.gen(function* () {
      const run = yield* soak("--minutes", "0.1", "--patience", "3", ...small)
      const port = yield* run.port
      // Not before the stranger is there.
      run.child.kill("SIGSTOP")
      const socket = yield* phoenixSocket(`ws://127.0.0.1:${port}`)
      yield* join(socket, "room1", { key: "stranger", meta: { n: 7 } })
      run.child.kill("SIGCONT")
      expect(yield* Effect.promise(() => run.ended)).toBe(1)
      expect(run.row("ghosts on lists")).toMatch(/^ {2}DOES NOT HOLD .* 2$/)
      expect(run.out).toContain("lists stranger as 7, whom nobody knows there")
      expect(run.row("missing from lists")).toMatch(/^ {2}holds .* 0$/)
    })
  )

  it.scopedLive("Ctrl+C ends all that it started", () =>
    Effect.gen(function* () {
      const run = yield* soak("--minutes", "60", ...small)
      yield* run.port
      const children = childrenOf(run.child)
      run.child.kill("SIGINT")
      expect(yield* Effect.promise(() => run.ended)).toBe(1)
      yield* Effect.promise(() => vi.waitFor(() => expect(children.filter(isAlive)).toEqual([]), 300_000))
    })
  )
})
