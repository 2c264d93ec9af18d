/**
 * Who listens to a topic: a `PubSub` that is there while somebody subscribes.
 *
 * Offering is synchronous and never waits. A subscription keeps what it has not taken; one that is more than the
 * capacity behind loses the oldest, at the latest when the publisher notices at half as much again, and is told how
 * many. `close` lets subscribers take what is left; after that `take` is interrupted and streams end.
 */
import { Chunk, Effect, Option, PubSub, type Queue, type Scope, Stream } from "effect"
import { Lagged } from "../../PresenceError.js"
import type { Subscription } from "../../Subscription.js"
import * as metrics from "../metrics.js"

interface Item<A> {
  readonly value: A
  /** What it counts against the capacity. */
  readonly size: number
}

/** What the service behind the hubs does as they come and go; `open` and `close` run within its step. */
export interface HubsHost<S> {
  readonly step: <T>(f: (state: S) => T) => Effect.Effect<T>
  /** A topic got its first subscriber, or lost its last. */
  readonly open: (topic: string, state: S) => void
  readonly close: (topic: string, state: S) => void
  readonly lag: (missed: number) => void
}

/** Called for each value at once, in the step that offers it. It may not wait or throw, and cannot lag. */
export interface HubListener<A> {
  readonly onValue: (value: A) => void
  /** Nothing will be offered any more. */
  readonly onEnd: () => void
}

/** All hubs of a service, by topic. */
export class Hubs<A, S> {
  private readonly hubs = new Map<string, Hub<A>>()
  private closed = false

  constructor(
    private readonly capacity: number,
    private readonly backing: HubsHost<S>
  ) {}

  get size(): number {
    return this.hubs.size
  }

  get(topic: string): Hub<A> | undefined {
    return this.hubs.get(topic)
  }

  entries(): Iterable<Hub<A>> {
    return this.hubs.values()
  }

  /**
   * Subscribes until the scope closes. `pick` says what a value means to this subscriber: any number of `B`. It may be
   * as far behind as all others, unless it names a capacity of its own.
   */
  subscribe<B>(
    topic: string,
    pick: (value: A) => ReadonlyArray<B>,
    capacity = this.capacity
  ): Effect.Effect<HubSubscription<A, B>, never, Scope.Scope> {
    return Effect.acquireRelease(
      this.backing.step((state) => this.acquire(topic, state)),
      (hub) => this.backing.step((state) => this.release(hub, state))
    ).pipe(
      Effect.flatMap((hub) => hub.subscribe(pick, capacity)),
      Effect.uninterruptible
    )
  }

  /** Listens until what it returns is called: without a fiber, and without a queue. */
  listen(topic: string, listener: HubListener<A>): () => void {
    const hub = Effect.runSync(this.backing.step((state) => this.acquire(topic, state)))
    hub.listen(listener)
    let listens = true
    return () => {
      if (!listens) return
      listens = false
      hub.unlisten(listener)
      Effect.runSync(this.backing.step((state) => this.release(hub, state)))
    }
  }

  /** Listens until the scope closes. */
  watch(topic: string, listener: HubListener<A>): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(
      Effect.acquireRelease(
        Effect.sync(() => this.listen(topic, listener)),
        (stop) => Effect.sync(stop)
      )
    )
  }

  close(): void {
    this.closed = true
    for (const hub of this.hubs.values()) hub.close()
  }

  private acquire(topic: string, state: S): Hub<A> {
    let hub = this.hubs.get(topic)
    if (hub === undefined) {
      hub = new Hub(topic, this.backing.lag)
      if (this.closed) hub.close()
      this.hubs.set(topic, hub)
      this.backing.open(topic, state)
    }
    hub.references++
    return hub
  }

  private release(hub: Hub<A>, state: S): void {
    if (--hub.references > 0) return
    this.hubs.delete(hub.topic)
    this.backing.close(hub.topic, state)
  }
}

/** One topic's hub. */
export class Hub<A> {
  references = 0
  closed = false
  /** How many values were offered and how much was lost, since the hub is there. */
  offered = 0
  lost = 0
  /** The sizes of all that was offered. */
  position = 0
  /** Up to here nobody has half as much again waiting as they may have. */
  private quiet = Number.POSITIVE_INFINITY
  /** Made for the first who subscribes: who listens needs none. */
  private pubsub: PubSub.PubSub<Item<A>> | undefined
  private readonly subscriptions = new Set<HubSubscription<A, unknown>>()
  private readonly listeners = new Set<HubListener<A>>()

  constructor(
    readonly topic: string,
    private readonly onLag: (missed: number) => void
  ) {}

  get subscribers(): number {
    return this.subscriptions.size + this.listeners.size
  }

  /** Gives a value to all and wakes who waits. The number of subscribers. */
  offer(value: A, size = 1): number {
    if (this.subscribers === 0 || this.closed) return 0
    this.offered++
    this.position += size
    if (this.subscriptions.size > 0) {
      this.pubsub?.unsafeOffer({ value, size })
      if (this.position > this.quiet) this.police()
    }
    for (const listener of this.listeners) listener.onValue(value)
    // At last, as who is woken may offer more, which comes after this one for all.
    for (const subscription of this.subscriptions) subscription.wake()
    return this.subscribers
  }

  listen(listener: HubListener<A>): void {
    this.listeners.add(listener)
    metrics.add(metrics.subscribers, 1)
    if (this.closed) listener.onEnd()
  }

  unlisten(listener: HubListener<A>): void {
    if (this.listeners.delete(listener)) metrics.add(metrics.subscribers, -1)
  }

  subscribe<B>(
    pick: (value: A) => ReadonlyArray<B>,
    capacity: number
  ): Effect.Effect<HubSubscription<A, B>, never, Scope.Scope> {
    this.pubsub ??= Effect.runSync(PubSub.unbounded<Item<A>>())
    return Effect.flatMap(PubSub.subscribe(this.pubsub), (dequeue) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const subscription = new HubSubscription(this, dequeue, pick, capacity)
          this.subscriptions.add(subscription)
          this.quiet = Math.min(this.quiet, subscription.quiet)
          metrics.add(metrics.subscribers, 1)
          return subscription
        }),
        (subscription) =>
          Effect.sync(() => {
            this.subscriptions.delete(subscription)
            metrics.add(metrics.subscribers, -1)
            subscription.close()
          })
      )
    )
  }

  close(): void {
    this.closed = true
    for (const subscription of this.subscriptions) subscription.wake()
    for (const listener of this.listeners) listener.onEnd()
  }

  /** Counts what a subscriber lost. */
  lose(missed: number): void {
    this.lost += missed
    metrics.add(metrics.lagged, missed)
    this.onLag(missed)
  }

  /** Takes from subscribers who do not take what they may not keep. Seldom: each half capacity at the most. */
  private police(): void {
    this.quiet = Number.POSITIVE_INFINITY
    for (const subscription of this.subscriptions) {
      subscription.shed()
      this.quiet = Math.min(this.quiet, subscription.quiet)
    }
  }
}

/** What `pull` fails with when the hub is closed and nothing is left. */
export class Ended {
  readonly _tag = "Ended"
}

const ended = new Ended()

/** One subscriber. */
export class HubSubscription<A, B> implements Subscription<B> {
  /** How far it has taken or lost. */
  position: number
  /** Out of the `PubSub` and not yet taken: nothing is lost when a taker is interrupted. */
  private queued: Array<Item<A>> = []
  private missed = 0
  private left = false
  private parked: Array<(effect: Effect.Effect<void>) => void> = []

  constructor(
    private readonly hub: Hub<A>,
    dequeue: Queue.Dequeue<Item<A>>,
    private readonly pick: (value: A) => ReadonlyArray<B>,
    private readonly capacity: number
  ) {
    this.position = hub.position
    this.drain = Effect.uninterruptible(Effect.map(dequeue.takeAll, (items) => this.enqueue(items)))
    this.pull = Effect.flatMap(this.drain, () => this.next())
    this.take = Effect.catchTag(this.pull, "Ended", () => Effect.interrupt)
    this.stream = Stream.repeatEffectChunkOption(
      Effect.mapBoth(this.pull, {
        onFailure: (error) => (error._tag === "Ended" ? Option.none() : Option.some(error)),
        onSuccess: Chunk.unsafeFromArray
      })
    )
  }

  private readonly drain: Effect.Effect<void>

  /** All that waits, at least one. */
  readonly pull: Effect.Effect<ReadonlyArray<B>, Lagged | Ended>

  readonly take: Effect.Effect<ReadonlyArray<B>, Lagged>

  readonly stream: Stream.Stream<B, Lagged>

  wake(): void {
    if (this.parked.length === 0) return
    const parked = this.parked
    this.parked = []
    for (const resume of parked) resume(Effect.void)
  }

  /** Whether nothing will be offered any more. */
  get closed(): boolean {
    return this.left || this.hub.closed
  }

  /** Its scope has closed: who waits is woken, and interrupted. */
  close(): void {
    this.left = true
    this.wake()
  }

  /** Forgets all that waits: whoever calls knows the state as it is now. */
  skip(): void {
    Effect.runSync(this.drain)
    this.queued = []
    this.missed = 0
    this.position = this.hub.position
  }

  /** How far the hub may go before this one is to be looked at. */
  get quiet(): number {
    return this.position + this.capacity + (this.capacity >> 1)
  }

  /** Loses what is over the capacity, now. */
  shed(): void {
    if (this.hub.position - this.position <= this.capacity) return
    Effect.runSync(this.drain)
    this.trim()
  }

  private enqueue(items: Chunk.Chunk<Item<A>>): void {
    if (this.queued.length === 0) this.queued = Array.from(items)
    else for (const item of items) this.queued.push(item)
  }

  /** Drops the oldest over the capacity, though never the newest. */
  private trim(): void {
    let behind = this.hub.position - this.position
    let drop = 0
    let missed = 0
    while (behind > this.capacity && drop < this.queued.length - 1) {
      const item = this.queued[drop++] as Item<A>
      this.position += item.size
      behind -= item.size
      missed += this.pick(item.value).length
    }
    if (drop === 0) return
    this.queued.splice(0, drop)
    if (missed > 0) {
      this.missed += missed
      this.hub.lose(missed)
    }
  }

  private next(): Effect.Effect<ReadonlyArray<B>, Lagged | Ended> {
    this.trim()
    if (this.missed > 0) {
      const missed = this.missed
      this.missed = 0
      return Effect.fail(new Lagged({ topic: this.hub.topic, missed }))
    }
    if (this.queued.length > 0) {
      const values: Array<B> = []
      for (const item of this.queued) {
        this.position += item.size
        for (const value of this.pick(item.value)) values.push(value)
      }
      this.queued = []
      if (values.length > 0) return Effect.succeed(values)
    }
    return this.closed ? Effect.fail(ended) : Effect.zipRight(this.park, this.pull)
  }

  private readonly park = Effect.async<void>((resume) => {
    this.parked.push(resume)
    return Effect.sync(() => {
      this.parked = this.parked.filter((other) => other !== resume)
    })
  })
}
