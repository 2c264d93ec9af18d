/**
 * A replica as a process: the service as it is, on simulated connections, with what is tracked in it and who follows.
 */
import { Effect, Exit, Fiber, Layer, Logger, Runtime, Scheduler, Scope, Stream } from "effect"
import type { OwnedLease } from "../../src/internal/leases/lease.js"
import type { PresenceChange, Snapshot } from "../../src/PresenceChange.js"
import type { PresenceHealth } from "../../src/PresenceHealth.js"
import { make } from "../../src/redis/service.js"
import { connectionOf, Follower, type Position } from "./follower.js"
import { type Network, SimulatedConnection } from "./network.js"
import type { Process } from "./time.js"

/** How it lives, in ms. */
export interface Life {
  readonly lease: number
  readonly heartbeat: number
}

/** How long its calls wait for Redis, in ms. */
export const TIMEOUT = 2_000

/** What is tracked here. */
export interface Held {
  readonly topic: string
  readonly key: string
  readonly lease: OwnedLease
  readonly scope: Scope.CloseableScope
}

export interface ReplicaEvents {
  readonly problem: (text: string) => void
  readonly onTracked: (connection: string) => void
  readonly onLeave: (told: Told, reason: string) => void
  readonly onReturn: (told: Told) => void
}

/** What a follower was told of somebody. */
export interface Told {
  readonly by: SimulatedReplica
  readonly topic: string
  readonly key: string
  readonly connection: string
}

type Service = Effect.Effect.Success<ReturnType<typeof make>>["presence"]

/** All but `start` and what is read are called in a turn of its process. */
export class SimulatedReplica {
  state: "starting" | "running" | "failed" | "stopping" | "stopped" = "starting"
  /** Why it did not start. */
  failure = ""
  readonly held = new Map<string, Held>()
  readonly followers = new Map<string, Follower>()
  private readonly following = new Map<string, Fiber.RuntimeFiber<void, unknown>>()
  private service: Service | undefined
  private readonly scope: Scope.CloseableScope = Effect.runSync(Scope.make())
  private readonly scheduler = new Scheduler.MixedScheduler(2_048)
  private updates = 0

  constructor(
    readonly process: Process,
    readonly life: Life,
    private readonly network: Network,
    private readonly events: ReplicaEvents
  ) {}

  get isRunning(): boolean {
    return this.state === "running" && !this.process.isDead
  }

  start(): void {
    const { network, process, life, scope } = this
    const service = make({
      connect: (options) => new SimulatedConnection(network, process, options),
      lease: life.lease,
      heartbeat: life.heartbeat,
      timeout: TIMEOUT,
      ttl: "1 hour",
      // Most of what happens would be looks at nothing.
      sweepInterval: "5 seconds"
    })
    this.fork(Scope.extend(service, scope), (exit) => {
      this.state = Exit.isSuccess(exit) ? "running" : "failed"
      if (Exit.isSuccess(exit)) this.service = exit.value.presence
      else this.failure = String(exit.cause)
    })
  }

  /** Ends in order. */
  stop(): void {
    this.state = "stopping"
    this.fork(Scope.close(this.scope, Exit.void), () => {
      this.state = "stopped"
      this.held.clear()
      this.process.isDead = true
    })
  }

  track(topic: string, key: string): void {
    const scope = Effect.runSync(Scope.make())
    this.fork(Scope.extend(this.presence.track(topic, key, { n: 0 }), scope), (exit) => {
      if (Exit.isFailure(exit)) return
      const lease = exit.value as OwnedLease
      const connection = connectionOf(lease.ref)
      this.held.set(connection, { topic, key, lease, scope })
      this.events.onTracked(connection)
    })
  }

  update(held: Held): void {
    this.fork(held.lease.update({ n: ++this.updates }), () => {})
  }

  release(connection: string, held: Held): void {
    this.held.delete(connection)
    this.fork(Scope.close(held.scope, Exit.void), () => {})
  }

  evict(topic: string, key: string): void {
    this.fork(this.presence.evict(topic, key), () => {})
  }

  follow(topic: string): void {
    if (this.followers.has(topic)) return
    const { network, process, events, presence } = this
    const told = (connection: string, key: string): Told => ({ by: this, topic, key, connection })
    const follower: Follower = new Follower({
      now: () => network.time.now,
      problem: (text) => events.problem(`${process.name} on ${topic}: ${text}`),
      onLeave: (connection, key, reason) => events.onLeave(told(connection, key), reason),
      onReturn: (connection, key) => events.onReturn(told(connection, key)),
      read: () => this.readNow(topic)
    })
    this.followers.set(topic, follower)
    const all = Stream.runForEach(presence.changes(topic), (change) => Effect.sync(() => follower.tell(change)))
    const fiber = this.fork(all, (exit) => {
      if (this.followers.get(topic) !== follower) return
      this.followers.delete(topic)
      this.following.delete(topic)
      if (Exit.isSuccess(exit) && this.isRunning) events.problem(`${process.name}: the changes of ${topic} end`)
    })
    this.following.set(topic, fiber)
  }

  unfollow(topic: string): void {
    const fiber = this.following.get(topic)
    if (fiber === undefined) return
    this.following.delete(topic)
    this.followers.delete(topic)
    this.fork(Fiber.interrupt(fiber), () => {})
  }

  /** What somebody is told first who comes back to a topic. */
  resume(topic: string, since: Position, done: (first: PresenceChange) => void): void {
    const first = Stream.runHead(this.presence.changes(topic, { since }))
    this.fork(first, (exit) => {
      if (Exit.isSuccess(exit) && exit.value._tag === "Some") done(exit.value.value)
    })
  }

  /** The topic as it is listed. */
  read(topic: string, done: (snapshot: Snapshot) => void): void {
    this.fork(this.presence.snapshot(topic), (exit) => {
      if (Exit.isSuccess(exit)) done(exit.value)
    })
  }

  /** A topic that is followed here. */
  readNow(topic: string): Snapshot | undefined {
    const exit = Effect.runSyncExit(this.presence.snapshot(topic))
    return Exit.isSuccess(exit) ? exit.value : undefined
  }

  get health(): PresenceHealth["status"] {
    return Effect.runSync(this.presence.health).status
  }

  private get presence(): Service {
    if (this.service === undefined) throw new Error(`${this.process.name} has not started`)
    return this.service
  }

  private fork<A, E>(effect: Effect.Effect<A, E>, done: (exit: Exit.Exit<A, E>) => void): Fiber.RuntimeFiber<A, E> {
    const fiber = Runtime.runFork(quiet)(effect, { scheduler: this.scheduler })
    fiber.addObserver(done)
    return fiber
  }
}

const quiet = Effect.runSync(Effect.scoped(Layer.toRuntime(Logger.remove(Logger.defaultLogger))))
