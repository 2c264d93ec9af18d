/**
 * Present for as long as somebody listens, where a connection alone proves nothing: the system of a client that is frozen,
 * or has lost its network, seems to take what is written for minutes, or for ever.
 *
 * The lease has a ttl, and each time the reader asks, the first included, it starts anew. RPC asks once its client has said that it got
 * what was sent. So that there is always something to get, a stream that is quiet repeats where it stands: a diff from a
 * version to itself, which changes nothing. Who comes back after a silence is present again.
 */
import { type Duration, Effect, Option, Stream } from "effect"
import type { Lease } from "../Lease.js"
import type { Diff, PresenceChange } from "../PresenceChange.js"
import type { PresenceUnavailable } from "../PresenceError.js"

/** Repeats every so often where the stream stands. */
export const repeating =
  (every: Duration.Duration) =>
  <A, E, R>(changes: Stream.Stream<PresenceChange<A>, E, R>): Stream.Stream<PresenceChange<A>, E, R> =>
    Stream.merge(Stream.map(changes, Option.some), Stream.repeatEffect(Effect.delay(Effect.succeedNone, every)), {
      haltStrategy: "left"
    }).pipe(
      Stream.mapAccum(Option.none<PresenceChange<A>>(), (last, change) => {
        const next = Option.orElse(change, () => Option.map(last, standing))
        return [Option.orElse(next, () => last), next]
      }),
      Stream.filterMap((change) => change)
    )

const standing = <A>({ topic, epoch, version }: PresenceChange<A>): Diff<A> => ({
  _tag: "Diff",
  topic,
  epoch,
  from: version,
  version,
  joins: [],
  leaves: [],
  updates: []
})

/** Starts the ttl anew each time that more is asked for. Ends when the lease has. */
export const proving =
  (lease: Pick<Lease<never, never>, "refresh">) =>
  <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E | PresenceUnavailable, R> =>
    Stream.fromPull(
      Effect.map(Stream.toPull(stream), (pull) =>
        Effect.flatMap(Effect.mapError(lease.refresh, Option.some), (result) =>
          result === "renewed" || result === "rejoined" ? pull : Effect.fail(Option.none())
        )
      )
    )
