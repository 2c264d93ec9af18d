/**
 * Channels over several replicas: what is said goes to Redis and to those here, who hear it first.
 *
 * A subscription in Redis for each topic that somebody here subscribes to. What comes carries its origin and its
 * topic: echoes of our own, and texts whose topic is not their channel's, are dropped. Nothing that Redis does or does
 * not do touches local delivery; what others missed while it was away is lost to them, and counted.
 *
 * `presence:{topic}` is never sent: each replica makes these texts of what it sees of the topic.
 */
import { Effect, type Scope } from "effect"
import { isUsable, make, type SubscribeOptions, type TopicsWatcher } from "../internal/feed/channels.js"
import { type HearDirectly, hearOf, withHear } from "../internal/feed/direct.js"
import type { Port } from "./client/port.js"
import { noStop, within } from "./client/waiting.js"
import * as metrics from "./metrics.js"
import { understood } from "./protocol/format.js"

/** The channels that mirror presence. */
export const MIRROR = "presence:"

export interface ChannelsOptions {
  readonly port: Port
  readonly prefix: string
  readonly timeout: number
  /** Names this process. */
  readonly origin: string
  readonly capacity: number | undefined
  /** Follows a topic of presence until the scope closes, so that its channel has something to say. */
  readonly mirror: (topic: string) => Effect.Effect<void, never, Scope.Scope>
}

export const makeChannels = ({ port, prefix, timeout, origin, capacity, mirror }: ChannelsOptions) =>
  Effect.gen(function* () {
    const base = `${prefix}:c:`
    const isMirror = (topic: string): boolean => topic.startsWith(MIRROR)
    /** The topics that are listened to here, each with the acknowledgement of its subscription. */
    const subscribed = new Map<string, Promise<void>>()

    const onReady: Array<() => void> = []
    const whenReady = (): Promise<void> => new Promise((resolve) => onReady.push(resolve))

    const topics: TopicsWatcher = {
      open: (topic) => {
        if (isMirror(topic)) return
        subscribed.set(topic, port.isSubscriberReady() ? settled(port.subscribe([base + topic])) : whenReady())
      },
      close: (topic) => {
        if (!subscribed.delete(topic)) return
        void settled(port.unsubscribe([base + topic]))
      }
    }
    const local = yield* make({ capacity }, topics)

    const acknowledged = (promise: Promise<void> | undefined): Effect.Effect<unknown> =>
      promise === undefined
        ? Effect.void
        : within<void>(timeout, (done) => {
            void promise.then(done)
            return noStop
          })

    /** On its way before anybody here hears it, who may answer at once: the answer comes after it everywhere. */
    const send = (topic: string, text: string): void => {
      const missed = (): void => metrics.add(metrics.unpublished, 1)
      if (port.isReady()) port.publish(base + topic, JSON.stringify([origin, topic, text])).catch(missed)
      else missed()
    }

    /** As a route hears: it need not wait for Redis to acknowledge the subscription. */
    const hear: HearDirectly = (topic, onText) => hearOf(local)?.(topic, onText) ?? (() => {})

    const service = {
      ...local,
      publish: (topic: string, text: string) =>
        Effect.suspend(() => {
          if (isUsable(topic) && !isMirror(topic)) send(topic, text)
          return local.publish(topic, text)
        }),
      unsafePublish: (topic: string, text: string | (() => string)) => {
        if (!isUsable(topic) || isMirror(topic)) return local.unsafePublish(topic, text)
        // Who reads it elsewhere is not known here.
        const made = typeof text === "string" ? text : text()
        send(topic, made)
        return local.unsafePublish(topic, made)
      },
      subscribe: <E = never, R = never>(topic: string, options?: SubscribeOptions<E, R>) =>
        Effect.tap(local.subscribe(topic, options), () =>
          isMirror(topic) ? mirror(topic.slice(MIRROR.length)) : acknowledged(subscribed.get(topic))
        )
    }

    return {
      service: withHear(service, hear),
      /** Whether the channel is one of these. */
      onMessage: (channel: string, text: string): boolean => {
        if (!channel.startsWith(base)) return false
        const [from, topic, said] = understood(JSON.parse(text))
        if (from !== origin && typeof said === "string" && topic === channel.slice(base.length)) {
          local.unsafePublish(channel.slice(base.length), said)
        }
        return true
      },
      onSubscriberReady: async (): Promise<void> => {
        await port.subscribe(Array.from(subscribed.keys(), (topic) => base + topic))
        // Not before it worked: else they would wait for the next time, and be forgotten then.
        for (const resume of onReady.splice(0)) resume()
      }
    }
  })

/** Whether or not it worked: when the subscriber is there again everything is subscribed to again. */
const settled = (promise: Promise<void>): Promise<void> => promise.catch(() => {})
