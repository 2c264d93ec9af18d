import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Context, Effect, Layer, Metric, MetricState, type Scope } from "effect"
import { Channels, Presence } from "../../src/index.js"
import { hearOf } from "../../src/internal/feed/direct.js"
import { ChannelsRedis, PresenceRedis } from "../../src/redis/index.js"
import { atOnce } from "../support/atOnce.js"
import { type Proxy, startProxy } from "../support/proxy.js"
import { type RedisServer, redisIsOff, startRedis } from "../support/redis.js"

describe.skipIf(redisIsOff())("channels over several replicas", () => {
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

  let worlds = 0
  const build = (url: string, prefix: string): Effect.Effect<Channels.Service, unknown, Scope.Scope> =>
    Effect.map(Layer.build(ChannelsRedis.layer({ url, prefix })), (context) => Context.get(context, Channels))

  const unpublished = Effect.map(Metric.snapshot, (pairs) => {
    const found = pairs.find(({ metricKey }) => metricKey.name === "presence_redis_unpublished_total")
    return found !== undefined && MetricState.isCounterState(found.metricState) ? Number(found.metricState.count) : 0
  })

  it.scopedLive("a text reaches subscribers on every replica once, in order, and counts those here", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const b = yield* build(redis.url, prefix)
      const here = yield* a.subscribe("room")
      const there = yield* b.subscribe("room")
      expect(yield* a.publish("room", "1")).toBe(1)
      expect(yield* a.publish("room", "2")).toBe(1)
      expect(yield* b.publish("room", '3 é🙂\n"')).toBe(1)
      const take = (subscription: typeof here, count: number) =>
        Effect.gen(function* () {
          const texts: Array<string> = []
          while (texts.length < count) texts.push(...(yield* subscription.take))
          return texts
        })
      expect((yield* take(there, 3)).sort()).toEqual(["1", "2", '3 é🙂\n"'])
      expect((yield* take(here, 3)).sort()).toEqual(["1", "2", '3 é🙂\n"'])
      // No echo: the next that each gets is the next that is said.
      yield* a.publish("room", "last")
      expect(yield* take(here, 1)).toEqual(["last"])
      expect(yield* take(there, 1)).toEqual(["last"])
    })
  )

  it.scopedLive(
    "texts reach the others again when the address leads to another master and the old one follows it",
    () =>
      Effect.gen(function* () {
        const start = (...args: ReadonlyArray<string>) =>
          Effect.acquireRelease(
            Effect.promise(() => startRedis({ args })),
            (redis) => Effect.promise(() => redis.stop())
          )
        const first = yield* start()
        const second = yield* start()
        const address = yield* Effect.acquireRelease(
          Effect.promise(() => startProxy(first.port)),
          (proxy) => Effect.promise(() => proxy.close())
        )
        const prefix = `world ${++worlds}`
        const before = yield* build(address.url, prefix)
        const heard = yield* before.subscribe("room")
        // Whoever is connected stays connected to the old one.
        address.moveTo(second.port)
        yield* Effect.promise(() => first.command("REPLICAOF", "127.0.0.1", String(second.port)))
        const after = yield* build(address.url, prefix)
        const there = yield* after.subscribe("room")
        const talk = (from: Channels.Service, to: typeof heard, text: string) =>
          Effect.raceFirst(
            // It may be long behind by its own side's texts.
            Effect.repeat(
              Effect.orElseSucceed(to.take, (): ReadonlyArray<string> => []),
              { until: (texts) => texts.includes(text) }
            ),
            Effect.forever(Effect.zipRight(from.publish("room", text), Effect.sleep("50 millis")))
          )
        yield* talk(before, there, "from before")
        yield* talk(after, heard, "from after")
      })
  )

  it.scopedLive("a text that is published without an effect reaches the same", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const b = yield* build(redis.url, prefix)
      const there = yield* b.subscribe("room")
      const mirror = yield* b.subscribe("presence:room")
      // Nobody reads it here; who reads elsewhere is not known here.
      expect(a.unsafePublish("room", "1")).toBe(0)
      expect(a.unsafePublish("room", () => "2")).toBe(0)
      // Each replica makes the texts of presence by itself.
      a.unsafePublish("presence:room", "forged")
      expect(a.unsafePublish("", "to nobody")).toBe(0)
      yield* a.publish("room", "3")
      const texts: Array<string> = []
      while (texts.length < 3) texts.push(...(yield* there.take))
      expect(texts).toEqual(["1", "2", "3"])
      b.unsafePublish("presence:room", "own")
      expect(yield* mirror.take).toEqual(["own"])
    })
  )

  it.scopedLive("a text that answers another is heard after it, here and elsewhere, however it is heard", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const b = yield* build(redis.url, prefix)
      const there = yield* b.subscribe("room")
      const heard: Array<string> = []
      yield* Effect.acquireRelease(
        Effect.sync(() => hearOf(a)?.("room", (text) => heard.push(text))),
        (stop) => Effect.sync(() => stop?.())
      )
      const { take } = yield* a.subscribe("room")
      yield* Effect.forkScoped(
        Effect.withScheduler(
          Effect.forever(
            Effect.map(take, (texts) => {
              for (const text of texts) if (text.length < 4) a.unsafePublish("room", `${text}+`)
            })
          ),
          atOnce
        )
      )
      yield* Effect.yieldNow()
      const all = ["a", "a+", "a++", "a+++", "b", "b+", "b++", "b+++"]
      yield* a.publish("room", "a")
      a.unsafePublish("room", "b")
      const texts: Array<string> = []
      while (texts.length < all.length) texts.push(...(yield* there.take))
      expect(heard).toEqual(all)
      expect(texts).toEqual(all)
    })
  )

  it.scopedLive("databases of one server do not hear each other", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(`${redis.url}/0`, prefix)
      const b = yield* build(`${redis.url}/1`, prefix)
      const here = yield* a.subscribe("room")
      yield* b.publish("room", "from another database")
      const c = yield* build(redis.url, prefix)
      yield* c.publish("room", "from this one")
      expect(yield* here.take).toEqual(["from this one"])
    })
  )

  it.scopedLive("topics, and prefixes, do not hear each other", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const b = yield* build(redis.url, prefix)
      const other = yield* build(redis.url, `${prefix}:c`)
      const names = ["room", "room:1", "*", "__proto__", "}", "{1}", "c:room"]
      const subscriptions = yield* Effect.forEach(names, (topic) => b.subscribe(topic))
      const stranger = yield* other.subscribe("room")
      for (const topic of names) yield* a.publish(topic, `to ${topic}`)
      for (const [i, topic] of names.entries()) {
        expect(yield* subscriptions[i]?.take ?? Effect.succeed([])).toEqual([`to ${topic}`])
      }
      yield* other.publish("room", "own")
      expect(yield* stranger.take).toEqual(["own"])
    })
  )

  it.scopedLive("a text whose topic is not its channel's, or that is none of ours, is dropped", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const { take } = yield* a.subscribe("room")
      const forge = (text: string) => Effect.promise(() => redis.command("PUBLISH", `${prefix}:c:room`, text))
      yield* forge(JSON.stringify(["x", "lobby", "forged"]))
      yield* forge("no JSON")
      yield* forge(JSON.stringify(["x", "room", 7]))
      yield* forge(JSON.stringify(["x", "room", "good"]))
      expect(yield* take).toEqual(["good"])
    })
  )

  it.scopedLive("there is a subscription in Redis for each topic that is listened to, and none after", () =>
    Effect.gen(function* () {
      const prefix = `world ${++worlds}`
      const a = yield* build(redis.url, prefix)
      const channels = Effect.promise(() => redis.command("PUBSUB", "CHANNELS", `${prefix}:*`))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* a.subscribe("room")
          yield* a.subscribe("room")
          expect(yield* channels).toMatch(/^\*1\r/)
        })
      )
      yield* Effect.repeat(channels, { until: (answer) => answer.startsWith("*0") })
    })
  )

  it.scopedLive(
    "with Redis away a text still reaches those here; what others missed is counted; after it they hear again",
    () =>
      Effect.gen(function* () {
        const prefix = `world ${++worlds}`
        const a = yield* build(proxy.url, prefix)
        const b = yield* build(redis.url, prefix)
        const here = yield* a.subscribe("room")
        const there = yield* b.subscribe("room")
        const before = yield* unpublished
        proxy.cut()
        yield* Effect.repeat(Effect.zipRight(Effect.sleep("10 millis"), a.publish("room", "missed")), {
          until: () => Effect.map(unpublished, (n) => n > before)
        })
        expect((yield* here.take)[0]).toBe("missed")
        proxy.mend()
        // Until the way is open again.
        let heard: ReadonlyArray<string> = []
        yield* Effect.race(
          Effect.forever(Effect.zipRight(a.publish("room", "again"), Effect.sleep("20 millis"))),
          Effect.map(there.take, (texts) => {
            heard = texts
          })
        )
        expect(heard[0]).toBe("again")
        // And back.
        yield* here.take
        yield* Effect.race(
          Effect.forever(Effect.zipRight(b.publish("room", "back"), Effect.sleep("20 millis"))),
          Effect.repeat(here.take, { until: (texts) => texts.includes("back") })
        )
      })
  )

  it.scopedLive("presence:{topic} is made here of what is seen of the topic, and never sent", () =>
    Effect.gen(function* () {
      const options = { url: redis.url, prefix: `world ${++worlds}` }
      const a = yield* Layer.build(PresenceRedis.layer(options))
      const b = yield* Layer.build(PresenceRedis.layer(options))
      const presence = Context.get(a, Presence)
      yield* presence.track("room", "early")
      // Nobody follows the topic there but this channel.
      const { take } = yield* Context.get(b, Channels).subscribe("presence:room")
      yield* Effect.scoped(presence.track("room", "alice", { a: 1 }))
      const texts: Array<string> = []
      while (texts.length < 2) texts.push(...(yield* take))
      expect(texts).toEqual(['{"type":"join","key":"alice","meta":{"a":1}}', '{"type":"leave","key":"alice"}'])
      // Nobody forges a join by publishing elsewhere.
      yield* Context.get(a, Channels).publish("presence:room", "forged")
      yield* presence.track("room", "bob")
      expect(yield* take).toEqual(['{"type":"join","key":"bob","meta":{}}'])
    })
  )
})
