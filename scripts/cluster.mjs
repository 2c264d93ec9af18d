// `npm run cluster`: a Redis and three replicas of the ready server, for a look. Open two of their pages: one room.
import { spawn } from "node:child_process"
import { createServer } from "node:net"

const port = await new Promise((resolve, reject) => {
  const server = createServer()
  server.once("error", reject)
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

const children = new Set()
let stopping = false
const stop = (code) => {
  if (stopping) return
  stopping = true
  process.exitCode = code
  // Redis last, so that the replicas can say goodbye.
  const replicas = [...children].filter((child) => child !== redis)
  if (replicas.length === 0) redis.kill("SIGTERM")
  for (const child of replicas) child.kill("SIGTERM")
}
const run = (command, args, env, why) => {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] })
  children.add(child)
  child.once("error", (error) => {
    console.error(`${command} cannot be started: ${error.message}${why}`)
    children.delete(child)
    stop(1)
  })
  child.once("exit", () => {
    children.delete(child)
    if (!stopping) stop(1)
    else if (children.size === 1 && children.has(redis)) redis.kill("SIGTERM")
  })
  return child
}

const redis = run(
  process.env.REDIS_SERVER || "redis-server",
  ["--bind", "127.0.0.1", "--port", `${port}`, "--save", "", "--appendonly", "no", "--loglevel", "warning"],
  {},
  ": install redis-server 7 or later (apt-get install redis-server), or name it in REDIS_SERVER"
)
const first = Number(process.env.PORT || 4000)
for (let i = 0; i < 3; i++) {
  run(process.execPath, ["dist/server/bin.js"], { PORT: `${first + i}`, REDIS_URL: `redis://127.0.0.1:${port}` }, "")
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop(0))
