/**
 * Who is tracked because a response of theirs is open.
 *
 * A response shows no sign of life: the system of a client that is frozen, or has lost its network, seems to take what is
 * written for minutes, or for ever. So it is ended after half to three quarters of `idleTimeout`, and the client has to
 * come back. For a quarter of it the lease waits; the next request that may join the topic with its key goes on with it,
 * so that nobody hears a leave or a join. Without one it ends as if the client had gone.
 *
 * A response that is over for any other reason ends its lease at once.
 */
import { Duration, Effect, Exit, type Fiber, Random, Scope } from "effect"
import { sleepAwake } from "../internal/leases/awake.js"
import type { Lease } from "../Lease.js"
import type { Presence } from "../Presence.js"
import type { TrackError } from "../PresenceError.js"
import type { EventStream } from "./eventStream.js"

export interface MembersOptions {
  readonly presence: Pick<Presence.Service, "track">
  readonly leaveDelay: Duration.Duration
  /** Milliseconds. */
  readonly idleTimeout: number
  /** Runs it until the route's end. */
  readonly run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
}

/** A lease in a scope of its own, which outlives a response. */
interface Member {
  readonly name: string
  readonly scope: Scope.CloseableScope
  lease: Lease | undefined
}

export class Members {
  /** Those whose client is to come back, by topic and key. */
  private readonly awaited = new Map<string, Set<Member>>()
  private ended = false

  constructor(private readonly options: MembersOptions) {}

  /** How soon a client comes back, in milliseconds: it may fail some times. */
  get retry(): number {
    return Math.min(1_000, Math.ceil(this.options.idleTimeout / 60))
  }

  /** Tracks the key, or goes on with the lease that waits for it, until the stream's scope closes. */
  join(
    stream: EventStream,
    topic: string,
    key: string,
    meta: unknown = {}
  ): Effect.Effect<void, TrackError, Scope.Scope> {
    const { presence, leaveDelay } = this.options
    const name = JSON.stringify([topic, key])
    return Effect.gen(this, function* () {
      const member = yield* Effect.acquireRelease(
        Effect.suspend(() => {
          const [awaited] = this.awaited.get(name) ?? []
          if (awaited === undefined)
            return Effect.map(Scope.make(), (scope): Member => ({ name, scope, lease: undefined }))
          this.forget(awaited)
          return Effect.succeed(awaited)
        }),
        (member) => Effect.suspend(() => (stream.renewing && !this.ended ? this.wait(member) : end(member)))
      )
      const result = member.lease === undefined ? "released" : yield* member.lease.update(() => meta)
      if (result === "released" || result === "evicted") {
        const tracked = presence.track(topic, key, meta, { ttl: Duration.infinity, leaveDelay })
        member.lease = yield* Scope.extend(tracked, member.scope)
      }
      yield* Effect.forkScoped(this.renewing(stream, member.lease as Lease))
    })
  }

  /** Ends all that waits, and lets nothing wait from now on. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.ended = true
    const all = Array.from(this.awaited.values()).flatMap((members) => Array.from(members))
    this.awaited.clear()
    return Effect.forEach(all, end, { discard: true })
  })

  /** Not all at once: those that came together, after a restart, would come back together for ever. */
  private renewing(stream: EventStream, lease: Lease): Effect.Effect<void> {
    const { idleTimeout } = this.options
    return Random.next.pipe(
      Effect.flatMap((random) => Effect.sleep(idleTimeout * (0.5 + random / 4))),
      Effect.zipRight(lease.refresh),
      // Who is not listed any more has nothing to prove, and would join again by coming back.
      Effect.tap((result) =>
        result === "renewed" || result === "rejoined" ? Effect.sync(() => stream.renew()) : Effect.void
      ),
      Effect.catchAll(() => Effect.sync(() => stream.end())),
      Effect.asVoid
    )
  }

  private wait(member: Member): Effect.Effect<void> {
    return Effect.sync(() => {
      const members = this.awaited.get(member.name) ?? new Set()
      this.awaited.set(member.name, members.add(member))
      const over = Effect.suspend(() => (this.forget(member) ? end(member) : Effect.void))
      this.options.run(Effect.zipRight(sleepAwake(Duration.millis(this.options.idleTimeout / 4)), over))
    })
  }

  /** Whether it was waited for. */
  private forget(member: Member): boolean {
    const members = this.awaited.get(member.name)
    const known = members?.delete(member) ?? false
    if (members?.size === 0) this.awaited.delete(member.name)
    return known
  }
}

const end = ({ scope }: Member): Effect.Effect<void> => Scope.close(scope, Exit.void)
