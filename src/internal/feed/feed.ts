/**
 * Following a topic: the steps that change it, from a state on, without a gap or a repeat.
 */
import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import type { Snapshot } from "../../PresenceChange.js"
import { type Changed, History, Step } from "./delta.js"
import { type Backing, type HubSubscription, Hubs } from "./hub.js"

/** A topic at a version. */
export interface Position {
  readonly epoch: string
  readonly version: number
}

/** One follower of one topic, to whom a step is any number of `B`. */
export interface Following<B> {
  readonly subscription: HubSubscription<Step, B>
  /** The state as it is now; what waited before it is dropped, so the next step applies to it. */
  readonly snapshot: Effect.Effect<Snapshot>
  /** The steps from a position until now, if they are at hand; what waited before them is dropped. */
  readonly since: (position: Position) => Effect.Effect<ReadonlyArray<Step> | undefined>
}

/** How a service lets its topics be followed. */
export type Follow<E> = <B>(
  topic: string,
  pick: (step: Step) => ReadonlyArray<B>
) => Effect.Effect<Following<B>, E, Scope.Scope>

/** The followed topics of a service, each with a hub and its last steps. */
export class Follows<S> {
  readonly hubs: Hubs<Step, S>
  private readonly histories = new Map<string, History>()
  /** What the step under way has changed on followed topics. */
  private readonly pending = new Map<Versioned, Array<Changed>>()

  constructor(bufferSize: number, { step, open, close }: Omit<Backing<S>, "lag">) {
    this.hubs = new Hubs(bufferSize, {
      step,
      open: (topic, state) => {
        this.histories.set(topic, new History(bufferSize))
        open(topic, state)
      },
      close: (topic, state) => {
        this.histories.delete(topic)
        close(topic, state)
      },
      lag: () => {}
    })
  }

  /** Notes a change, if somebody follows its topic. */
  add(change: Changed & { readonly roster: Versioned }): void {
    if (this.histories.size === 0 || !this.histories.has(change.roster.topic)) return
    const changes = this.pending.get(change.roster)
    if (changes === undefined) this.pending.set(change.roster, [change])
    else changes.push(change)
  }

  /** Offers what was noted: one step for each topic. Each change is one version. */
  flush(): void {
    if (this.pending.size === 0) return
    for (const [{ topic, epoch, version }, changes] of this.pending) {
      this.offer(new Step(topic, epoch, version - changes.length, version, changes))
    }
    this.pending.clear()
  }

  offer(step: Step): void {
    this.histories.get(step.topic)?.push(step)
    this.hubs.get(step.topic)?.offer(step, step.changes.length)
  }

  /** The steps from a version on, if they are all at hand. */
  since(topic: string, version: number): ReadonlyArray<Step> | undefined {
    return this.histories.get(topic)?.since(version)
  }
}

interface Versioned extends Position {
  readonly topic: string
}

/**
 * The state, then each step. One who lags gets the state again; the stream ends when the layer closes, and at once
 * when it has closed before.
 */
export const stepsFrom = <E>(follow: Follow<E>, topic: string, since?: Position): Stream.Stream<Snapshot | Step, E> =>
  Stream.unwrapScoped(
    Effect.map(follow(topic, one), ({ subscription, snapshot, since: stepsSince }) => {
      const state: Effect.Effect<Chunk.Chunk<Snapshot | Step>> = Effect.map(snapshot, Chunk.of)
      const resume =
        since === undefined
          ? state
          : Effect.flatMap(stepsSince(since), (steps) =>
              steps === undefined ? state : Effect.succeed(Chunk.fromIterable<Snapshot | Step>(steps))
            )
      let begun = false
      const next = Effect.suspend((): Effect.Effect<Chunk.Chunk<Snapshot | Step>, Option.Option<never>> => {
        if (!begun && !subscription.closed) {
          begun = true
          return resume
        }
        return subscription.pull.pipe(
          Effect.map((steps): Chunk.Chunk<Snapshot | Step> => Chunk.unsafeFromArray(steps)),
          Effect.catchAll((error) => (error._tag === "Lagged" ? state : Effect.fail(Option.none())))
        )
      })
      return Stream.repeatEffectChunkOption(next)
    })
  )

const one = (step: Step): ReadonlyArray<Step> => [step]
