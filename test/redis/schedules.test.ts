/**
 * Random schedules of everything that happens to replicas and to Redis, with real processes: in the end all agree with
 * what is really held, and nobody was told a second leave. The same in virtual time, and many more of them, are in
 * `simulation.test.ts`.
 */
import { describe, it } from "@effect/vitest"
import fc from "fast-check"
import { type Proxy, startProxy } from "../support/proxy.js"
import { redisIsOff, startRedis } from "../support/redis.js"
import { eventually, expectAgreement, HEARTBEAT, LEASE, ReplicaProcess, sleep } from "./replicas.js"

const replica = fc.nat(2)
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("track" as const), replica, key: fc.nat(4) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("close" as const), replica, which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("replace" as const), replica }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("cut" as const), replica, ms: fc.integer({ min: 100, max: 2 * LEASE }) })
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("pause" as const), replica, ms: fc.integer({ min: 100, max: 2 * LEASE }) })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("deafen" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("flush" as const) }) }
)

describe.skipIf(redisIsOff())("random schedules", () => {
  it("end in agreement", async () => {
    const redis = await startRedis()
    const proxies: Array<Proxy> = []
    for (let i = 0; i < 3; i++) proxies.push(await startProxy(redis.port))
    let world = 0
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 30 }), async (actions) => {
          const prefix = `world ${++world}`
          const start = async (i: number): Promise<ReplicaProcess> => {
            const started = await ReplicaProcess.start({ url: (proxies[i] as Proxy).url, prefix })
            await started.follow("room")
            return started
          }
          const replicas = await Promise.all([0, 1, 2].map(start))
          /** When what was done to each is over. */
          const busy: Array<Promise<unknown>> = [Promise.resolve(), Promise.resolve(), Promise.resolve()]
          const then = (i: number, work: () => Promise<unknown>): void => {
            busy[i] = (busy[i] as Promise<unknown>).then(work)
          }
          let n = 0
          try {
            for (const todo of actions) {
              await sleep(100)
              const i = "replica" in todo ? todo.replica : 0
              switch (todo.do) {
                case "track": {
                  const id = String(n++)
                  // One whose Redis is away fails and leaves nothing.
                  then(i, () => (replicas[i] as ReplicaProcess).track(id, "room", `user ${todo.key}`).catch(() => {}))
                  break
                }
                case "close":
                  then(i, async () => {
                    const held = [...(replicas[i] as ReplicaProcess).holds.keys()]
                    const id = held[todo.which % held.length]
                    if (id !== undefined) await (replicas[i] as ReplicaProcess).close(id)
                  })
                  break
                case "replace":
                  then(i, async () => {
                    await (replicas[i] as ReplicaProcess).kill()
                    replicas[i] = await start(i)
                  })
                  break
                case "cut":
                  then(i, async () => {
                    proxies[i]?.cut()
                    await sleep(todo.ms)
                    proxies[i]?.mend()
                    // As a new one cannot start while it is cut off, it waits.
                    await sleep(HEARTBEAT)
                  })
                  break
                case "pause":
                  then(i, async () => {
                    const { child } = replicas[i] as ReplicaProcess
                    child.kill("SIGSTOP")
                    await sleep(todo.ms)
                    child.kill("SIGCONT")
                  })
                  break
                case "deafen":
                  await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                  break
                case "flush":
                  await redis.command("FLUSHALL")
                  break
              }
            }
            await Promise.all(busy)
            await eventually(2 * (LEASE + HEARTBEAT) + 12_000, () => expectAgreement("room", replicas))
            // And it stays so.
            await sleep(2 * HEARTBEAT)
            await expectAgreement("room", replicas)
          } finally {
            await Promise.all(replicas.map((replica) => replica.kill()))
          }
        }),
        { numRuns: 2, endOnFailure: true, verbose: true }
      )
    } finally {
      await Promise.all(proxies.map((proxy) => proxy.close()))
      await redis.stop()
    }
  })
})
