/**
 * The service as promises, for programs that use no Effect.
 *
 * @since 0.2.0
 */
import { Cause, Context, Effect, Exit, Layer, Option, Scope, Stream } from "effect"
import type { Channels } from "../Channels.js"
import { checkNames } from "../internal/input/options.js"
import type { Lease } from "../Lease.js"
import { Presence } from "../Presence.js"
import { PresenceUnavailable } from "../PresenceError.js"
import { names as namesOfRedis } from "../redis/options.js"
import { explained } from "../web/missingPeers.js"
import { readChanges, readIterate, readKey, readRequest, readTopic, readTopics } from "./callOptions.js"
import { iterate } from "./iterate.js"
import type { NodeLease, NodeOptions, NodePresence, NodeTrackOptions } from "./NodePresence.js"
import type { Attached } from "./NodeRoutes.js"
import { readAttach, readFetch, readServer } from "./routeOptions.js"

/**
 * Presence in this process or, with `redis`, in all that share one. Rejects with `InvalidOption`, or with
 * `PresenceUnavailable` where Redis cannot be used.
 *
 * ```ts
 * import { createPresence } from "effect-presence/node"
 *
 * const presence = await createPresence()
 * const lease = await presence.track("post:42", "alice", { role: "viewer" }, { ttl: Infinity })
 * console.log(JSON.stringify(await presence.list("post:42"))) // [{"key":"alice","metas":[{"role":"viewer"}]}]
 * await lease.release()
 * await presence.close()
 * ```
 *
 * @since 0.2.0
 * @category constructors
 */
export const createPresence = async (options: NodeOptions = {}): Promise<NodePresence> => {
  const scope = Effect.runSync(Scope.make())
  const services = await run(
    Layer.buildWithScope(await layerOf(options), scope).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  )
  const presence = Context.get(services, Presence)
  const { limits } = presence
  /** Called before the presence ends. */
  const endings = new Set<() => Promise<void>>()
  let closing: Promise<void> | undefined

  const closed = () => new PresenceUnavailable({ reason: "this presence is closed: close() was called" })
  const open = Effect.suspend(() => (closing === undefined ? Effect.void : Effect.fail(closed())))
  const call = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => run(Effect.zipRight(open, effect))
  /** About a topic, and about a key there. */
  const on = <A, E>(topic: string, ask: (topic: string) => Effect.Effect<A, E>) =>
    call(Effect.suspend(() => ask(readTopic(topic, limits))))
  const of = <A, E>(topic: string, key: string, ask: (key: string) => Effect.Effect<A, E>) =>
    on(topic, () => ask(readKey(key, limits, topic)))
  const whileOpen = <A, E>(stream: Stream.Stream<A, E>) => Stream.unwrap(Effect.as(open, stream))

  const close = (): Promise<void> => {
    closing ??= Promise.allSettled(Array.from(endings, (end) => end())).then(() => run(Scope.close(scope, Exit.void)))
    return closing
  }

  /** Until it is closed, by itself or with the presence, which may have been closed meanwhile. */
  const attach = async (...[server, options]: Parameters<NodePresence["attach"]>): Promise<Attached> => {
    const [listening, read] = [readServer(server), readAttach(options ?? {})]
    const routes = await loadRoutes()
    const own = await call(Scope.make())
    let ending: Promise<void> | undefined
    const end = (): Promise<void> => {
      ending ??= run(Scope.close(own, Exit.void)).finally(() => endings.delete(end))
      return ending
    }
    endings.add(end)
    try {
      await run(Scope.extend(routes.attach(services, listening, read), own))
      await run(open)
    } catch (error) {
      await end()
      throw error
    }
    return { close: end, [Symbol.asyncDispose]: end }
  }

  const fetch: NodePresence["fetch"] = (options) => {
    if (closing !== undefined) throw closed()
    const read = readFetch(options ?? {})
    let made: Promise<ReturnType<Routes["makeFetch"]>> | undefined
    endings.add(async () => (await made)?.dispose())
    return async (request) => {
      readRequest(request)
      if (closing !== undefined) return Response.json({ error: closed().message }, { status: 503 })
      made ??= loadRoutes().then(({ makeFetch }) => makeFetch(services, read))
      return (await made).handler(request)
    }
  }

  return {
    track: (topic, key, meta, options) => call(track(presence, topic, key, meta, options)),
    list: (topic) => on(topic, presence.list),
    get: (topic, key) => of(topic, key, (key) => Effect.map(presence.get(topic, key), Option.getOrUndefined)),
    count: (topic) => on(topic, presence.count),
    counts: (topics) => call(Effect.suspend(() => presence.counts(readTopics(topics, limits)))),
    topicsOf: (key) => call(Effect.suspend(() => presence.topicsOf(readKey(key, limits)))),
    evictEverywhere: (key) => call(Effect.suspend(() => presence.evictEverywhere(readKey(key, limits)))),
    topics: () => call(presence.topics),
    snapshot: (topic) => on(topic, presence.snapshot),
    evict: (topic, key) => of(topic, key, (key) => presence.evict(topic, key)),
    changes: (topic, options) => {
      const { signal, ...since } = readChanges(options)
      return iterate(whileOpen(presence.changes(readTopic(topic, limits), since)), signal)
    },
    live: (topic, options) => iterate(whileOpen(presence.live(readTopic(topic, limits))), readIterate(options).signal),
    events: (topic, options) =>
      iterate(whileOpen(presence.events(readTopic(topic, limits))), readIterate(options).signal),
    attach,
    fetch,
    close,
    [Symbol.asyncDispose]: close
  }
}

/** What it fails with is thrown as it is. */
const run = async <A, E>(effect: Effect.Effect<A, E>): Promise<A> => {
  const exit = await Effect.runPromiseExit(effect)
  if (Exit.isSuccess(exit)) return exit.value
  throw Cause.squash(exit.cause)
}

const known: Record<keyof NodeOptions, true> = {
  ttl: true,
  sweepInterval: true,
  bufferSize: true,
  keyIndex: true,
  limits: true,
  redis: true
}

const knownOfTrack: Record<keyof NodeTrackOptions, true> = { ttl: true, leaveDelay: true }

/** What speaks to Redis is loaded by those who use it. */
const layerOf = async (given: NodeOptions): Promise<Layer.Layer<Presence | Channels, PresenceUnavailable>> => {
  checkNames("options", given, Object.keys(known))
  const { redis, ...options } = given
  if (redis === undefined) return Presence.layer(options)
  checkNames("redis", redis, namesOfRedis)
  const PresenceRedis = await import("../redis/PresenceRedis.js")
  return PresenceRedis.layer({ ...options, ...redis })
}

type Routes = typeof import("./routes.js")

/** What serves is loaded by those who serve. */
const loadRoutes = (): Promise<Routes> =>
  import("./routes.js").catch((error) => {
    throw explained(error)
  })

const track = (presence: Presence.Service, topic: string, key: string, meta: unknown, options: NodeTrackOptions = {}) =>
  Effect.gen(function* () {
    checkNames("options", options, Object.keys(knownOfTrack))
    const scope = yield* Scope.make()
    const lease = yield* presence.track(topic, key, meta, options).pipe(
      Scope.extend(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    return leased(lease, scope)
  })

const leased = (lease: Lease, scope: Scope.CloseableScope): NodeLease => {
  let ended: ReturnType<NodeLease["ended"]> | undefined
  const leave = Scope.close(scope, Exit.void)
  return {
    topic: lease.topic,
    key: lease.key,
    get ref() {
      return lease.ref
    },
    refresh: () => run(lease.refresh),
    update: (meta: unknown) => run(lease.update(meta)),
    release: () => run(Effect.zipRight(lease.release, leave)),
    ended: () => {
      ended ??= run(lease.ended)
      return ended
    },
    [Symbol.asyncDispose]: () => run(leave)
  }
}
