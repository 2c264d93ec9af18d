/**
 * The open event streams of a route layer, bounded in number. A comment every 15 s keeps proxies from closing those on
 * which nothing happens. They end together at shutdown, one by itself when what was granted to it expires.
 */
import type { HttpServerRequest } from "@effect/platform"
import { Data, Duration, Effect, type Scope } from "effect"
import { inTurns } from "../internal/leases/turns.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { atTime } from "../web/atTime.js"
import { Turns } from "../web/turns.js"
import { EventStream, type StreamOptions } from "./eventStream.js"
import { type Position, StreamedTopic, type TopicOptions } from "./streamedTopic.js"

const KEEP_ALIVE = Duration.seconds(15)

/** No more streams may be open. */
export class TooManyStreams extends Data.TaggedError("TooManyStreams")<{ readonly max: number }> {
  override get message(): string {
    return `${this.max} event streams are open, and no more are allowed`
  }
}

export interface Wanted {
  readonly request: HttpServerRequest.HttpServerRequest
  readonly topic: string
  /** Where the client stands, if it knows. */
  readonly since: Position | undefined
  /** When it ends by itself, in milliseconds since the epoch. */
  readonly expires: number | undefined
  readonly retry: number | undefined
}

export class EventStreams {
  private readonly topics = new Map<string, StreamedTopic>()
  private readonly streams = new Set<EventStream>()
  /** A fiber that is woken works later, so time says nothing of how many fit into a turn. */
  private readonly turns = new Turns(8)
  /** Thousands may come at once, after a restart. */
  private readonly beginnings = new Turns(4)
  private ended = false

  constructor(
    private readonly options: TopicOptions & Omit<StreamOptions, "retry" | "turns"> & { readonly streams: number }
  ) {}

  /** Opens one until the scope closes. It stands where the client does, or at the state as it was last told. */
  open({
    request,
    topic,
    since,
    expires,
    retry
  }: Wanted): Effect.Effect<EventStream, PresenceUnavailable | TooManyStreams, Scope.Scope> {
    return Effect.gen(this, function* () {
      yield* this.beginnings.turn
      const { stream, on } = yield* Effect.acquireRelease(
        Effect.suspend(() => {
          const { streams: max } = this.options
          if (this.streams.size >= max) return Effect.fail(new TooManyStreams({ max }))
          const stream = new EventStream(request, { ...this.options, turns: this.turns, retry })
          const on = this.topic(topic)
          this.streams.add(stream)
          on.add(stream)
          return Effect.succeed({ stream, on })
        }),
        ({ stream, on }) =>
          Effect.sync(() => {
            this.streams.delete(stream)
            on.delete(stream)
            stream.forget()
          })
      )
      yield* on.begin(stream, since)
      if (this.ended) stream.end()
      const over = Effect.sync(() => stream.end())
      if (expires !== undefined) yield* Effect.forkScoped(Effect.zipRight(atTime(expires), over))
      return stream
    })
  }

  /** Keeps the responses alive for as long as it runs. */
  readonly keepingAlive: Effect.Effect<never> = Effect.suspend(() => this.each((stream) => stream.keepAlive())).pipe(
    Effect.delay(KEEP_ALIVE),
    Effect.forever
  )

  /** Ends them all, and each that comes later. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.ended = true
    return this.each((stream) => stream.end())
  })

  private each(f: (stream: EventStream) => void): Effect.Effect<void> {
    const streams = this.streams.values()
    return inTurns(
      Effect.sync(() => {
        const { value, done } = streams.next()
        if (value !== undefined) f(value)
        return done !== true
      })
    )
  }

  private topic(name: string): StreamedTopic {
    const known = this.topics.get(name)
    if (known !== undefined) return known
    const topic = new StreamedTopic(name, this.options, () => this.topics.delete(name))
    this.topics.set(name, topic)
    return topic
  }
}
