/**
 * How the procedures are answered.
 */
import type * as Rpc from "@effect/rpc/Rpc"
import type * as RpcGroup from "@effect/rpc/RpcGroup"
import { Context, Duration, Effect, Layer, Option, Schema, type Scope, Stream } from "effect"
import { cut } from "../internal/input/names.js"
import { checkNames, readCount, readDuration, TIMER, TIMER_OR_NONE } from "../internal/input/options.js"
import { checkTopic, unfitMeta } from "../internal/input/validate.js"
import type { Lease } from "../Lease.js"
import { Presence, type PresenceFor } from "../Presence.js"
import { InvalidOption, PresenceUnavailable, Unauthorized } from "../PresenceError.js"
import type { Grant } from "../web/Authorize.js"
import { atTime } from "../web/atTime.js"
import { Granted, NotJoined, Procedure } from "./group.js"
import { proving, repeating } from "./proofOfLife.js"

/**
 * How those who join are held.
 *
 * @since 0.2.0
 * @category models
 */
export interface Options {
  /** How long one who joined stays after the stream has ended, so that who comes right back never left. Default 0. */
  readonly leaveDelay?: Duration.DurationInput | undefined
  /**
   * How long one who joined stays whose client no longer says that it got what it was sent, beside the leave delay. Default
   * 60 seconds. A stream that is quiet sends an empty `Diff` every third of it, so that there is something to get. Over
   * RPC's HTTP transport no client says so: there one that freezes, or loses its network, stays until the system gives its
   * connection up, which takes minutes.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** What clients may take up. One more is refused with `PresenceUnavailable`. */
  readonly limits?: {
    /** `Join` and `Changes` that run at once, of all clients. Default 10,000. */
    readonly streams?: number | undefined
    /** Those of one client: of one connection, where its transport has connections. Default 100. */
    readonly streamsPerClient?: number | undefined
  }
}

/**
 * The handlers of a group that `make` made, whatever prefix it has got since.
 *
 * Who is tracked, and with what, is for the grant to say, as on the other routes: its key, whatever key was asked for; its
 * meta if it has one, else the one that was asked for, unless `clientMeta` is false. `Update` is refused then. When the grant
 * expires the streams fail with `Unauthorized`; when a key is evicted its `Join` ends.
 *
 * An option that makes no sense is a defect, and so is a group with other procedures: merge groups, and give each its layer.
 *
 * @since 0.2.0
 * @category layers
 */
export const layer = <R extends Rpc.Any>(
  group: RpcGroup.RpcGroup<R>,
  options: Options = {}
): Layer.Layer<Rpc.ToHandler<R>, never, Presence> =>
  Layer.unwrapEffect(
    Effect.map(Presence, (presence) => {
      checkNames("options", options, ["leaveDelay", "idleTimeout", "limits"])
      const { leaveDelay: givenDelay = 0, idleTimeout: givenTimeout = "60 seconds", limits = {} } = options
      checkNames("limits", limits, ["streams", "streamsPerClient"])
      const { streams: most = 10_000, streamsPerClient: mostOfClient = 100 } = limits
      const leaveDelay = readDuration("leaveDelay", givenDelay, TIMER_OR_NONE)
      const idleTimeout = readDuration("idleTimeout", givenTimeout, TIMER)
      const joins = new Joins()
      const streams = new Streams(readCount("limits.streams", most), readCount("limits.streamsPerClient", mostOfClient))
      const handlers = Array.from(group.requests.values(), (rpc) => {
        // Each has them, though the type of any does not say so.
        const { annotations } = rpc as unknown as Rpc.AnyWithProps
        const procedure = Context.getOption(annotations, Procedure)
        if (Option.isNone(procedure)) throw new Error(`${rpc._tag} is no procedure of presence`)
        const { name, meta } = procedure.value
        return [rpc._tag, handlersOf({ presence, meta, leaveDelay, idleTimeout, joins, streams })[name]]
      })
      // Which type a handler has follows from its procedure, which the group's type does not know by its name.
      return group.toLayer(Object.fromEntries(handlers)) as Layer.Layer<Rpc.ToHandler<R>>
    })
  )

interface Host {
  readonly presence: Presence.Service
  readonly meta: Schema.Schema<unknown, unknown>
  readonly leaveDelay: Duration.Duration
  readonly idleTimeout: Duration.Duration
  readonly joins: Joins
  readonly streams: Streams
}

/** Who calls. */
interface Caller {
  readonly clientId: number
}

interface Asked {
  readonly topic: string
  readonly key: string
  readonly meta: unknown
}

const handlersOf = ({ presence: untyped, meta, leaveDelay, idleTimeout, joins, streams }: Host) => {
  const presence: PresenceFor<unknown> = untyped.forSchema(meta)
  const decode = Schema.decodeUnknown(meta)
  const repeat = repeating(Duration.times(idleTimeout, 1 / 3))

  /** The grant, of somebody who may read the topic. */
  const reader = (topic: string) =>
    Effect.gen(function* () {
      const unusable = checkTopic(topic, presence.limits)
      if (unusable !== undefined) return yield* unusable
      return yield* Granted
    })

  /** The grant, of somebody who may join, with the key and the meta that they are to have. */
  const member = ({ topic, meta }: Asked) =>
    Effect.gen(function* () {
      const grant = yield* Granted
      const { key } = grant
      if (key === undefined) return yield* new Unauthorized({ reason: "may watch, but not join" })
      if (grant.meta === undefined && grant.clientMeta !== false) return { grant, key, meta }
      const granted = Effect.mapError(decode(grant.meta ?? {}), (error) => unfitMeta(topic, key, error))
      return { grant, key, meta: yield* granted }
    })

  return {
    Join: (asked: Asked & { readonly id?: string | undefined }, caller: Caller) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          yield* streams.add(caller)
          const { topic, id } = asked
          if (id !== undefined && (id === "" || id.length > 64)) return yield* wrongId(id)
          const { grant, key, meta } = yield* member(asked)
          const lease = yield* presence.track(topic, key, meta, { ttl: idleTimeout, leaveDelay })
          if (id !== undefined) yield* joins.add([topic, key, id], lease)
          return presence
            .changes(topic)
            .pipe(repeat, Stream.interruptWhen(Effect.raceFirst(lease.ended, expired(grant))), proving(lease))
        })
      ).pipe(Stream.mapError(withoutCause)),

    Update: (asked: Asked & { readonly id: string }) =>
      Effect.gen(function* () {
        const { topic, id } = asked
        const { grant, key, meta } = yield* member(asked)
        if (grant.clientMeta === false) {
          return yield* new Unauthorized({ reason: "the meta is not for the client to change" })
        }
        const lease = joins.newest([topic, key, id])
        const result = lease === undefined ? "released" : yield* lease.update(() => meta)
        if (result === "released" || result === "evicted") {
          return yield* new NotJoined({ topic: cut(topic), key: cut(key), id: cut(id) })
        }
      }).pipe(Effect.mapError(withoutCause)),

    List: ({ topic }: { readonly topic: string }) =>
      Effect.zipRight(reader(topic), presence.list(topic)).pipe(Effect.mapError(withoutCause)),

    Count: ({ topic }: { readonly topic: string }) =>
      Effect.zipRight(reader(topic), presence.count(topic)).pipe(Effect.mapError(withoutCause)),

    Changes: ({ topic, since }: { readonly topic: string } & Presence.ChangesOptions, caller: Caller) =>
      Stream.unwrapScoped(
        Effect.gen(function* () {
          yield* streams.add(caller)
          const grant = yield* reader(topic)
          return presence.changes(topic, { since }).pipe(repeat, Stream.interruptWhen(expired(grant)))
        })
      ).pipe(Stream.mapError(withoutCause))
  }
}

/** The open joins that have an id. */
class Joins {
  private readonly byName = new Map<string, Set<Lease<unknown, unknown>>>()

  add(path: ReadonlyArray<string>, lease: Lease<unknown, unknown>) {
    const name = JSON.stringify(path)
    return Effect.acquireRelease(
      Effect.sync(() => {
        const leases = this.byName.get(name) ?? new Set()
        this.byName.set(name, leases.add(lease))
        return leases
      }),
      (leases) =>
        Effect.sync(() => {
          leases.delete(lease)
          if (leases.size === 0) this.byName.delete(name)
        })
    )
  }

  newest(path: ReadonlyArray<string>): Lease<unknown, unknown> | undefined {
    return Array.from(this.byName.get(JSON.stringify(path)) ?? []).at(-1)
  }
}

/** The streams that run, counted. */
class Streams {
  private readonly byClient = new Map<number, number>()
  private open = 0

  constructor(
    private readonly most: number,
    private readonly mostOfClient: number
  ) {}

  /** One more, until the scope closes. */
  add({ clientId }: Caller): Effect.Effect<void, PresenceUnavailable, Scope.Scope> {
    const take = Effect.suspend(() => {
      const own = this.byClient.get(clientId) ?? 0
      const reason =
        own >= this.mostOfClient
          ? `${this.mostOfClient} streams of this client are open, no more are allowed`
          : this.open >= this.most
            ? `${this.most} streams are open, no more are allowed`
            : undefined
      if (reason !== undefined) return Effect.fail(new PresenceUnavailable({ reason }))
      this.open++
      this.byClient.set(clientId, own + 1)
      return Effect.void
    })
    const giveBack = Effect.sync(() => {
      this.open--
      const left = (this.byClient.get(clientId) ?? 1) - 1
      if (left > 0) this.byClient.set(clientId, left)
      else this.byClient.delete(clientId)
    })
    return Effect.acquireRelease(take, () => giveBack)
  }
}

const wrongId = (id: string) =>
  new InvalidOption({ option: "id", value: JSON.stringify(cut(id)), allowed: "a text of 1 to 64 characters" })

const expired = ({ expires }: Grant) =>
  expires === undefined
    ? Effect.never
    : Effect.zipRight(atTime(expires), new Unauthorized({ status: 401, reason: "unauthorized" }))

/** What a client is told does not hold what the backend said. */
const withoutCause = <E>(error: E): E | PresenceUnavailable =>
  error instanceof PresenceUnavailable ? new PresenceUnavailable({ reason: error.reason }) : error
