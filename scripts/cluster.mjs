// `npm run cluster`: a Redis and three replicas of the ready server, for a look. Open two of their pages: one room.
//
// They listen on PORT and the next two (4000 to 4002), or with PORT=0 on free ones. SIGINT, SIGTERM and SIGHUP end all
// four, the replicas first, so that they can say good-bye: exit code 0. When one ends by itself, all end: exit code 1.
import { spawn } from "node:child_process"
import { createServer } from "node:net"

const REPLICAS = 3

const fail = (line) => {
  console.error(line)
  process.exit(1)
}

const port = process.env.PORT?.trim() || "4000"
const first = /^\d+$/.test(port) ? Number(port) : Number.NaN
if (!(first <= 65_536 - REPLICAS)) {
  fail(`PORT must be a number from 0 to ${65_536 - REPLICAS}, as ${REPLICAS} in a row are used, but is "${port}"`)
}

const freePort = await new Promise((resolve, reject) => {
  const server = createServer()
  server.once("error", reject)
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

const replicas = new Set()
let stopping = false
const stop = (code) => {
  if (stopping) return
  stopping = true
  process.exitCode = code
  for (const replica of replicas) replica.kill("SIGTERM")
  if (replicas.size === 0) redis.kill("SIGTERM")
}

// In groups of their own, as a terminal sends its Ctrl+C to everybody in this one's, and Redis would be gone first.
const run = (command, args, options) => spawn(command, args, { detached: true, ...options })

const startReplica = (port) => {
  const env = { ...process.env, PORT: `${port}`, REDIS_URL: `redis://127.0.0.1:${freePort}` }
  const replica = run(process.execPath, ["dist/server/bin.js"], { env, stdio: ["ignore", "inherit", "inherit"] })
  replicas.add(replica)
  replica.once("exit", () => {
    replicas.delete(replica)
    // It has said why.
    stop(1)
    if (replicas.size === 0) redis.kill("SIGTERM")
  })
}

const program = process.env.REDIS_SERVER || "redis-server"
const redis = run(
  program,
  ["--bind", "127.0.0.1", "--port", `${freePort}`, "--save", "", "--appendonly", "no", "--loglevel", "warning"],
  { stdio: ["ignore", "pipe", "inherit"] }
)
let said = ""
redis.stdout.on("data", (text) => {
  said += text
})
redis.once("error", ({ message }) =>
  fail(`${message}: install redis-server 7 or later (apt-get install redis-server), or name it in REDIS_SERVER`)
)
redis.once("spawn", () => {
  for (let i = 0; i < REPLICAS; i++) startReplica(first === 0 ? 0 : first + i)
})
redis.once("exit", () => {
  if (!stopping) console.error(`${program} has ended:\n${said}`)
  stop(1)
})

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(0))
