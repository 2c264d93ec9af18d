/**
 * Following a topic: what changes it, step by step, from a state on, without a gap or a repeat.
 */
import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import type { PresenceChange, Snapshot } from "../../PresenceChange.js"
import type { PresenceEvent } from "../../PresenceEvent.js"
import { checkNames, checkObject } from "../input/options.js"
import { type Changed, Delta } from "./delta.js"
import { type HubSubscription, Hubs, type HubsHost } from "./hub.js"
import { Past } from "./past.js"

/** A topic at a version. */
export interface Position {
  readonly epoch: string
  readonly version: number
}

/** One follower of one topic, to whom a delta is any number of `B`. */
export interface Feed<B> {
  readonly subscription: HubSubscription<Delta, B>
  /** The state as it is now; what waited before it is dropped, so the next delta applies to it. */
  readonly snapshot: Effect.Effect<Snapshot>
  /** The deltas from a position until now, if they are at hand; what waited before them is dropped. */
  readonly since: (position: Position) => Effect.Effect<ReadonlyArray<Delta> | undefined>
}

/** How a service lets its topics be followed. */
export type OpenFeed<E> = <B>(
  topic: string,
  pick: (delta: Delta) => ReadonlyArray<B>
) => Effect.Effect<Feed<B>, E, Scope.Scope>

export type FeedsHost<S> = Omit<HubsHost<S>, "lag">

/** The followed topics of a service, each with a hub, and what was told of them last. */
export class Feeds<S> {
  readonly hubs: Hubs<Delta, S>
  readonly past: Past
  /** What the step under way has changed on followed topics. */
  private readonly pending = new Map<Topic, Array<Versioned>>()

  constructor(bufferSize: number, { step, open, close }: FeedsHost<S>) {
    this.past = new Past(bufferSize)
    this.hubs = new Hubs(bufferSize, {
      step,
      open: (topic, state) => {
        this.past.open(topic)
        open(topic, state)
      },
      close: (topic, state) => {
        this.past.close(topic)
        close(topic, state)
      },
      lag: () => {}
    })
  }

  /** Notes a change, if somebody follows its topic. */
  add(change: Versioned): void {
    if (this.past.size === 0 || !this.past.has(change.roster.topic)) return
    const changes = this.pending.get(change.roster)
    if (changes === undefined) this.pending.set(change.roster, [change])
    else changes.push(change)
  }

  /** Offers what was noted: one delta for each topic. Each change is one version. */
  flush(): void {
    if (this.pending.size === 0) return
    for (const [{ topic, epoch }, changes] of this.pending) {
      // Not where the topic stands: whoever was told of another may have changed it since.
      const { version } = changes[changes.length - 1] as Versioned
      this.offer(new Delta(topic, epoch, version - changes.length, version, changes))
    }
    this.pending.clear()
  }

  offer(delta: Delta): void {
    this.past.push(delta)
    this.hubs.get(delta.topic)?.offer(delta, delta.changes.length)
  }
}

interface Topic {
  readonly topic: string
  readonly epoch: string
}

interface Versioned extends Changed {
  readonly roster: Topic
  /** The topic's version after it. */
  readonly version: number
}

/**
 * The state, then each delta. One who lags gets the state again; the stream ends when the layer closes, and at once
 * when it has closed before.
 */
const deltasFrom = <E>(follow: OpenFeed<E>, topic: string, since?: Position): Stream.Stream<Snapshot | Delta, E> =>
  Stream.unwrapScoped(
    Effect.map(follow(topic, one), ({ subscription, snapshot, since: deltasSince }) => {
      let at: Position | undefined
      const state: Effect.Effect<Chunk.Chunk<Snapshot | Delta>> = Effect.map(snapshot, (state) => {
        at = state
        return Chunk.of(state)
      })
      /** One who follows while others are told may have seen in the state what is told after. */
      const isSeen = ({ epoch, from }: Delta): boolean => at !== undefined && epoch === at.epoch && from < at.version
      const resume =
        since === undefined
          ? state
          : Effect.flatMap(deltasSince(since), (deltas) => {
              if (deltas === undefined) return state
              at = deltas[deltas.length - 1] ?? since
              return Effect.succeed(Chunk.fromIterable<Snapshot | Delta>(deltas))
            })
      let begun = false
      const next = Effect.suspend((): Effect.Effect<Chunk.Chunk<Snapshot | Delta>, Option.Option<never>> => {
        if (!begun && !subscription.closed) {
          begun = true
          return resume
        }
        return subscription.pull.pipe(
          Effect.map((deltas): Chunk.Chunk<Snapshot | Delta> => {
            // Once one was not, none after it is.
            const first = at === undefined ? 0 : deltas.findIndex((delta) => !isSeen(delta))
            if (first !== -1) at = undefined
            return Chunk.unsafeFromArray(first === -1 ? [] : first === 0 ? deltas : deltas.slice(first))
          }),
          Effect.catchAll((error) => (error._tag === "Lagged" ? state : Effect.fail(Option.none())))
        )
      })
      return Stream.repeatEffectChunkOption(next)
    })
  )

/** How deltas and states look to those who follow. */
export interface View<Event, Change> {
  readonly events: (delta: Delta) => ReadonlyArray<Event>
  readonly diff: (delta: Delta) => Change
  readonly snapshot: (snapshot: Snapshot) => Change
}

/** As they are. */
export const plainly: View<PresenceEvent, PresenceChange> = {
  events: (delta) => delta.events,
  diff: (delta) => delta.diff,
  snapshot: (snapshot) => snapshot
}

/** What a service offers to those who follow. */
export const following = <E, Event, Change>(openFeed: OpenFeed<E>, { events, diff, snapshot }: View<Event, Change>) => {
  const subscribe = (topic: string) => Effect.map(openFeed(topic, events), ({ subscription }) => subscription)
  return {
    subscribe,
    events: (topic: string) => Stream.unwrapScoped(Effect.map(subscribe(topic), ({ stream }) => stream)),
    changes: (topic: string, options: { readonly since?: Position | undefined } = {}) =>
      Stream.suspend(() => {
        checkNames("options", options, ["since"])
        const { since } = options
        if (since !== undefined) checkObject("since", since)
        return Stream.map(deltasFrom(openFeed, topic, since), (change) =>
          change instanceof Delta ? diff(change) : snapshot(change)
        )
      })
  }
}

const one = (delta: Delta): ReadonlyArray<Delta> => [delta]
