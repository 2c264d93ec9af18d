/**
 * A real Redis for tests and benchmarks: found, started on a free port of 127.0.0.1, stopped by its process id.
 *
 * `REDIS_SERVER` names the program; else it is looked for in PATH; else, as root on Debian, it is installed. With
 * `REDIS=off` it is done without, as tests do where none is within reach.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createConnection, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { program } from "./debian.js"

/** Whether what needs it runs at all. For `describe.skipIf(redisIsOff())`. */
export const redisIsOff = (): boolean => process.env.REDIS === "off"

const find = (): string => {
  const named = process.env.REDIS_SERVER
  if (named !== undefined && named !== "") return named
  const found = program("redis-server")
  if (found !== undefined) return found
  throw new Error(
    "this needs redis-server 7 or later: install it (apt-get install redis-server), name it in REDIS_SERVER, or skip what needs it with REDIS=off"
  )
}

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })

/** A server that a test owns. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly process: ChildProcess
  /** One command over a connection of its own; the raw reply. */
  readonly command: (...args: ReadonlyArray<string>) => Promise<string>
  readonly stop: () => Promise<void>
}

export interface RedisServerOptions {
  readonly port?: number | undefined
  /** Further arguments of `redis-server`. */
  readonly args?: ReadonlyArray<string> | undefined
  /** Makes it a sentinel, with this in its configuration. */
  readonly sentinel?: ReadonlyArray<string> | undefined
}

/** Starts a server that keeps nothing on disk and resolves when it answers. */
export const startRedis = async (options: RedisServerOptions = {}): Promise<RedisServer> => {
  const port = options.port ?? (await freePort())
  const directory = mkdtempSync(join(tmpdir(), "presence-redis-"))
  const settings = [`port ${port}`, "bind 127.0.0.1", `dir ${directory}`, ...(options.sentinel ?? ['save ""'])]
  const file = join(directory, "redis.conf")
  // A sentinel writes to its configuration what it learns.
  writeFileSync(file, `${settings.join("\n")}\n`)
  const args = [file, ...(options.sentinel === undefined ? [] : ["--sentinel"]), ...(options.args ?? [])]
  const child = spawn(find(), args, { stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  const keep = (data: Buffer): void => {
    output = (output + data.toString()).slice(-2_000)
  }
  child.stdout?.on("data", keep)
  child.stderr?.on("data", keep)
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  // However a test ends, its server does not outlive it.
  const onExit = (): void => {
    child.kill("SIGKILL")
  }
  process.once("exit", onExit)

  const command = (...args: ReadonlyArray<string>): Promise<string> => send(port, args)
  for (let attempt = 0; ; attempt++) {
    if (child.exitCode !== null) throw new Error(`redis-server ended at once:\n${output}`)
    const answer = await command("PING").catch(() => "")
    if (/^(\+PONG|-NOAUTH)/.test(answer)) break
    if (attempt === 500) throw new Error(`redis-server does not answer:\n${output}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    process: child,
    command,
    stop: async () => {
      process.off("exit", onExit)
      // A stopped process does not see SIGTERM.
      child.kill("SIGKILL")
      await ended
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

/** A command in RESP and what comes back until the line is quiet: enough for tests, which look for a text in it. */
const send = (port: number, args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1")
    let answer = ""
    socket.setTimeout(5_000, () => socket.destroy(new Error(`${args[0]} got no answer`)))
    socket.once("error", reject)
    socket.on("data", (data) => {
      answer += data.toString()
    })
    socket.once("close", () => resolve(answer))
    const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
    // Redis answers what it has read, and closes its side when it reads the end.
    socket.end(`*${args.length}\r\n${args.map(bulk).join("")}`)
  })

const info = "redis_version:6.2.14\r\nredis_mode:standalone\r\n"

/** What an old Redis answers when it is asked what it is. */
export const REDIS_6 = `$${info.length}\r\n${info}\r\n`

/** Something that says the same to every command. */
export const startParrot = async (
  text: string
): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("data", (data) => socket.write(text.repeat(data.toString().match(/^\*/gm)?.length ?? 1)))
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}
