/**
 * The service through its public API, under `TestClock`, against the naive model of `world.ts`.
 *
 * After each command everything that can be read is compared. Followers of `changes` and of `events` read late or
 * hardly ever; whatever they have read must be a state that was, and lead to the state that is.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  type Chunk,
  Context,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Scope,
  Stream,
  TestClock,
  TestContext
} from "effect"
import {
  Channels,
  Presence,
  type PresenceChange,
  type PresenceEntry,
  type PresenceEvent,
  PresenceState,
  type Subscription
} from "../../src/index.js"
import { apply, type Copy } from "../support/follow.js"
import { holds } from "../support/property.js"
import { type Command, keys, metas, run, type Settings, topics } from "./commands.js"
import { type Status, type Tracked, World } from "./world.js"

interface Follower {
  readonly topic: string
  readonly scope: Scope.CloseableScope
  readonly pull: Effect.Effect<Chunk.Chunk<PresenceChange>, unknown>
  copy: Copy | undefined
  /** What the package itself makes of the changes. */
  state: PresenceState
}

interface Listener {
  readonly topic: string
  readonly scope: Scope.CloseableScope
  readonly subscription: Subscription<PresenceEvent>
  /** How much of the topic's log it has heard or lost, and how many changes there were then. */
  heard: number
  changes: number
}

/** What was compared, to see that the test does look at something. */
const compared = { states: 0, snapshots: 0, resumed: 0, lags: 0, rejoins: 0, replaced: 0 }

/** Leases expire all the time here, of which the first of each layer is told. */
const quiet = Layer.merge(TestContext.TestContext, Logger.remove(Logger.defaultLogger))

const play = ({ settings, commands }: { readonly settings: Settings; readonly commands: ReadonlyArray<Command> }) =>
  Effect.gen(function* () {
    const layerScope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      Presence.layer({
        ttl: "3 seconds",
        sweepInterval: settings.sweeps ? "1 second" : Duration.infinity,
        bufferSize: settings.bufferSize,
        capacity: 16_384
      }),
      layerScope
    )
    const presence = Context.get(context, Presence)
    const channels = Context.get(context, Channels)
    const world = new World<Presence.Lease>()

    const mirrors = yield* Effect.forEach(topics, (topic) =>
      Scope.extend(channels.subscribe(`presence:${topic}`), layerScope)
    )
    /** Everything told on a topic, in the order it was told. */
    const logs = new Map<string, Array<string>>(topics.map((topic) => [topic, []]))
    const log = (topic: string): Array<string> => logs.get(topic) ?? []

    const scopes = yield* Effect.replicateEffect(Scope.make(), 4)
    const followers: Array<Follower> = []
    const listeners: Array<Listener> = []
    const endings: Array<readonly [Tracked<Presence.Lease>, Fiber.RuntimeFiber<string>]> = []
    /** The epochs of lives that are over. */
    const past = new Set<string>()
    const lives = new Map<string, { epoch: string; base: number }>()
    /** What was seen of a topic when it was last looked at. */
    const looks = new Map<string, { list: ReadonlyArray<PresenceEntry>; changes: number; followers: number }>()

    const open = (topic: string, since?: Copy, state = PresenceState.empty()) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const pull = yield* Scope.extend(
          Stream.toPull(presence.changes(topic, since === undefined ? undefined : { since })),
          scope
        )
        const follower: Follower = { topic, scope, pull, copy: since, state }
        followers.push(follower)
        world.follow(topic)
        // It follows from its first read on, so it reads at once.
        yield* read(follower, since)
      })

    const read = (follower: Follower, since?: Copy) =>
      Effect.gen(function* () {
        const { topic } = follower
        const now = yield* presence.snapshot(topic)
        const first = follower.copy === undefined || since !== undefined
        if (!first && follower.copy?.version === now.version) return
        const behind = now.version - (follower.copy?.version ?? now.version)
        for (const change of yield* promptly(follower.pull)) {
          if (change._tag === "Snapshot" && !first) {
            same("a new snapshot for a follower that lags", behind > settings.bufferSize, true)
            compared.snapshots++
          }
          if (change._tag === "Diff" && since !== undefined) compared.resumed++
          follower.copy = apply(follower.copy, change)
          follower.state = follower.state.apply(change)
          same("the state of a follower", stateOf(follower.state), entriesOf(follower.copy))
          const life = lives.get(topic)
          const state =
            life?.epoch === change.epoch ? world.topic(topic).history.get(change.version - life.base) : undefined
          if (state !== undefined) {
            compared.states++
            same("a follower's copy", shape(follower.copy), state)
          }
        }
        if (since !== undefined && follower.copy?.version === now.version) {
          same("a copy that was resumed", shape(follower.copy), world.state(topic))
        }
      })

    const hear = (listener: Listener) =>
      Effect.gen(function* () {
        const all = log(listener.topic)
        if (listener.heard === all.length) return
        const behind = world.topic(listener.topic).changes - listener.changes
        const result = yield* Effect.either(promptly(listener.subscription.take))
        let missed = 0
        let events: ReadonlyArray<PresenceEvent> = []
        if (Either.isLeft(result)) {
          same("a lag over the buffer", behind > settings.bufferSize, true)
          same("the topic of a lag", result.left.topic, listener.topic)
          compared.lags++
          missed = result.left.missed
          // What is kept may be changes that make no event.
          if (listener.heard + missed < all.length) events = yield* promptly(listener.subscription.take)
        } else events = result.right
        same(
          "what a listener hears",
          events.map((event) => JSON.stringify(event)).join(),
          all.slice(listener.heard + missed).join()
        )
        listener.heard = all.length
        listener.changes = world.topic(listener.topic).changes
      })

    /** What was told since the last look is what the model says, in its order. */
    const compareEvents = Effect.gen(function* () {
      for (const [i, name] of topics.entries()) {
        const topic = world.topic(name)
        const groups = topic.groups.filter((group) => group.length > 0)
        topic.groups = []
        if (groups.length === 0) continue
        const told = yield* (mirrors[i] as Subscription<string>).take
        let at = 0
        for (const group of groups) {
          same("what is told", [...told.slice(at, at + group.length)].sort().join(), [...group].sort().join())
          at += group.length
        }
        same("the number of events", told.length, at)
        log(name).push(...told)
      }
    })

    const compareStates = Effect.gen(function* () {
      for (const name of topics) {
        const topic = world.topic(name)
        const list = yield* presence.list(name)
        const seen = looks.get(name)
        if (seen?.changes === topic.changes && seen.followers === topic.followers) {
          if (list !== seen.list) throw new Error(`nothing changed on ${name}, and its list is another array`)
          continue
        }
        looks.set(name, { list, changes: topic.changes, followers: topic.followers })
        const members = world.of(name)
        same("the list", JSON.stringify(list), JSON.stringify(world.list(name)))
        const count = { keys: new Set(members.map(({ key }) => key)).size, connections: members.length }
        same("the count", JSON.stringify(yield* presence.count(name)), JSON.stringify(count))
        same("the topics", JSON.stringify([...(yield* presence.topics)].sort()), JSON.stringify(world.topicNames()))
        const snapshot = yield* presence.snapshot(name)
        same("the snapshot", shape(snapshot), world.state(name))
        if (topic.ended) {
          const life = lives.get(name)
          if (life !== undefined) past.add(life.epoch)
          lives.delete(name)
          topic.ended = false
        }
        if (topic.followers === 0 && snapshot.connections.length === 0) continue
        const life = lives.get(name)
        if (life === undefined) {
          if (past.has(snapshot.epoch)) throw new Error(`${name} has the epoch of a life that was over`)
          lives.set(name, { epoch: snapshot.epoch, base: snapshot.version - topic.version })
          topic.history.set(topic.version, world.state(name))
        } else {
          same("the epoch", snapshot.epoch, life.epoch)
          same("the version", snapshot.version, life.base + topic.version)
        }
      }
    })

    const perform = (command: Command): Effect.Effect<void, unknown, never> =>
      Effect.gen(function* () {
        switch (command.do) {
          case "nothing":
            return
          case "track": {
            const topic = pick(topics, command.topic)
            const key = pick(keys, command.key)
            const meta = pick(metas, command.meta)
            const seconds = (n: number) => (n === Number.POSITIVE_INFINITY ? Duration.infinity : Duration.seconds(n))
            const lease = yield* Scope.extend(
              presence.track(topic, key, meta, { ttl: seconds(command.ttl), leaveDelay: seconds(command.delay) }),
              pick(scopes, command.scope)
            )
            const { scope, ttl, delay } = command
            const tracked: Tracked<Presence.Lease> = {
              lease,
              topic,
              key,
              meta,
              scope,
              ttl,
              delay,
              status: "released",
              deadline: 0
            }
            if (world.of(topic).some((other) => other.key === key && other.status === "lingering")) compared.replaced++
            world.track(tracked)
            // Few wait from the beginning: the TestClock looks at every fiber whenever time passes.
            if (world.all.length % 8 === 1) endings.push([tracked, yield* Effect.fork(lease.ended)])
            return
          }
          case "close":
            yield* Scope.close(pick(scopes, command.scope), Exit.void)
            world.closeScope(command.scope)
            scopes[command.scope] = yield* Scope.make()
            return
          case "sweep":
            same("what was swept", yield* presence.sweepExpired, world.sweep())
            return
          case "pass":
            yield* TestClock.adjust(Duration.seconds(command.seconds))
            for (let i = 0; i < command.seconds; i++) world.pass(settings.sweeps)
            return
          case "evict": {
            const topic = pick(topics, command.topic)
            const key = pick(keys, command.key)
            same("what was evicted", yield* presence.evict(topic, key), world.evict(topic, key))
            return
          }
          case "follow":
            if (followers.length < 5) yield* open(pick(topics, command.topic))
            return
          case "listen": {
            if (listeners.length === 4) return
            const topic = pick(topics, command.topic)
            const scope = yield* Scope.make()
            const subscription = yield* Scope.extend(presence.subscribe(topic), scope)
            world.follow(topic)
            const { changes } = world.topic(topic)
            listeners.push({ topic, scope, subscription, heard: log(topic).length, changes })
            return
          }
          case "read":
            if (followers.length > 0) yield* read(pick(followers, command.who))
            return
          case "resume": {
            if (followers.length === 0) return
            const follower = pick(followers, command.who)
            yield* open(follower.topic, follower.copy, follower.state)
            yield* unfollow(followers, follower)
            return
          }
          case "unfollow":
            if (followers.length > 0) yield* unfollow(followers, pick(followers, command.who))
            return
          case "hear":
            if (listeners.length > 0) yield* hear(pick(listeners, command.who))
            return
          case "unlisten":
            if (listeners.length > 0) yield* unfollow(listeners, pick(listeners, command.who))
            return
        }
        const { all } = world
        if (all.length === 0) return
        const tracked = pick(all, command.lease)
        const { lease } = tracked
        const ref = lease.ref
        switch (command.do) {
          case "release":
            yield* lease.release
            world.release(tracked)
            return
          case "refresh": {
            const answer = world.refresh(tracked)
            same("the answer to refresh", yield* lease.refresh, answer)
            same("a new ref", lease.ref !== ref, answer === "rejoined")
            if (answer === "rejoined") compared.rejoins++
            // The model noted the state before the lease had its new ref.
            noteState(tracked)
            return
          }
          case "update": {
            const chosen = pick(metas, command.meta)
            const next = command.function ? (tracked.meta === chosen ? metas[0] : chosen) : chosen
            const before = tracked.meta
            const version = world.topic(tracked.topic).version
            const answer = world.update(tracked, next)
            const changed = answer === "rejoined" || version !== world.topic(tracked.topic).version
            const given: Array<unknown> = []
            const result = command.function
              ? lease.update((meta) => {
                  given.push(meta)
                  return next
                })
              : lease.update(next)
            same("the answer to update", yield* result, answer)
            same(
              "what the function was given",
              JSON.stringify(given),
              JSON.stringify(command.function && answer !== "evicted" && answer !== "released" ? [before] : [])
            )
            same("a new ref", lease.ref !== ref, changed)
            noteState(tracked)
            return
          }
        }
      })

    const noteState = ({ topic }: Tracked<Presence.Lease>) => {
      if (world.of(topic).length > 0) world.topic(topic).history.set(world.topic(topic).version, world.state(topic))
    }

    const unfollow = <A extends Follower | Listener>(among: Array<A>, one: A) =>
      Effect.gen(function* () {
        among.splice(among.indexOf(one), 1)
        yield* Scope.close(one.scope, Exit.void)
        world.unfollow(one.topic)
      })

    for (const command of commands) {
      yield* perform(command)
      yield* compareEvents
      yield* compareStates
    }

    // Who lags reads to the end and then knows what there is.
    for (const follower of followers) {
      yield* read(follower)
      expect(shape(follower.copy)).toBe(world.state(follower.topic))
    }
    for (const listener of listeners) yield* hear(listener)

    // Leases that have ended are told, the others are not; and all are when the layer closes.
    for (const tracked of world.all) endings.push([tracked, yield* Effect.fork(tracked.lease.ended)])
    yield* Effect.yieldNow()
    const over: ReadonlyArray<Status> = ["evicted", "released"]
    for (const [{ status }, fiber] of endings) {
      const exit = fiber.unsafePoll()
      same("an end", exit === null ? "open" : yield* exit, over.includes(status) ? status : "open")
    }
    yield* Scope.close(layerScope, Exit.void)
    for (const [{ status }, fiber] of endings) {
      same("an end", yield* Fiber.join(fiber), status === "evicted" ? "evicted" : "released")
    }
    for (const follower of followers) {
      for (;;) {
        const chunk = yield* Effect.option(promptly(follower.pull))
        if (Option.isNone(chunk)) break
        for (const change of chunk.value) {
          follower.copy = apply(follower.copy, change)
          follower.state = follower.state.apply(change)
        }
      }
      expect(follower.copy?.connections).toEqual([])
      expect(follower.state.entries).toEqual([])
    }
    for (const scope of [...scopes, ...followers.map((f) => f.scope), ...listeners.map((l) => l.scope)]) {
      yield* Scope.close(scope, Exit.void)
    }
  })

const pick = <A>(from: ReadonlyArray<A>, i: number): A => from[i % from.length] as A

const shape = (copy: { readonly connections: Copy["connections"] } | undefined): string =>
  JSON.stringify(copy?.connections.map(({ key, ref, meta }) => [key, ref, meta]) ?? "nothing yet")

const stateOf = ({ entries, count }: PresenceState): string => JSON.stringify([entries, count])

const entriesOf = ({ connections }: Copy): string => {
  const entries = new Map<string, Array<unknown>>()
  for (const { key, meta } of connections) entries.set(key, [...(entries.get(key) ?? []), meta])
  const count = { keys: entries.size, connections: connections.length }
  return JSON.stringify([Array.from(entries, ([key, metas]) => ({ key, metas })), count])
}

/** `expect` is too slow for what is compared a million times. */
const same = <A extends string | number | boolean>(what: string, actual: A, expected: A): void => {
  if (actual !== expected) throw new Error(`${what} is ${actual}, and should be ${expected}`)
}

/** What should not have to wait, without waiting for ever. */
const promptly = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (let i = 0; i < 100; i++) {
      const exit = fiber.unsafePoll()
      if (exit !== null) return yield* exit
      yield* Effect.yieldNow()
    }
    yield* Fiber.interruptFork(fiber)
    return yield* Effect.dieMessage("somebody waits for what is there")
  })

describe("presence against a naive list", () => {
  it.live("500 runs of 100 commands: state, events, and what late and lagging followers make of them", () =>
    Effect.gen(function* () {
      yield* holds({ name: "presence model", runs: 500, atOnce: 16 }, run, (value) =>
        Effect.provide(play(value), quiet)
      )
      for (const [what, times] of Object.entries(compared)) expect(times, what).toBeGreaterThan(100)
    })
  )
})
