/**
 * Channels in process: a hub for each topic that somebody subscribes to, and the counts.
 */
import { Effect, type Scope } from "effect"
import { InvalidTopic } from "../../PresenceError.js"
import type { Subscription } from "../../Subscription.js"
import { checkNames, readCapacity, readFunction } from "../input/options.js"
import { type HearDirectly, withHear } from "./direct.js"
import { Hubs } from "./hub.js"

export interface ChannelStats {
  readonly subscribers: number
  readonly published: number
  readonly dropped: number
  readonly lagged: number
}

const DEFAULT_CAPACITY = 32

export interface SubscribeOptions<E, R> {
  readonly authorize?: ((topic: string) => Effect.Effect<unknown, E, R>) | undefined
  readonly capacity?: number | undefined
}

const one = (text: string): ReadonlyArray<string> => [text]

/** Told when a topic gets its first subscriber, or loses its last. */
export interface TopicsWatcher {
  readonly open: (topic: string) => void
  readonly close: (topic: string) => void
}

const untold: TopicsWatcher = { open: () => {}, close: () => {} }

export const make = (
  options: { readonly capacity?: number | undefined } = {},
  { open, close }: TopicsWatcher = untold
) =>
  Effect.gen(function* () {
    checkNames("options", options, ["capacity"])
    const total = { published: 0, dropped: 0, lagged: 0 }
    const hubs = new Hubs<string, void>(readCapacity(options.capacity) ?? DEFAULT_CAPACITY, {
      step: (f) => Effect.sync(f),
      open,
      close,
      lag: (missed) => {
        total.lagged += missed
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => hubs.close()))

    const unsafePublish = (topic: string, text: string | (() => string)): number => {
      const hub = hubs.get(topic)
      const receivers = hub === undefined ? 0 : hub.subscribers
      if (hub === undefined || hub.closed || receivers === 0) {
        total.dropped++
        return 0
      }
      total.published++
      return hub.offer(typeof text === "string" ? text : text())
    }

    const publish = (topic: string, text: string): Effect.Effect<number, InvalidTopic> =>
      Effect.suspend(() => (isUsable(topic) ? Effect.succeed(unsafePublish(topic, text)) : refuse(topic)))

    const subscribe = <E = never, R = never>(
      topic: string,
      options: SubscribeOptions<E, R> = {}
    ): Effect.Effect<Subscription<string>, E | InvalidTopic, R | Scope.Scope> =>
      Effect.suspend((): Effect.Effect<Subscription<string>, E | InvalidTopic, R | Scope.Scope> => {
        checkNames("options", options, ["authorize", "capacity"])
        if (!isUsable(topic)) return refuse(topic)
        const capacity = readCapacity(options.capacity)
        const subscribed = hubs.subscribe(topic, one, capacity)
        if (options.authorize === undefined) return subscribed
        const authorize = readFunction("authorize", options.authorize, "a function that fails for who may not")
        return Effect.zipRight(authorize(topic), subscribed)
      })

    const stats = Effect.sync(() => {
      const topics = new Map<string, ChannelStats>()
      let subscribers = 0
      for (const hub of hubs.entries()) {
        subscribers += hub.subscribers
        topics.set(hub.topic, { subscribers: hub.subscribers, published: hub.offered, dropped: 0, lagged: hub.lost })
      }
      return { topics, total: { subscribers, ...total } }
    })

    const hear: HearDirectly = (topic, onText) => hubs.listen(topic, { onValue: onText, onEnd: () => {} })

    return withHear({ publish, unsafePublish, subscribe, stats }, hear)
  })

export const isUsable = (topic: string): boolean => typeof topic === "string" && topic.length > 0

const refuse = (topic: string): Effect.Effect<never, InvalidTopic> =>
  Effect.fail(new InvalidTopic({ topic: typeof topic === "string" ? topic : typeof topic, reason: "is empty" }))
