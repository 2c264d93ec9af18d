/**
 * The ready server behind real proxies, set up by the very text that the page on deployment shows: only addresses and
 * paths of files differ.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join as joinPath } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { LongPoll } from "phoenix"
import { join, phoenixSocket } from "../socket/support/phoenix.js"
import { build, clean, serve } from "../support/bin.js"
import { program } from "../support/debian.js"
import { ask, follow } from "../support/http.js"
import { freePort, redisIsOff, startRedis } from "../support/redis.js"

const page = readFileSync(fileURLToPath(new URL("../../docs/deployment.md", import.meta.url)), "utf8")

/** The one block of the page in this language. */
const block = (language: string): string => {
  const [, text, ...others] = page.split(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "m"))
  if (text === undefined || others.length !== 1) throw new Error(`the page has not one block of ${language}`)
  return text
}

/** Puts the addresses of this test in the place of the page's, each of which must be there. */
const addressed = (text: string, addresses: Readonly<Record<string, string>>): string =>
  Object.entries(addresses).reduce((text, [shown, ours]) => {
    if (!text.includes(shown)) throw new Error(`the page does not say ${shown}`)
    return text.replaceAll(shown, ours)
  }, text)

/** Where it listens, and the two servers behind it. */
interface Ports {
  readonly front: number
  readonly one: number
  readonly two: number
}

interface Proxy {
  readonly name: string
  readonly off: boolean
  readonly find: () => string | undefined
  readonly config: (ports: Ports, folder: string) => string
  readonly args: (file: string, folder: string) => ReadonlyArray<string>
}

const upstreams = ({ one, two }: Ports) => ({
  "127.0.0.1:4000": `127.0.0.1:${one}`,
  "127.0.0.1:4001": `127.0.0.1:${two}`
})

const named = (variable: string, name: string): string | undefined => process.env[variable] || program(name)

const proxies: ReadonlyArray<Proxy> = [
  {
    name: "nginx",
    off: process.env.NGINX === "off",
    find: () => named("NGINX_SERVER", "nginx"),
    // What stands around it in the nginx.conf of a distribution.
    config: (ports, folder) => {
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (name) => `${name}_temp_path ${folder}/${name};`
      )
      const shown = addressed(block("nginx"), { ...upstreams(ports), "listen 80;": `listen 127.0.0.1:${ports.front};` })
      return `${process.getuid?.() === 0 ? "user root;\n" : ""}daemon off;
pid ${folder}/nginx.pid;
error_log stderr;
events {}
http {
access_log off;
${temporary.join("\n")}
${shown}}
`
    },
    args: (file, folder) => ["-p", folder, "-e", "stderr", "-c", file]
  },
  {
    name: "haproxy",
    off: process.env.HAPROXY === "off",
    find: () => named("HAPROXY_SERVER", "haproxy"),
    config: (ports) =>
      addressed(block("haproxy"), { ...upstreams(ports), "bind :80": `bind 127.0.0.1:${ports.front}` }),
    args: (file) => ["-db", "-f", file]
  }
]

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1")
    socket.once("connect", () => resolve(true))
    socket.once("error", () => resolve(false))
    socket.once("close", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

/** Runs it until the scope closes. */
const run = (proxy: Proxy, ports: Ports): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const found = proxy.find()
      if (found === undefined) throw new Error(`there is no ${proxy.name}`)
      const folder = mkdtempSync(joinPath(tmpdir(), `presence-${proxy.name}-`))
      const file = joinPath(folder, "proxy.conf")
      writeFileSync(file, proxy.config(ports, folder))
      const child = spawn(found, proxy.args(file, folder), { stdio: ["ignore", "pipe", "pipe"] })
      let said = ""
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += String(text)))
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
      while (!(await isListening(ports.front))) {
        if (child.exitCode !== null) throw new Error(`${proxy.name} has ended: ${said}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      return { child, folder, ended }
    }),
    ({ child, folder, ended }) =>
      Effect.promise(async () => {
        stop(child)
        await ended
        rmSync(folder, { recursive: true, force: true })
      })
  )

/** Its workers end with it. */
const stop = (child: ChildProcess): void => void child.kill("SIGTERM")

/** What a router might take for the metrics, and a proxy for something else. */
const METRICS = ["", "/", ";x", "/?", "//"]
  .map((end) => `/metrics${end}`)
  .concat("/METRICS", "/%6detrics", "//metrics", "/./metrics")

const DOMAIN = { host: "presence.example.com" }
const ORIGIN = "https://presence.example.com"

describe.skipIf(redisIsOff())("a proxy as the page on deployment sets it up", () => {
  beforeAll(() => build())
  afterAll(() => clean())

  for (const proxy of proxies) {
    it.scopedLive.skipIf(proxy.off)(
      `${proxy.name} carries sockets, event streams and long polling to two replicas`,
      () =>
        Effect.gen(function* () {
          const redis = yield* Effect.acquireRelease(
            Effect.promise(() => startRedis()),
            (redis) => Effect.promise(() => redis.stop())
          )
          const settings = { REDIS_URL: redis.url, PRESENCE_ALLOWED_ORIGINS: ORIGIN }
          const [one, two] = yield* Effect.all([serve(settings), serve(settings)], { concurrency: 2 })
          const front = yield* Effect.promise(() => freePort())
          yield* run(proxy, { front, one: one.port, two: two.port })

          // A list, by the name that visitors know; a page of its own origin.
          yield* Effect.promise(() =>
            vi.waitFor(
              async () => {
                const answer = await Effect.runPromise(
                  ask(front, "/presence/room", { headers: { ...DOMAIN, origin: ORIGIN } })
                )
                expect([answer.status, answer.json]).toEqual([200, []])
              },
              { timeout: 300_000, interval: 50 }
            )
          )
          expect((yield* ask(front, "/health", { headers: DOMAIN })).json).toMatchObject({ status: "ok" })
          for (const path of METRICS) {
            expect((yield* ask(front, path, { headers: DOMAIN })).text, path).not.toContain("presence_connections")
          }

          // An event stream of the first byte, and of each change when it happens.
          const stream = yield* follow(front, "/presence/room/events", DOMAIN)
          expect(yield* stream.next).toMatchObject({ event: "snapshot" })

          const alice = yield* join(yield* phoenixSocket(`ws://127.0.0.1:${front}`), "room", { key: "alice" })
          yield* alice.sees("alice:{}")
          expect(yield* stream.next).toMatchObject({ event: "diff", data: { joins: [{ key: "alice" }] } })

          const polling = yield* phoenixSocket(`http://127.0.0.1:${front}`, { transport: LongPoll })
          const bob = yield* join(polling, "room", { key: "bob" }, ["hello"])
          yield* bob.sees("alice:{}", "bob:{}")
          expect(yield* alice.push("hello", { n: 1 })).toEqual(["ok", {}])
          yield* bob.isTold(`hello {"n":1}`)
          expect(yield* bob.push("presence", { event: "track", payload: { a: 1 } })).toEqual(["ok", {}])
          yield* alice.sees("alice:{}", `bob:{"a":1}`)
          yield* bob.leave
          yield* alice.sees("alice:{}")

          // A large meta in the URL; a topic with a slash; who closes is gone.
          const meta = encodeURIComponent(JSON.stringify("x".repeat(16_000)))
          const carol = yield* follow(front, `/presence/events?topic=a%2Fb&key=carol&meta=${meta}`, DOMAIN)
          expect(carol.status).toBe(200)
          const here = (keys: ReadonlyArray<string>) =>
            Effect.promise(() =>
              vi.waitFor(
                async () => {
                  const { json } = await Effect.runPromise(ask(front, "/presence?topic=a%2Fb", { headers: DOMAIN }))
                  expect((json as ReadonlyArray<{ readonly key: string }>).map(({ key }) => key)).toEqual(keys)
                },
                { timeout: 300_000, interval: 50 }
              )
            )
          yield* here(["carol"])
          yield* carol.close
          yield* here([])
        })
    )
  }

  it.scopedLive("without the list of origins that the page asks for, who names a domain is refused and told why", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const answer = yield* ask(port, "/presence/room", { headers: DOMAIN })
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("allowedOrigins")])
    })
  )

  it.scopedLive("no proxy of the page keeps a connection for longer than the server does", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const { headers } = yield* ask(port, "/health", { headers: { connection: "keep-alive" } })
      const kept = Number(/timeout=(\d+)/.exec(String(headers["keep-alive"]))?.[1])
      const theirs = Array.from(page.matchAll(/(?:proxy_\w+_timeout|timeout (?:client|server)) (\d+)s/g), ([, s]) =>
        Number(s)
      )
      expect(theirs.length).toBeGreaterThan(3)
      // Those of some have a time of their own: Go's programs, Caddy, Google's load balancers.
      expect(kept).toBeGreaterThan(Math.max(...theirs, 90, 120, 600))
    })
  )
})
