import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "@effect/vitest"
import { ConnectFailure } from "../../../src/redis/client/discovery.js"
import { open as openPort } from "../../../src/redis/client/ioredis.js"
import type { Port, PortEvents } from "../../../src/redis/client/port.js"
import type { Script } from "../../../src/redis/protocol/scripts.js"
import { startCluster } from "../../support/cluster.js"
import { program } from "../../support/debian.js"
import { type Proxy, startProxy } from "../../support/proxy.js"
import { freePort, REDIS_6, type RedisServer, redisIsOff, startParrot, startRedis } from "../../support/redis.js"

/** What the port told, and how to wait until it has told more. */
class Told {
  readonly messages: Array<string> = []
  ready = 0
  subscriberReady = 0
  down = 0
  reason = ""
  private waiting: Array<() => void> = []

  readonly handlers: PortEvents = {
    onMessage: (channel, text) => this.wake(() => this.messages.push(`${channel} ${text}`)),
    onReady: () => this.wake(() => this.ready++),
    onSubscriberReady: () => this.wake(() => this.subscriberReady++),
    onDown: (reason) =>
      this.wake(() => {
        this.down++
        this.reason = reason
      }),
    onSubscriberDown: () => this.wake(() => this.down++)
  }

  /** Waits until it holds; the test's own timeout is the bound. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  private wake(change: () => void): void {
    change()
    for (const resolve of this.waiting.splice(0)) resolve()
  }
}

const open = async (url: string, told: Told, timeout = 1_000): Promise<Port> => {
  const port = await openPort({ where: { url }, timeout, name: "port-test" }, told.handlers)
  await told.until(() => told.ready > 0 && told.subscriberReady > 0)
  return port
}

const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error("it did not fail"),
    (cause) => cause as Error
  )

const echo: Script = { name: "echo", text: "return {KEYS[1], ARGV[1]}", hash: "" }

describe.skipIf(redisIsOff())("the port to a Redis", () => {
  let redis: RedisServer
  let proxy: Proxy
  beforeAll(async () => {
    redis = await startRedis()
    proxy = await startProxy(redis.port)
  })
  afterAll(async () => {
    await proxy.close()
    await redis.stop()
  })

  it("finds out that it is a single server, which has one partition", async () => {
    const port = await open(redis.url, new Told())
    expect([port.mode, port.partitions, port.isReady()]).toEqual(["standalone", 1, true])
    port.close()
  })

  it("warns when Redis may evict keys", async () => {
    await redis.command("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    const port = await open(redis.url, new Told())
    expect(port.warnings).toEqual([expect.stringContaining("allkeys-lru")])
    port.close()
    await redis.command("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
  })

  it("runs a script that the server does not know yet, and again by its hash", async () => {
    const { createHash } = await import("node:crypto")
    const script = { ...echo, hash: createHash("sha1").update(echo.text).digest("hex") }
    await redis.command("SCRIPT", "FLUSH")
    const port = await open(redis.url, new Told())
    expect(await port.run(script, ["k"], ["é🙂"])).toEqual(["k", "é🙂"])
    expect(await redis.command("SCRIPT", "EXISTS", script.hash)).toContain(":1")
    await redis.command("CONFIG", "RESETSTAT")
    expect(await port.run(script, ["k"], [7])).toEqual(["k", "7"])
    expect(await redis.command("INFO", "commandstats")).not.toContain("cmdstat_eval:")
    port.close()
  })

  it("tells messages of what it subscribed to, once subscribing has been acknowledged", async () => {
    const told = new Told()
    const port = await open(redis.url, told)
    await port.subscribe(["a", "b"])
    await port.publish("a", "1")
    await port.publish("c", "2")
    await port.publish("b", "3")
    await told.until(() => told.messages.length === 2)
    await port.unsubscribe(["a"])
    await port.publish("a", "4")
    await port.publish("b", "5")
    await told.until(() => told.messages.length === 3)
    expect(told.messages).toEqual(["a 1", "b 3", "b 5"])
    port.close()
  })

  it("does not subscribe again by itself when the subscriber was killed, but says that it is back", async () => {
    const told = new Told()
    const port = await open(redis.url, told)
    await port.subscribe(["a"])
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
    await told.until(() => told.subscriberReady === 2)
    expect(await redis.command("PUBSUB", "CHANNELS")).not.toContain("a")
    await port.subscribe(["a"])
    await port.publish("a", "again")
    await told.until(() => told.messages.length === 1)
    expect(told.messages).toEqual(["a again"])
    port.close()
  })

  it("fails at once what waits for an answer when the connection is cut, sends nothing again, and comes back", async () => {
    const told = new Told()
    const port = await open(proxy.url, told)
    await redis.command("DEL", "n")
    proxy.hold()
    const lost = failure(port.command("INCR", ["n"]))
    await proxy.kept()
    proxy.orphan()
    expect((await lost).message).toContain("closed")
    expect((await failure(port.command("INCR", ["n"]))).message).toContain("closed")
    await proxy.deliver()
    await told.until(() => told.ready >= 2 && told.subscriberReady >= 2)
    expect(told.down).toBeGreaterThanOrEqual(2)
    // What the dead connection had sent arrived late, once.
    expect(await port.command("GET", ["n"])).toBe("1")
    port.close()
  })

  it("says why the connection was lost, and not why another was not made before", async () => {
    const told = new Told()
    const port = await open(proxy.url, told)
    await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await told.until(() => told.down > 0)
    expect(told.reason).toBe("the server closed the connection")
    port.close()
  })

  it("fails what is not answered within the timeout, and gives a connection up that says nothing", async () => {
    const told = new Told()
    const port = await open(proxy.url, told, 500)
    proxy.freeze()
    expect((await failure(port.command("GET", ["n"]))).message).toMatch(/no answer within 500 ms|Socket timeout|closed/)
    await told.until(() => told.down >= 2)
    proxy.mend()
    await told.until(() => told.ready >= 2 && told.subscriberReady >= 2)
    port.close()
  })

  it("fails a call that takes longer than the timeout, also while others are answered on the same connection", async () => {
    const port = await open(proxy.url, new Told(), 1_000)
    proxy.delay(600)
    const others = setInterval(() => port.command("PING", []).catch(() => {}), 20)
    // Answers to what was sent before come meanwhile, so the connection is never silent for that long.
    await port.command("PING", [])
    proxy.delay(1_400)
    expect((await failure(port.command("GET", ["n"]))).message).toMatch(
      /no answer within 1000 ms|Socket timeout|closed/
    )
    clearInterval(others)
    proxy.delay(0)
    port.close()
  })

  it("fails at once, and queues nothing, while a connection is being made", async () => {
    const told = new Told()
    // What was queued would wait for longer than this test.
    const port = await open(proxy.url, told, 600_000)
    proxy.cut()
    await told.until(() => told.down >= 2)
    while (proxy.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    // It takes connections and says nothing.
    proxy.mend()
    proxy.freeze()
    while (proxy.connections() < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await failure(port.command("GET", ["n"]))).message).not.toContain("it did not fail")
    proxy.mend()
    port.close()
  })

  it("refuses what will never work at once, and says why", async () => {
    const locked = await startRedis({ args: ["--requirepass", "secret"] })
    onTestFinished(() => locked.stop())
    const refused = async (url: string): Promise<string> => {
      const cause = await failure(openPort({ where: { url }, timeout: 1_000, name: "port-test" }, new Told().handlers))
      expect(cause).toBeInstanceOf(ConnectFailure)
      expect(inspect(cause, { depth: null })).not.toContain("hunter2")
      return cause.message
    }
    expect(await refused("cache:6379")).toContain("redis://user:password@host:port/database")
    expect(await refused(locked.url)).toMatch(/^redis:\S+: NOAUTH/)
    expect(await refused(`redis://:hunter2@127.0.0.1:${locked.port}`)).toMatch(/^redis:\S+: WRONGPASS/)
    expect(await refused(`redis://127.0.0.1:${await freePort()}`)).toMatch(/does not answer: .*ECONNREFUSED/)
    const unlocked = `redis://:secret@127.0.0.1:${locked.port}`
    // The client would take database 0 instead.
    expect(await refused(`${unlocked}/99`)).toMatch(/^redis:\S+\/99 has no database 99: .*out of range/)
    expect(await refused(`${unlocked}/rooms`)).toMatch(/^redis:\S+\/rooms is a single server: .*only sentinels/)
    const port = await open(`${unlocked}/15`, new Told())
    expect(await port.command("CLIENT", ["LIST"])).not.toContain("db=0")
    port.close()
  })

  it("finds a master by sentinels, whether the password is theirs too, only its own, or only theirs", async () => {
    for (const [locksMaster, locksSentinel] of [
      [true, false],
      [true, true],
      [false, true]
    ]) {
      const master = await startRedis({ args: locksMaster ? ["--requirepass", "secret"] : [] })
      onTestFinished(() => master.stop())
      const sentinel = await startRedis({
        sentinel: [
          `sentinel monitor rooms 127.0.0.1 ${master.port} 1`,
          ...(locksMaster ? ["sentinel auth-pass rooms secret"] : []),
          ...(locksSentinel ? ["requirepass secret"] : [])
        ]
      })
      onTestFinished(() => sentinel.stop())
      const port = await open(`redis://:secret@127.0.0.1:${sentinel.port}/rooms`, new Told())
      expect(port.mode).toBe("sentinel")
      expect(await port.command("PING", [])).toBe("PONG")
      port.close()
    }
  })

  it("finds a master whose user its sentinels do not know", async () => {
    const master = await startRedis()
    onTestFinished(() => master.stop())
    await master.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
    const sentinel = await startRedis({ sentinel: [`sentinel monitor rooms 127.0.0.1 ${master.port} 1`] })
    onTestFinished(() => sentinel.stop())
    const port = await open(`redis://app:secret@127.0.0.1:${sentinel.port}/rooms`, new Told())
    expect(await port.command("ACL", ["WHOAMI"])).toBe("app")
    port.close()
  })

  it("finds a master by sentinels that speak TLS, as rediss says", async () => {
    const directory = mkdtempSync(join(tmpdir(), "presence-tls-"))
    onTestFinished(() => rmSync(directory, { recursive: true }))
    const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")]
    const openssl = program("openssl")
    if (openssl === undefined) throw new Error("this needs openssl, or REDIS=off to skip what needs a real Redis")
    const selfSigned = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    execFileSync(openssl, [...selfSigned, "-keyout", key, "-out", certificate], { stdio: "ignore" })
    const files = [
      ["tls-cert-file", certificate],
      ["tls-key-file", key],
      ["tls-ca-cert-file", certificate],
      ["tls-auth-clients", "no"]
    ] as const
    const [masterPort, sentinelPort] = [await freePort(), await freePort()]
    const master = await startRedis({
      args: ["--tls-port", String(masterPort), ...files.flatMap(([name, value]) => [`--${name}`, value])]
    })
    onTestFinished(() => master.stop())
    const sentinel = await startRedis({
      sentinel: [
        `tls-port ${sentinelPort}`,
        ...files.map((file) => file.join(" ")),
        "tls-replication yes",
        `sentinel monitor rooms 127.0.0.1 ${masterPort} 1`
      ]
    })
    onTestFinished(() => sentinel.stop())
    // Nobody has signed the certificate but itself.
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0")
    onTestFinished(() => void vi.unstubAllEnvs())
    const port = await open(`rediss://127.0.0.1:${sentinelPort}/rooms`, new Told())
    expect(port.mode).toBe("sentinel")
    expect(await port.command("PING", [])).toBe("PONG")
    port.close()
  })

  it("takes calls to every master of a cluster at once, and does not say that they are gone when it is closed", async () => {
    const cluster = await startCluster()
    onTestFinished(() => cluster.stop())
    const told = new Told()
    const port = await open(cluster.url, told)
    const everywhere = Array.from({ length: 16 }, (_, partition) => port.command("HLEN", [`p:{${partition}}:i`]))
    expect(await Promise.all(everywhere)).toEqual(everywhere.map(() => 0))
    port.close()
    // What a node says when its connection ends comes within this time.
    await cluster.everywhere("PING")
    expect(told.down).toBe(0)
  })

  it("refuses what does not speak as a Redis, and a Redis before 7", async () => {
    const refused = async (text: string): Promise<string> => {
      const { url, stop } = await startParrot(text)
      const { message } = await failure(
        openPort({ where: { url }, timeout: 1_000, name: "port-test" }, new Told().handlers)
      )
      await stop()
      return message
    }
    expect(await refused("HTTP/1.1 400 Bad Request\r\n\r\n")).toMatch(/^redis:\S+ answers, but not as a Redis$/)
    expect(await refused(REDIS_6)).toContain("is Redis 6.2.14, and 7 or later is needed")
  })

  it("refuses a replica of another Redis", async () => {
    const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] })
    onTestFinished(() => replica.stop())
    const cause = await failure(
      openPort({ where: { url: replica.url }, timeout: 1_000, name: "port-test" }, new Told().handlers)
    )
    expect(cause.message).toContain("is a replica of another Redis")
  })

  it("does not wait longer than the timeout for a server that says nothing", async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
    const address = silent.address() as { readonly port: number }
    const cause = await failure(
      openPort(
        { where: { url: `redis://127.0.0.1:${address.port}` }, timeout: 300, name: "port-test" },
        new Told().handlers
      )
    )
    expect(cause.message).toContain("does not answer")
    silent.close()
  })
})
