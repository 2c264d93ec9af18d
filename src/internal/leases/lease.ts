/**
 * Leases and the scopes that own them.
 *
 * A lease is the registry's connection itself, with the effects of its owner on it. All leases of a scope hang on one
 * list behind one finalizer; a lease that ends early leaves the list, so a scope that lives on keeps nothing of it.
 */
import { Effect, Inspectable, Scope } from "effect"
import type { Json } from "../../Json.js"
import type { Lease } from "../../Lease.js"
import type { LeaveReason } from "../../PresenceChange.js"
import type { PresenceUnavailable, TrackError } from "../../PresenceError.js"
import type { Value } from "../input/json.js"
import type { CheckedMeta } from "../input/validate.js"
import { type Terms, TrackedConnection } from "../state/registry.js"

/** What a service does for the leases that it gave out. */
export interface Owner {
  readonly refresh: (
    lease: OwnedLease
  ) => Effect.Effect<"renewed" | "rejoined" | "evicted" | "released", PresenceUnavailable>
  /** `next` gives the meta to store, or why there is none. It is asked in the step that stores it. */
  readonly update: (
    lease: OwnedLease,
    next: (current: Value) => CheckedMeta
  ) => Effect.Effect<"updated" | "rejoined" | "evicted" | "released", TrackError>
  readonly checkMeta: (topic: string, key: string, meta: unknown) => CheckedMeta
  readonly release: (lease: OwnedLease) => Effect.Effect<void>
  readonly ended: (lease: OwnedLease) => Effect.Effect<LeaveReason>
  /** Ends a lease that could not be kept, so that it may come back; one whose scope has closed ends for good. */
  readonly expire: (lease: OwnedLease) => Effect.Effect<void>
  /** Ends what is left of a closed scope's leases, the last first. */
  readonly closeScope: (leases: ScopeLeases) => Effect.Effect<void>
}

export class OwnedLease extends TrackedConnection implements Lease {
  previous: OwnedLease | undefined = undefined
  next: OwnedLease | undefined = undefined

  constructor(
    topic: string,
    key: string,
    meta: Value,
    terms: Terms,
    readonly leases: ScopeLeases
  ) {
    super(topic, key, meta, terms)
  }

  get refresh() {
    return this.leases.owner.refresh(this)
  }

  update(meta: unknown | ((meta: Json) => unknown)) {
    const { owner } = this.leases
    return owner.update(this, (current) =>
      owner.checkMeta(this.topic, this.key, typeof meta === "function" ? meta(current) : meta)
    )
  }

  get release() {
    return this.leases.owner.release(this)
  }

  get ended() {
    return this.leases.owner.ended(this)
  }

  /** What a log shows: neither its neighbours in the scope, which would be a circle, nor what holds them. */
  toJSON() {
    const { topic, key, ref, meta } = this
    return { topic, key, ref, meta }
  }

  [Inspectable.NodeInspectSymbol]() {
    return this.toJSON()
  }
}

/** The leases of one scope, oldest first. */
export class ScopeLeases {
  closed = false
  last: OwnedLease | undefined = undefined

  constructor(readonly owner: Owner) {}

  add(lease: OwnedLease): void {
    lease.previous = this.last
    if (this.last !== undefined) this.last.next = lease
    this.last = lease
  }

  delete(lease: OwnedLease): void {
    const { previous, next } = lease
    if (next !== undefined) next.previous = previous
    else if (this.last === lease) this.last = previous
    if (previous !== undefined) previous.next = next
    lease.previous = undefined
    lease.next = undefined
  }
}

/** Finds, or makes, what a scope holds. */
export class Scopes {
  private readonly byScope = new WeakMap<Scope.Scope, ScopeLeases>()

  constructor(private readonly owner: Owner) {}

  get(scope: Scope.Scope): ScopeLeases | undefined {
    return this.byScope.get(scope)
  }

  /** By itself, so that it holds on to no more than it needs for as long as the scope is open. */
  private closing(scope: Scope.Scope, leases: ScopeLeases): () => Effect.Effect<void> {
    return () => {
      // What is dead weighs on a weak map until it is collected.
      this.byScope.delete(scope)
      return this.owner.closeScope(leases)
    }
  }

  /**
   * Adds the finalizer, then goes on with what the scope holds. In a scope that is closed the finalizer runs at once,
   * and what it holds says so. Interrupted on the way it leaves a finalizer with nothing to do.
   */
  make<A, E>(scope: Scope.Scope, use: (leases: ScopeLeases) => Effect.Effect<A, E>): Effect.Effect<A, E> {
    const leases = new ScopeLeases(this.owner)
    return Effect.flatMap(Scope.addFinalizerExit(scope, this.closing(scope, leases)), () => {
      // Another fiber may have been first meanwhile; then this one stays empty.
      const first = this.byScope.get(scope)
      if (first === undefined && !leases.closed) this.byScope.set(scope, leases)
      return use(first ?? leases)
    })
  }
}
