/**
 * A Redis and the replicas over it, each a process of its own, and what happens to replicas in the field: they are killed
 * and restarted, and deployed one after the other.
 */
import { type RedisServer, startRedis } from "../../test/support/redis.js"
import { ours, type Server, start } from "../e2e/contenders.js"
import { descriptors } from "./processes.js"

export class Replicas {
  private readonly running: Array<Server> = []
  private readonly ended: Array<Server> = []
  /** Descriptors of a replica to which nobody has come. */
  bare = 0

  private constructor(
    readonly redis: RedisServer,
    private readonly environment: NodeJS.ProcessEnv,
    /** Where clients may go has changed. */
    private readonly balance: (ports: ReadonlyArray<number>) => Promise<unknown>,
    private readonly onFailure: (why: string) => void
  ) {}

  static async start(
    count: number,
    environment: NodeJS.ProcessEnv,
    balance: Replicas["balance"],
    onFailure: Replicas["onFailure"]
  ): Promise<Replicas> {
    const redis = await startRedis()
    const all = new Replicas(redis, { ...environment, REDIS_URL: redis.url }, balance, onFailure)
    for (let i = 0; i < count; i++) await all.add(i)
    await all.tell()
    return all
  }

  get all(): ReadonlyArray<Server> {
    return this.running
  }

  /** All that they have said beside that they were ready. */
  get warnings(): ReadonlyArray<string> {
    return [...this.ended, ...this.running].flatMap((server) =>
      server
        .said()
        .split("\n")
        .filter((line) => line !== "" && !line.includes("is ready on"))
    )
  }

  /** Without a farewell, as a host that fails; another is there some seconds later. */
  async kill(i: number): Promise<void> {
    const server = this.remove(i)
    await server.end("SIGKILL")
    await this.tell()
    await this.add(i)
    await this.tell()
  }

  /** The next one is there before this one is told to end, and hands over to it. */
  async deploy(i: number): Promise<void> {
    const server = this.remove(i)
    await this.add(i)
    await this.tell()
    const code = await server.end("SIGTERM")
    if (code !== 0) this.onFailure(`a replica that was deployed ended with ${code}: ${server.said()}`)
  }

  async stop(): Promise<void> {
    while (this.running.length > 0) await this.remove(0).end("SIGTERM")
    await this.redis.stop()
  }

  private async add(i: number): Promise<void> {
    const server = await start(ours, this.environment)
    this.bare = Math.max(this.bare, descriptors(server.pid) ?? 0)
    this.running.splice(i, 0, server)
    void server.ended.then((code) => {
      if (this.running.includes(server)) this.onFailure(`a replica ended by itself, with ${code}: ${server.said()}`)
    })
  }

  private remove(i: number): Server {
    const [server] = this.running.splice(i, 1)
    if (server === undefined) throw new Error(`there is no replica ${i}`)
    this.ended.push(server)
    return server
  }

  private tell(): Promise<unknown> {
    return this.balance(this.running.map(({ port }) => port))
  }
}
