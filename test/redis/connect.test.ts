/** Connections that the user makes: certificates of one's own, credentials that change, sockets, mistakes. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { Redis } from "ioredis"
import { Channels, Presence } from "../../src/index.js"
import { ChannelsRedis, type Connect, PresenceRedis } from "../../src/redis/index.js"
import { program } from "../support/debian.js"
import { freePort, type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("connections of one's own", () => {
  let redis: RedisServer
  let directory: string
  let tlsPort: number
  const file = (name: string) => join(directory, name)

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "presence-connect-"))
    const openssl = program("openssl")
    if (openssl === undefined) throw new Error("this needs openssl, or REDIS=off to skip what needs a real Redis")
    const run = (...args: ReadonlyArray<string>) => execFileSync(openssl, args, { stdio: "ignore" })
    const key = (name: string) => ["-newkey", "rsa:2048", "-nodes", "-keyout", file(`${name}.key`)]
    run("req", "-x509", ...key("ca"), "-days", "2", "-subj", "/CN=an authority", "-out", file("ca.pem"))
    run(
      "req",
      ...key("redis"),
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
      "-out",
      file("redis.csr")
    )
    const signed = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-copy_extensions", "copy"]
    run("x509", "-req", "-in", file("redis.csr"), ...signed, "-days", "2", "-out", file("redis.pem"))
    tlsPort = await freePort()
    redis = await startRedis({
      args: [
        ...["--tls-port", String(tlsPort), "--tls-auth-clients", "no", "--unixsocket", file("redis.sock")],
        ...[
          "--tls-cert-file",
          file("redis.pem"),
          "--tls-key-file",
          file("redis.key"),
          "--tls-ca-cert-file",
          file("ca.pem")
        ]
      ]
    })
  })
  afterAll(async () => {
    await redis.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  let worlds = 0
  const build = (options: Parameters<typeof PresenceRedis.layer>[0]) =>
    Effect.map(Layer.build(PresenceRedis.layer({ timeout: "1 second", ...options })), (context) =>
      Context.get(context, Presence)
    )
  const own = (connect: Connect) => build({ connect, prefix: `own ${++worlds}` })
  const until = <A>(effect: Effect.Effect<A, unknown>, is: (value: A) => boolean) =>
    Effect.repeat(Effect.delay(effect, 20), { until: is })

  it.scopedLive("are waited for by nobody who is interrupted, and those that come later are ended", () =>
    Effect.gen(function* () {
      const made: Array<Redis> = []
      const asked = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const connect: Connect = async (options) => {
        Deferred.unsafeDone(asked, Effect.void)
        await Effect.runPromise(Deferred.await(gate))
        const connection = new Redis({ ...options, port: redis.port })
        made.push(connection)
        return connection
      }
      const building = yield* Effect.fork(build({ connect, prefix: `own ${++worlds}`, timeout: "1 hour" }))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(building)
      yield* Deferred.succeed(gate, undefined)
      // To ask what is there, for commands, for messages.
      yield* until(
        Effect.sync(() => made.map(({ status }) => status)),
        (statuses) => statuses.join() === "end,end,end"
      )
    })
  )

  it.scopedLive("speak TLS to a server whose certificate their own authority has signed", () =>
    Effect.gen(function* () {
      const ca = readFileSync(file("ca.pem"))
      const presence = yield* own((options) => new Redis({ ...options, host: "localhost", port: tlsPort, tls: { ca } }))
      yield* presence.track("room", "alice")
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
      const stranger = yield* Effect.flip(
        own((options) => new Redis({ ...options, host: "localhost", port: tlsPort, tls: {} }))
      )
      expect(stranger.message).toMatch(/what connect connects to does not answer: .*certificate/)
    })
  )

  it.scopedLive("may have more to say than one error, as a socket of TLS does, and end no process by it", () =>
    Effect.gen(function* () {
      const made: Array<Redis> = []
      const presence = yield* own((options) => {
        const connection = new Redis({ ...options, port: redis.port })
        made.push(connection)
        return connection
      })
      yield* presence.track("room", "alice")
      // What was asked first has ended; the others are in use.
      for (const { stream } of made) {
        for (const said of ["read ECONNRESET", "alert decode error", "alert close notify"]) {
          stream.emit("error", new Error(said))
        }
        stream.destroy()
      }
      yield* until(presence.health, ({ status }) => status === "ok" && made.length >= 5)
      expect(yield* presence.list("room")).toEqual([{ key: "alice", metas: [{}] }])
    })
  )

  it.scopedLive("come back with the credentials of that moment when they have changed", () =>
    Effect.gen(function* () {
      let password = "first"
      const rotate = (next: string) =>
        Effect.promise(async () => {
          password = next
          await redis.command("ACL", "SETUSER", "app", "reset", "on", `>${next}`, "~*", "&*", "+@all")
        })
      yield* rotate("first")
      let made = 0
      const presence = yield* own(async (options) => {
        made++
        return new Redis({ ...options, port: redis.port, username: "app", password })
      })
      yield* presence.subscribe("room")
      yield* presence.track("room", "alice")
      const before = made
      yield* rotate("second")
      yield* Effect.promise(() => redis.command("CLIENT", "KILL", "USER", "app"))
      yield* until(presence.health, ({ status }) => status === "ok" && made >= before + 2)
      yield* presence.track("room", "bob")
      yield* until(presence.list("room"), (list) => list.length === 2)
    })
  )

  it.scopedLive("may fail to be made for a while, and are tried again", () =>
    Effect.gen(function* () {
      let fails = false
      const presence = yield* own(async (options) => {
        if (fails) throw new Error("no token today")
        return new Redis({ ...options, port: redis.port })
      })
      fails = true
      yield* Effect.promise(() => redis.command("CLIENT", "KILL", "TYPE", "normal"))
      const failed = yield* until(
        Effect.either(Effect.scoped(presence.track("room", "alice"))),
        ({ _tag }) => _tag === "Left"
      )
      expect(String(failed)).toContain("connect gave no connection: no token today")
      fails = false
      yield* until(presence.health, ({ status }) => status === "ok")
      yield* presence.track("room", "bob")
    })
  )

  it.scopedLive(
    "that Redis has too many of are told so, at the start and later, though nobody reads what it says",
    () =>
      Effect.gen(function* () {
        const full = yield* Effect.acquireRelease(
          Effect.promise(() => startRedis()),
          ({ stop }) => Effect.promise(stop)
        )
        const admin = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis({ port: full.port })),
          (client) => Effect.sync(() => client.disconnect())
        )
        const { url } = full
        const presence = yield* build({ url })
        yield* Effect.promise(() => admin.config("SET", "maxclients", 1))
        yield* Effect.promise(() => admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        yield* until(
          Effect.either(Effect.scoped(presence.track("room", "alice"))),
          (result) => result._tag === "Left" && result.left.message.includes("(maxclients)")
        )
        expect(String(yield* Effect.flip(build({ url })))).toContain("(maxclients)")
        yield* Effect.promise(() => admin.config("SET", "maxclients", 100))
        yield* until(presence.health, ({ status }) => status === "ok")
      })
  )

  it.scopedLive("know the database that they are in, and keep its channels apart", () =>
    Effect.gen(function* () {
      const prefix = `own ${++worlds}`
      const connect: Connect = (options) => new Redis({ ...options, port: redis.port, db: 2 })
      const presence = yield* build({ connect, prefix })
      const other = yield* build({ url: `${redis.url}/2`, prefix })
      const stranger = yield* build({ url: redis.url, prefix })
      yield* presence.track("room", "alice")
      yield* until(other.list("room"), (list) => list.length === 1)
      expect(yield* stranger.list("room")).toEqual([])
    })
  )

  it.scopedLive("are refused as what they are when they are none, or shared", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(own(() => ({}) as never))
      expect(none.message).toContain("connect gave no connection: it gives a Redis of ioredis")
      let shared: Redis | undefined
      const twice = yield* Effect.flip(
        own((options) => {
          shared ??= new Redis({ ...options, port: redis.port })
          return shared
        })
      )
      expect(twice.message).toMatch(/took no connection: connect gave a connection twice/)
    })
  )

  it.scopedLive("that have begun to connect by themselves are refused with what to write", () =>
    Effect.gen(function* () {
      const made: Array<Redis> = []
      const error = yield* Effect.flip(
        own(() => {
          const connection = new Redis(redis.port)
          made.push(connection)
          return connection
        })
      )
      expect(error.message).toMatch(/has begun to connect by itself.*new Redis\(\{ \.\.\.options/)
      // At once, and nothing of it is left.
      expect(made).toHaveLength(1)
      yield* until(
        Effect.sync(() => made[0]?.status),
        (status) => status === "end"
      )
    })
  )

  it.scopedLive("that are waited for in vain are given up after the timeout, at the start and later", () =>
    Effect.gen(function* () {
      const never = yield* Effect.flip(own(() => new Promise<never>(() => {})))
      expect(never.message).toMatch(/: connect gave no connection: its promise got no answer within 1000 ms$/)
      let hangs = false
      const late: Array<(connection: Redis) => void> = []
      const presence = yield* own((options) =>
        hangs ? new Promise((resolve) => late.push(resolve)) : new Redis({ ...options, port: redis.port })
      )
      hangs = true
      yield* Effect.promise(() => redis.command("CLIENT", "KILL", "TYPE", "normal"))
      yield* until(
        Effect.sync(() => late.length),
        (waiting) => waiting > 0
      )
      hangs = false
      yield* until(presence.health, ({ status }) => status === "ok")
      yield* presence.track("room", "alice")
      // What comes after all is not kept.
      const connection = new Redis({ port: redis.port, lazyConnect: true })
      for (const resolve of late) resolve(connection)
      yield* until(
        Effect.sync(() => connection.status),
        (status) => status === "end"
      )
    })
  )

  it.scopedLive("carry channels without presence too", () =>
    Effect.gen(function* () {
      const connect: Connect = (options) => new Redis({ ...options, port: redis.port })
      const prefix = `own ${++worlds}`
      const channels = Effect.map(Layer.build(ChannelsRedis.layer({ connect, prefix })), (context) =>
        Context.get(context, Channels)
      )
      const [a, b] = [yield* channels, yield* channels]
      const { take } = yield* b.subscribe("room")
      yield* a.publish("room", "hello")
      expect(yield* take).toEqual(["hello"])
    })
  )

  it.scopedLive("are not needed for the socket of a server on this machine", () =>
    Effect.gen(function* () {
      const prefix = `own ${++worlds}`
      const presence = yield* build({ url: `unix://${file("redis.sock")}`, prefix })
      const other = yield* build({ url: redis.url, prefix })
      yield* presence.track("room", "alice")
      yield* until(other.list("room"), (list) => list.length === 1)
    })
  )
})
