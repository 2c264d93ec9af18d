/** The process of all clients, from outside. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Answer, Order } from "./crowd.js"

export class Clients {
  private last: Promise<unknown> = Promise.resolve()

  private constructor(private readonly child: ChildProcess) {}

  static start(onFailure: (why: string) => void): Clients {
    const child = fork(fileURLToPath(new URL("crowd.js", import.meta.url)), [], { serialization: "advanced" })
    child.once("exit", (code) => onFailure(`the clients ended with ${code}`))
    process.once("exit", () => child.kill("SIGKILL"))
    return new Clients(child)
  }

  /** One order after the other, as answers bear no name. */
  ask(order: Order): Promise<Answer> {
    const answer = this.last.then(async () => {
      const answer = once(this.child, "message")
      this.child.send(order)
      return (await answer)[0] as Answer
    })
    this.last = answer
    return answer
  }
}
