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
  readonly pid: number
  readonly port: number
  /** Nothing when it ends before it answers. */
  readonly usage: () => Promise<Usage | undefined>
  /** All that it has said. */
  readonly said: () => string
  /** Sends a signal and answers with the exit code. */
  readonly end: (signal: NodeJS.Signals) => Promise<number | null>
  /** When it has ended. */
  readonly ended: Promise<number | null>
}

/** Crowds give no sign of life, and where a machine is busy a run takes longer than servers wait for one. */
export const PATIENT = { PRESENCE_IDLE_TIMEOUT: "1 hour", LOG_LEVEL: "Warning" }

export const start = async (
  { name, file: program, args }: Contender,
  environment: NodeJS.ProcessEnv = PATIENT
): Promise<Server> => {
  const child = fork(program, [...args], {
    env: { ...process.env, PORT: "0", HOST: "127.0.0.1", NODE_ENV: "production", ...environment },
    execArgv: ["--expose-gc", "--import", new URL("probe.js", import.meta.url).href],
    stdio: ["ignore", "pipe", "inherit", "ipc"]
  })
  const ended = once(child, "exit").then(([code]) => code as number | null)
  // However we end, it does not outlive us.
  const onExit = (): void => {
    child.kill("SIGKILL")
  }
  process.once("exit", onExit)
  void ended.then(() => process.off("exit", onExit))
  let said = ""
  const port = new Promise<number>((resolve) => {
    child.stdout?.on("data", (text) => {
      said += text
      const [, port] = /ready on http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? []
      if (port !== undefined) resolve(Number(port))
    })
  })
  const failed = ended.then((code) => {
    throw new Error(`${name} did not start, and ended with ${code}: ${said}`)
  })
  return {
    pid: child.pid ?? 0,
    port: await Promise.race([port, failed]),
    usage: () => {
      if (child.connected) child.send("usage", () => {})
      const answer = once(child, "message").then(([usage]) => usage as Usage)
      return Promise.race([answer, ended.then(() => undefined)])
    },
    said: () => said,
    end: (signal) => {
      child.kill(signal)
      return ended
    },
    ended
  }
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
