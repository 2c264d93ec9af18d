/**
 * A join that wakes followers who wait for it, beside what Effect's `PubSub` does with the same event.
 */
import { Deferred, Effect, PubSub, Queue, type Scope, Stream } from "effect"
import type { PresenceEvent, Subscription } from "effect-presence"
import { check, type Row } from "./harness.js"
import { names, nth, perOperation, timed, times, withPresence } from "./measure.js"

const FOLLOWERS = 100
const JOINS = 100
const topic = "room:1"
const keys = names("user-", JOINS)

/**
 * Starts the followers, each of which calls `receive` for what it got, and joins one key after the other, the next when
 * the last has reached everybody and all are parked again.
 */
const deliver = <E, R>(
  follow: (receive: (event: PresenceEvent) => void) => Effect.Effect<void, E, Scope.Scope | R>,
  join: (key: string) => Effect.Effect<unknown, E, Scope.Scope | R>
) =>
  Effect.gen(function* () {
    let received = 0
    let all = yield* Deferred.make<void>()
    const receive = (event: PresenceEvent) => {
      check("event", event.type, "join")
      if (++received % FOLLOWERS === 0) Deferred.unsafeDone(all, Effect.void)
    }
    yield* times(FOLLOWERS, () => follow(receive))
    yield* parked
    const elapsed = yield* timed(
      times(JOINS, (i) =>
        Effect.gen(function* () {
          all = yield* Deferred.make<void>()
          yield* join(nth(keys, i))
          yield* Deferred.await(all)
        })
      )
    )
    check("deliveries", received, FOLLOWERS * JOINS)
    return perOperation(elapsed, FOLLOWERS * JOINS)
  })

/** A turn of the event loop: forked fibers have started and wait. */
const parked = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const ours =
  (
    read: (
      subscription: Subscription<PresenceEvent>,
      receive: (event: PresenceEvent) => void
    ) => Effect.Effect<void, unknown>
  ) =>
  () =>
    withPresence((presence) =>
      deliver<unknown, never>(
        (receive) =>
          Effect.flatMap(presence.subscribe(topic), (subscription) => Effect.forkScoped(read(subscription, receive))),
        (key) => presence.track(topic, key, { role: "viewer" })
      )
    )

const take = ours((subscription, receive) =>
  Effect.forever(Effect.map(subscription.take, (events) => events.forEach(receive)))
)

const stream = ours((subscription, receive) =>
  Stream.runForEach(subscription.stream, (event) => Effect.sync(() => receive(event)))
)

const publish = (hub: PubSub.PubSub<PresenceEvent>) => (key: string) =>
  PubSub.publish(hub, { type: "join", key, meta: { role: "viewer" } })

const takeBetween = () =>
  Effect.flatMap(PubSub.unbounded<PresenceEvent>(), (hub) =>
    deliver(
      (receive) =>
        Effect.flatMap(PubSub.subscribe(hub), (queue) =>
          Effect.forkScoped(
            Effect.forever(
              Effect.map(Queue.takeBetween(queue, 1, Number.POSITIVE_INFINITY), (events) => {
                for (const event of events) receive(event)
              })
            )
          )
        ),
      publish(hub)
    )
  ).pipe(Effect.scoped, Effect.runPromise)

const fromPubSub = () =>
  Effect.flatMap(PubSub.unbounded<PresenceEvent>(), (hub) =>
    deliver(
      (receive) =>
        Effect.flatMap(Stream.fromPubSub(hub, { scoped: true }), (events) =>
          Effect.forkScoped(Stream.runForEach(events, (event) => Effect.sync(() => receive(event))))
        ),
      publish(hub)
    )
  ).pipe(Effect.scoped, Effect.runPromise)

export const followers: ReadonlyArray<Row> = [
  {
    name: `a join to ${FOLLOWERS} parked subscribers, by take, each`,
    unit: "ns",
    ours: take,
    rivals: [{ name: "PubSub.subscribe and takeBetween", target: 1.1, run: takeBetween }]
  },
  {
    name: `a join to ${FOLLOWERS} parked subscribers, by stream, each`,
    unit: "ns",
    ours: stream,
    rivals: [{ name: "Stream.fromPubSub", target: 0.7, run: fromPubSub }]
  }
]
