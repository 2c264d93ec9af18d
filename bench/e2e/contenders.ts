/** The servers that are compared, each a process of its own, and the crowds that come to them. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Order, Report } from "./crowd.js"
import type { Usage } from "./probe.js"
import type { ProtocolName } from "./protocols.js"

export interface Contender {
  readonly name: string
  readonly protocol: ProtocolName
  readonly file: string
  readonly args: ReadonlyArray<string>
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const peer = (name: string, protocol: ProtocolName): Contender => ({
  name,
  protocol,
  file: file("peers.js"),
  args: [name]
})

/** The ready server as it comes. */
export const ours: Contender = {
  name: "this package",
  protocol: "phoenix",
  file: file("../../../dist/server/bin.js"),
  args: []
}
export const batched = peer("batched", "plain")
export const socketIo = peer("socket.io", "socketIo")

export interface Server {
  readonly port: number
  readonly usage: () => Promise<Usage>
  readonly stop: () => Promise<void>
}

export const start = async ({ name, file: program, args }: Contender): Promise<Server> => {
  const child = fork(program, [...args], {
    env: { ...process.env, PORT: "0", HOST: "127.0.0.1", NODE_ENV: "production" },
    execArgv: ["--expose-gc", "--import", new URL("probe.js", import.meta.url).href],
    stdio: ["ignore", "pipe", "inherit", "ipc"]
  })
  let said = ""
  for await (const text of child.stdout ?? []) {
    said += text
    const [, port] = /ready on http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? []
    if (port === undefined) continue
    const usage = async (): Promise<Usage> => {
      child.send("usage")
      const [answer] = await once(child, "message")
      return answer
    }
    return { port: Number(port), usage, stop: () => end(child) }
  }
  throw new Error(`${name} did not start: ${said}`)
}

export class Crowd {
  private constructor(private readonly child: ChildProcess) {}

  static gather(): Crowd {
    return new Crowd(fork(file("crowd.js"), [], { serialization: "advanced" }))
  }

  tell(order: Order): void {
    this.child.send(order)
  }

  /** The next report of a kind. */
  async hears<I extends Report["is"]>(kind: I): Promise<Extract<Report, { is: I }>> {
    for (;;) {
      const [report] = (await once(this.child, "message")) as [Report]
      if (report.is === kind) return report as Extract<Report, { is: I }>
    }
  }

  ask<I extends Report["is"]>(order: Order, kind: I): Promise<Extract<Report, { is: I }>> {
    const report = this.hears(kind)
    this.tell(order)
    return report
  }

  /** Without a farewell, as a host that fails. */
  kill(): Promise<void> {
    return end(this.child)
  }
}

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
}
