/**
 * The door by which a socket of this package holds its leases: by a call for each, where a scope would need a fiber.
 *
 * It hangs on the service as that of `feed/direct.ts` does; where there is none, a scope holds them.
 */
import { Effect, Exit, Scope } from "effect"
import type { Lease } from "../../Lease.js"
import type { TrackError } from "../../PresenceError.js"
import { type OwnedLease, type Owner, ScopeLeases } from "./lease.js"
import type { TrackOptions } from "./tracker.js"

/** Leases that end together. */
export interface Holding {
  /** To be run at once. An exit: it has happened, and a lease is there. */
  readonly track: (topic: string, key: string, meta: unknown, options: TrackOptions) => Effect.Effect<Lease, TrackError>
  /** Ends them, and all that come later. */
  readonly close: () => Effect.Effect<void>
}

const HOLD = Symbol("effect-presence/hold")

export const withHold = <S extends object>(service: S, hold: () => Holding): S =>
  Object.defineProperty(service, HOLD, { value: hold })

/** What a service tracks with. */
interface Tracking {
  readonly track: (
    topic: string,
    key: string,
    meta: unknown,
    options: TrackOptions
  ) => Effect.Effect<Lease, TrackError, Scope.Scope>
}

/** How to begin a holding. */
export const holdOf = (service: Tracking): (() => Holding) =>
  (service as { readonly [HOLD]?: () => Holding })[HOLD] ?? (() => new ScopeHolding(service))

/** Tracks in a list of leases: now, if it can. */
type Track = (leases: ScopeLeases, ...args: Parameters<Holding["track"]>) => Effect.Effect<OwnedLease, TrackError>

/** That of a service whose steps are synchronous. */
export class DirectHolding implements Holding {
  private readonly leases: ScopeLeases

  constructor(
    owner: Owner,
    private readonly now: Track
  ) {
    this.leases = new ScopeLeases(owner)
  }

  track(topic: string, key: string, meta: unknown, options: TrackOptions): Effect.Effect<Lease, TrackError> {
    return this.now(this.leases, topic, key, meta, options)
  }

  close(): Effect.Effect<void> {
    return this.leases.owner.closeScope(this.leases)
  }
}

class ScopeHolding implements Holding {
  private scope: Scope.CloseableScope | undefined
  private closed = false

  constructor(private readonly service: Tracking) {}

  track(topic: string, key: string, meta: unknown, options: TrackOptions): Effect.Effect<Lease, TrackError> {
    return Effect.flatMap(this.open(), (scope) => Scope.extend(this.service.track(topic, key, meta, options), scope))
  }

  close(): Effect.Effect<void> {
    this.closed = true
    return this.scope === undefined ? Effect.void : Scope.close(this.scope, Exit.void)
  }

  private open(): Effect.Effect<Scope.CloseableScope> {
    if (this.scope !== undefined) return Effect.succeed(this.scope)
    return Effect.tap(Scope.make(), (scope) => {
      this.scope = scope
      // What comes too late ends at once.
      return this.closed ? Scope.close(scope, Exit.void) : Effect.void
    })
  }
}
