/**
 * What this process causes, on all topics, for who writes it down: each change once, in the order in which it is told.
 *
 * Nothing is made while nobody listens. Who is slow loses the oldest, as a subscriber of one topic does.
 */
import { Effect, Stream } from "effect"
import type { PresenceActivity } from "../../PresenceActivity.js"
import type { Lagged } from "../../PresenceError.js"
import type { Changed } from "./delta.js"
import { Hubs } from "./hub.js"

/** A change and where it happened. */
export interface Caused extends Changed {
  readonly topic: string
}

/** No topic has this name. */
const ALL = ""

export class Activity {
  private readonly hubs: Hubs<Caused, void>

  constructor(bufferSize: number) {
    this.hubs = new Hubs(bufferSize, {
      step: (f) => Effect.sync(f),
      open: () => {},
      close: () => {},
      lag: () => {}
    })
  }

  add(change: Caused): void {
    if (this.hubs.size > 0) this.hubs.get(ALL)?.offer(change)
  }

  /** All that is added from the moment on in which the stream is run. */
  stream<B>(pick: (change: Caused) => ReadonlyArray<B>): Stream.Stream<B, Lagged> {
    return Stream.unwrapScoped(Effect.map(this.hubs.subscribe(ALL, pick), ({ stream }) => stream))
  }

  close(): void {
    this.hubs.close()
  }
}

/** A change as it is. */
export const plainActivity = ({
  type,
  topic,
  key,
  ref,
  previousRef,
  meta,
  reason
}: Caused): ReadonlyArray<PresenceActivity> => {
  if (type === "join") return [{ type, topic, key, ref, meta }]
  if (type === "leave") return [{ type, topic, key, ref, meta, reason }]
  return [{ type, topic, key, ref, previousRef, meta }]
}
