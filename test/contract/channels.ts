/**
 * What any `Channels` does, first the tests of the original under their names.
 */
import { describe, expect } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { Channels, InvalidTopic, Lagged, type Subscription } from "../../src/index.js"
import { type Time, testTime } from "./Subject.js"

/** A fresh service at each call. */
export type MakeChannels = (options?: Channels.Options) => Layer.Layer<Channels, unknown>

class Forbidden extends Data.TaggedError("Forbidden")<{ readonly topic: string }> {}

class User extends Context.Tag("test/User")<User, string>() {}

export const channelsContract = (name: string, layer: MakeChannels, time: Time = testTime): void => {
  const check = (
    title: string,
    body: (channels: Channels.Service) => Effect.Effect<void, unknown, Scope.Scope>,
    options?: Channels.Options
  ) => time.test(title, () => Effect.provide(Effect.scoped(Effect.flatMap(Channels, body)), layer(options)))

  /** Publishes, and fails the test when the topic is refused. */
  const send = (channels: Channels.Service, topic: string, ...texts: ReadonlyArray<string>) =>
    Effect.forEach(texts, (text) => channels.publish(topic, text))

  /** Takes until so many texts are there. */
  const takeN = (subscription: Subscription<string>, n: number) =>
    Effect.gen(function* () {
      const texts: Array<string> = []
      while (texts.length < n) texts.push(...(yield* subscription.take))
      return texts
    })

  describe(`${name}: channels of the original`, () => {
    check("create_channels", (channels) =>
      Effect.gen(function* () {
        const stats = yield* channels.stats
        expect(stats.topics.size).toBe(0)
        expect(stats.total).toEqual({ subscribers: 0, published: 0, dropped: 0, lagged: 0 })
      })
    )

    check("subscribe_creates_channel_lazily", (channels) =>
      Effect.gen(function* () {
        yield* channels.publish("room", "into the void")
        expect([...(yield* channels.stats).topics.keys()]).toEqual([])
        yield* channels.subscribe("room")
        expect([...(yield* channels.stats).topics.keys()]).toEqual(["room"])
      })
    )

    check("send_and_receive", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        expect(yield* channels.publish("room", "hello")).toBe(1)
        expect(yield* subscription.take).toEqual(["hello"])
      })
    )

    check("multiple_subscribers", (channels) =>
      Effect.gen(function* () {
        const first = yield* channels.subscribe("room")
        const second = yield* channels.subscribe("room")
        expect(yield* channels.publish("room", "hello")).toBe(2)
        expect(yield* first.take).toEqual(["hello"])
        expect(yield* second.take).toEqual(["hello"])
      })
    )

    check("snapshot_returns_channel_metrics", (channels) =>
      Effect.gen(function* () {
        yield* channels.subscribe("room")
        yield* channels.subscribe("room")
        yield* channels.subscribe("lobby")
        yield* send(channels, "room", "1", "2", "3")
        const stats = yield* channels.stats
        expect(stats.topics.get("room")).toEqual({ subscribers: 2, published: 3, dropped: 0, lagged: 0 })
        expect(stats.topics.get("lobby")).toEqual({ subscribers: 1, published: 0, dropped: 0, lagged: 0 })
        expect(stats.total).toEqual({ subscribers: 3, published: 3, dropped: 0, lagged: 0 })
      })
    )

    check("snapshot_counts_dropped_publish_without_successful_delivery", (channels) =>
      Effect.gen(function* () {
        expect(yield* send(channels, "nobody", "1", "2")).toEqual([0, 0])
        const stats = yield* channels.stats
        expect(stats.total).toEqual({ subscribers: 0, published: 0, dropped: 2, lagged: 0 })
        expect(stats.topics.size).toBe(0)
      })
    )

    check("gc_prunes_metrics_for_removed_idle_topics", (channels) =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* channels.subscribe("room")
            yield* channels.publish("room", "hello")
            expect((yield* channels.stats).topics.size).toBe(1)
          })
        )
        const stats = yield* channels.stats
        expect(stats.topics.size).toBe(0)
        expect(stats.total).toEqual({ subscribers: 0, published: 1, dropped: 0, lagged: 0 })
      })
    )

    check("subscribe_authorized_rejects_before_creating_subscriber", (channels) =>
      Effect.gen(function* () {
        const refusal = new Forbidden({ topic: "secret" })
        let sizeWhenAsked = -1
        const error = yield* Effect.flip(
          channels.subscribe("secret", {
            authorize: () =>
              Effect.zipRight(
                Effect.map(channels.stats, (stats) => {
                  sizeWhenAsked = stats.topics.size
                }),
                Effect.fail(refusal)
              )
          })
        )
        expect(error).toBe(refusal)
        expect(sizeWhenAsked).toBe(0)
        expect((yield* channels.stats).topics.size).toBe(0)
        expect(yield* channels.publish("secret", "x")).toBe(0)
      })
    )

    check("subscribe_authorized_allows_after_hook_passes", (channels) =>
      Effect.gen(function* () {
        const asked: Array<string> = []
        const subscription = yield* channels
          .subscribe("room", {
            authorize: (topic) => Effect.map(User, (user) => asked.push(`${user} ${topic}`))
          })
          .pipe(Effect.provideService(User, "alice"))
        expect(asked).toEqual(["alice room"])
        yield* channels.publish("room", "welcome")
        expect(yield* subscription.take).toEqual(["welcome"])
      })
    )

    check(
      "a capacity of zero is one",
      (channels) =>
        Effect.gen(function* () {
          const subscription = yield* channels.subscribe("room")
          yield* send(channels, "room", "1")
          expect(yield* subscription.take).toEqual(["1"])
          yield* send(channels, "room", "2", "3")
          expect(yield* Effect.flip(subscription.take)).toEqual(new Lagged({ topic: "room", missed: 1 }))
          expect(yield* subscription.take).toEqual(["3"])
        }),
      { capacity: 0 }
    )

    check("a subscriber may name a capacity of its own, and others keep theirs", (channels) =>
      Effect.gen(function* () {
        const patient = yield* channels.subscribe("room", { capacity: 1_000 })
        const hasty = yield* channels.subscribe("room", { capacity: 2 })
        const usual = yield* channels.subscribe("room")
        const texts = Array.from({ length: 1_001 }, (_, i) => String(i))
        yield* send(channels, "room", ...texts)
        expect(yield* Effect.flip(patient.take)).toEqual(new Lagged({ topic: "room", missed: 1 }))
        expect(yield* patient.take).toEqual(texts.slice(1))
        expect(yield* Effect.flip(hasty.take)).toEqual(new Lagged({ topic: "room", missed: 999 }))
        expect(yield* hasty.take).toEqual(["999", "1000"])
        expect(yield* Effect.flip(usual.take)).toEqual(new Lagged({ topic: "room", missed: 969 }))
        expect(yield* usual.take).toEqual(texts.slice(-32))
      })
    )

    check("a capacity that is no number is refused, as it would be no bound", (channels) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(channels.subscribe("room", { capacity: "many" as unknown as number }))
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
          _tag: "InvalidOption",
          option: "capacity",
          value: '"many"'
        })
        expect((yield* channels.stats).total.subscribers).toBe(0)
      })
    )

    check("an option of another name is refused, as whoever misspells authorize would let in everybody", (channels) =>
      Effect.gen(function* () {
        for (const [options, option] of [
          [{ authorise: () => Effect.fail("no") }, "authorise"],
          [{ authorize: "nobody" }, "authorize"],
          [null, "options"]
        ] as const) {
          const exit = yield* Effect.exit(channels.subscribe("room", options as never))
          expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({ _tag: "InvalidOption", option })
        }
        expect((yield* channels.stats).total.subscribers).toBe(0)
        yield* channels.subscribe("room", { authorize: undefined, capacity: undefined })
      })
    )

    check(
      "a huge capacity is 16,384",
      (channels) =>
        Effect.gen(function* () {
          const subscription = yield* channels.subscribe("room")
          for (let i = 0; i < 16_390; i++) channels.unsafePublish("room", String(i))
          expect(yield* Effect.flip(subscription.take)).toEqual(new Lagged({ topic: "room", missed: 6 }))
          const texts = yield* takeN(subscription, 16_384)
          expect([texts[0], texts.at(-1), texts.length]).toEqual(["6", "16389", 16_384])
        }),
      { capacity: 1_000_000_000 }
    )

    check("a subscriber is 32 behind without a loss", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        for (let i = 1; i <= 32; i++) channels.unsafePublish("room", String(i))
        expect(yield* takeN(subscription, 32)).toHaveLength(32)
        for (let i = 1; i <= 33; i++) channels.unsafePublish("room", String(i))
        expect(yield* Effect.flip(subscription.take)).toEqual(new Lagged({ topic: "room", missed: 1 }))
      })
    )

    check(
      "a subscriber that lags is told once how many it lost and goes on with the oldest kept",
      (channels) =>
        Effect.gen(function* () {
          const slow = yield* channels.subscribe("room")
          const quick = yield* channels.subscribe("room")
          const seen: Array<string> = []
          for (let i = 1; i <= 5; i++) {
            expect(yield* channels.publish("room", String(i))).toBe(2)
            seen.push(...(yield* quick.take))
          }
          expect(seen).toEqual(["1", "2", "3", "4", "5"])
          expect(yield* Effect.flip(slow.take)).toEqual(new Lagged({ topic: "room", missed: 3 }))
          expect(yield* slow.take).toEqual(["4", "5"])
          yield* channels.publish("room", "6")
          expect(yield* slow.take).toEqual(["6"])
          const stats = yield* channels.stats
          expect(stats.topics.get("room")?.lagged).toBe(3)
          expect(stats.total.lagged).toBe(3)
        }),
      { capacity: 2 }
    )
  })

  describe(`${name}: channels`, () => {
    check("take gives everything that waits, in the order it was published", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        yield* send(channels, "room", "1", "2", "3")
        expect(yield* takeN(subscription, 3)).toEqual(["1", "2", "3"])
      })
    )

    check("take waits until there is something", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        const fiber = yield* Effect.fork(subscription.take)
        yield* Effect.yieldNow()
        yield* Effect.yieldNow()
        expect(fiber.unsafePoll()).toBeNull()
        yield* channels.publish("room", "at last")
        expect(yield* Fiber.join(fiber)).toEqual(["at last"])
      })
    )

    check("a take that is interrupted loses nothing", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        const fiber = yield* Effect.fork(subscription.take)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        yield* channels.publish("room", "1")
        expect(yield* subscription.take).toEqual(["1"])
      })
    )

    check("a subscription is in place once subscribe returns", (channels) =>
      Effect.gen(function* () {
        const { stream } = yield* channels.subscribe("room")
        yield* send(channels, "room", "1", "2")
        expect(yield* Stream.runCollect(Stream.take(stream, 2)).pipe(Effect.map((texts) => [...texts]))).toEqual([
          "1",
          "2"
        ])
      })
    )

    check(
      "a stream that failed with Lagged can be run again",
      (channels) =>
        Effect.gen(function* () {
          const { stream } = yield* channels.subscribe("room")
          yield* send(channels, "room", "1", "2", "3")
          expect(yield* Effect.flip(Stream.runDrain(stream))).toEqual(new Lagged({ topic: "room", missed: 1 }))
          expect([...(yield* Stream.runCollect(Stream.take(stream, 2)))]).toEqual(["2", "3"])
        }),
      { capacity: 2 }
    )

    check("a subscription ends with its scope", (channels) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Scope.extend(channels.subscribe("room"), scope)
        const other = yield* channels.subscribe("room")
        expect(yield* channels.publish("room", "1")).toBe(2)
        yield* Scope.close(scope, Exit.void)
        expect(yield* channels.publish("room", "2")).toBe(1)
        expect(yield* takeN(other, 2)).toEqual(["1", "2"])
      })
    )

    check("a take that waits when the subscription's scope closes is interrupted", (channels) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { take } = yield* Scope.extend(channels.subscribe("room"), scope)
        const fiber = yield* Effect.fork(take)
        yield* Effect.yieldNow()
        yield* Scope.close(scope, Exit.void)
        for (let i = 0; i < 20 && fiber.unsafePoll() === null; i++) yield* Effect.yieldNow()
        const exit = fiber.unsafePoll()
        yield* Fiber.interruptFork(fiber)
        expect(exit !== null && Exit.isInterrupted(exit), "the take still waits").toBe(true)
      })
    )

    check("topics do not hear each other", (channels) =>
      Effect.gen(function* () {
        const names = ["room", "room:1", "*", "__proto__", "constructor", "}", "😀"]
        const subscriptions = yield* Effect.forEach(names, (topic) => channels.subscribe(topic))
        for (const topic of names) expect(yield* channels.publish(topic, `to ${topic}`)).toBe(1)
        for (const [i, topic] of names.entries()) {
          expect(yield* subscriptions[i]?.take ?? Effect.succeed([])).toEqual([`to ${topic}`])
        }
        expect(new Set((yield* channels.stats).topics.keys())).toEqual(new Set(names))
      })
    )

    check("an empty topic is refused, and only that", (channels) =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(channels.publish("", "x"))).toBeInstanceOf(InvalidTopic)
        expect(yield* Effect.flip(channels.subscribe(""))).toBeInstanceOf(InvalidTopic)
        expect(channels.unsafePublish("", "x")).toBe(0)
        const long = `presence:${"x".repeat(100_000)}`
        const subscription = yield* channels.subscribe(long)
        expect(yield* channels.publish(long, "x")).toBe(1)
        expect(yield* subscription.take).toEqual(["x"])
      })
    )

    check("unsafePublish delivers at once, and makes a text once for all who read it", (channels) =>
      Effect.gen(function* () {
        let made = 0
        const text = () => {
          made++
          return "made"
        }
        const first = yield* channels.subscribe("room")
        const second = yield* channels.subscribe("room")
        expect(channels.unsafePublish("room", text)).toBe(2)
        expect(yield* first.take).toEqual(["made"])
        expect(yield* second.take).toEqual(["made"])
        expect(made).toBe(1)
      })
    )

    check("what is published with and without an effect comes in the order of the calls", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        expect(channels.unsafePublish("room", "1")).toBe(1)
        expect(yield* channels.publish("room", "2")).toBe(1)
        expect(channels.unsafePublish("room", () => "3")).toBe(1)
        expect(yield* takeN(subscription, 3)).toEqual(["1", "2", "3"])
        expect(channels.unsafePublish("nobody", "x")).toBe(0)
      })
    )

    check("two takes share one subscription: each text goes to one of them", (channels) =>
      Effect.gen(function* () {
        const subscription = yield* channels.subscribe("room")
        const first = yield* Effect.fork(subscription.take)
        const second = yield* Effect.fork(subscription.take)
        yield* Effect.yieldNow()
        yield* channels.publish("room", "1")
        yield* Effect.yieldNow()
        yield* channels.publish("room", "2")
        const taken = [...(yield* Fiber.join(first)), ...(yield* Fiber.join(second))]
        expect(taken.sort()).toEqual(["1", "2"])
      })
    )

    time.test("when the layer closes what is left can be taken, then a take is interrupted", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const channels = Context.get(yield* Layer.buildWithScope(layer(), scope), Channels)
        const waiting = yield* channels.subscribe("room")
        const parked = yield* channels.subscribe("room")
        const streaming = yield* channels.subscribe("room")
        yield* channels.publish("room", "last")
        yield* parked.take
        const fiber = yield* Effect.fork(parked.take)
        const streamed = yield* Effect.fork(Stream.runCollect(streaming.stream))
        yield* Effect.yieldNow()
        yield* Scope.close(scope, Exit.void)
        expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
        expect([...(yield* Fiber.join(streamed))]).toEqual(["last"])
        expect(yield* waiting.take).toEqual(["last"])
        expect(Exit.isInterrupted(yield* Effect.exit(waiting.take))).toBe(true)
        expect([...(yield* Stream.runCollect(waiting.stream))]).toEqual([])
        expect(yield* channels.publish("room", "too late")).toBe(0)
        expect(channels.unsafePublish("room", "too late")).toBe(0)
        const late = yield* channels.subscribe("room")
        expect([...(yield* Stream.runCollect(late.stream))]).toEqual([])
      })
    )
  })
}
