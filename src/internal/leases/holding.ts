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

/** Leases that end together. What it gives is to be run at once; an exit: it has happened already. */
export interface Holding {
  /** With an exit a lease is there. */
  readonly track: (topic: string, key: string, meta: unknown, options: TrackOptions) => Effect.Effect<Lease, TrackError>
  /** One that it tracked. */
  readonly update: (lease: Lease, meta: unknown) => ReturnType<Lease["update"]>
  readonly release: (lease: Lease) => Effect.Effect<void>
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

/** What a service whose steps are synchronous does as it is called. */
export interface Now extends Pick<Owner, "update" | "release" | "closeScope" | "checkMeta"> {
  readonly track: (leases: ScopeLeases, ...args: Parameters<Holding["track"]>) => Effect.Effect<OwnedLease, TrackError>
}

export class DirectHolding implements Holding {
  private readonly leases: ScopeLeases

  constructor(
    owner: Owner,
    private readonly now: Now
  ) {
    this.leases = new ScopeLeases(owner)
  }

  track(topic: string, key: string, meta: unknown, options: TrackOptions): Effect.Effect<Lease, TrackError> {
    return this.now.track(this.leases, topic, key, meta, options)
  }

  update(lease: Lease, meta: unknown): ReturnType<Lease["update"]> {
    return this.now.update(lease as OwnedLease, () => this.now.checkMeta(lease.topic, lease.key, meta))
  }

  release(lease: Lease): Effect.Effect<void> {
    return this.now.release(lease as OwnedLease)
  }

  close(): Effect.Effect<void> {
    return this.now.closeScope(this.leases)
  }
}

class ScopeHolding implements Holding {
  private scope: Scope.CloseableScope | undefined
  private closed = false

  constructor(private readonly service: Tracking) {}

  track(topic: string, key: string, meta: unknown, options: TrackOptions): Effect.Effect<Lease, TrackError> {
    return Effect.flatMap(this.open(), (scope) => Scope.extend(this.service.track(topic, key, meta, options), scope))
  }

  update(lease: Lease, meta: unknown): ReturnType<Lease["update"]> {
    return lease.update(meta)
  }

  release(lease: Lease): Effect.Effect<void> {
    return lease.release
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
