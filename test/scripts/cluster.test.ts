/**
 * `npm run cluster`, without npm: the script over the server as it is built here, and the example `examples/replicas`.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import * as Example from "../../examples/replicas/index.js"
import { connect, phoenixUrl } from "../socket/support/client.js"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, home } from "../support/bin.js"
import { freePort, redisIsOff } from "../support/redis.js"

beforeAll(build)
afterAll(clean)

const script = fileURLToPath(new URL("../../scripts/cluster.mjs", import.meta.url))

class Cluster {
  out = ""
  err = ""
  /** Its exit code, once nothing that it started holds its outputs any more: all of them have ended. */
  readonly ended: Promise<number | null>

  constructor(readonly child: ChildProcess) {
    child.stdout?.on("data", (text) => {
      this.out += text
    })
    child.stderr?.on("data", (text) => {
      this.err += text
    })
    this.ended = new Promise((resolve) => child.once("close", resolve))
  }

  /** The lines that say that a replica is ready, and their ports. */
  get ready(): ReadonlyArray<number> {
    return Array.from(this.out.matchAll(/^effect-presence is ready on http:\/\/127\.0\.0\.1:(\d+)$/gm), ([, port]) =>
      Number(port)
    )
  }
}

/** As in a terminal: the first of a process group. */
const start = (environment: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Cluster(
          spawn(process.execPath, [script], {
            cwd: home,
            env: { PATH: process.env.PATH, REDIS_SERVER: process.env.REDIS_SERVER, ...environment },
            stdio: ["ignore", "pipe", "pipe"],
            detached: true
          })
        )
    ),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGTERM")
        return ended
      })
  )

describe.skipIf(redisIsOff())("npm run cluster", () => {
  for (const [name, end] of [
    ["SIGTERM", ({ child }: Cluster) => child.kill("SIGTERM")],
    [
      "Ctrl+C, which the whole group gets,",
      ({ child: { pid } }: Cluster) => pid !== undefined && process.kill(-pid, "SIGINT")
    ]
  ] as const) {
    it.scopedLive(`shows one room at three replicas, and ${name} ends them and their Redis in order`, () =>
      Effect.gen(function* () {
        const cluster = yield* start({ PORT: "0" })
        yield* Effect.promise(() => vi.waitFor(() => expect(cluster.ready).toHaveLength(3), 300_000))
        expect(cluster.out.trimEnd().split("\n")).toHaveLength(3)
        for (const port of cluster.ready) expect(port).toBeGreaterThan(1_023)
        const clients = yield* Effect.forEach(cluster.ready, (port, i) =>
          Effect.flatMap(phoenixSocket(`ws://127.0.0.1:${port}`), (socket) => join(socket, "lobby", { key: `k${i}` }))
        )
        for (const client of clients) yield* client.sees("k0:{}", "k1:{}", "k2:{}")
        // And the example over it.
        const { whileThere, afterwards } = yield* Example.program(
          cluster.ready.map((port) => `http://127.0.0.1:${port}`)
        )
        const alice = [{ key: "alice", metas: [{ role: "editor" }] }]
        expect([whileThere, afterwards]).toEqual([Array(3).fill(alice), Array(3).fill([])])
        const sockets = yield* Effect.forEach(cluster.ready, (port) => connect(phoenixUrl(`ws://127.0.0.1:${port}`)))
        end(cluster)
        for (const socket of sockets) expect((yield* socket.end).code).toBe(1012)
        expect(yield* Effect.promise(() => cluster.ended)).toBe(0)
        expect(cluster.err).toBe("")
        expect(cluster.out).not.toContain("Redis does not answer")
      })
    )
  }

  const failsWith = (environment: Record<string, string>, line: RegExp) =>
    Effect.gen(function* () {
      const cluster = yield* start(environment)
      expect(yield* Effect.promise(() => cluster.ended)).toBe(1)
      expect(cluster.err).toMatch(line)
      return cluster
    })

  it.scopedLive("says in one line that there is no redis-server, and what to do", () =>
    Effect.gen(function* () {
      const { out } = yield* failsWith(
        { REDIS_SERVER: "/no/such/redis-server" },
        /^spawn \/no\/such\/redis-server ENOENT: install redis-server 7 or later [^\n]+ REDIS_SERVER\n$/
      )
      expect(out).toBe("")
    })
  )

  it.scopedLive("says in one line that PORT is no port that two others follow", () =>
    Effect.gen(function* () {
      yield* failsWith({ PORT: "http" }, /^PORT must be a number from 0 to 65533, [^\n]+ but is "http"\n$/)
      yield* failsWith({ PORT: "65534" }, /^PORT must be a number from 0 to 65533, [^\n]+ but is "65534"\n$/)
    })
  )

  it.scopedLive("says that a port is in use, and ends with the other replicas and Redis", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const server = createServer().listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      // One of its three: those behind it may be in use as well.
      yield* failsWith({ PORT: `${port}` }, /^effect-presence: PORT \d+ is in use/m)
    })
  )
})
