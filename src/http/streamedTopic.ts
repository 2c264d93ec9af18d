/**
 * A topic that event streams are open on. It is followed once, however many they are, from the first to the last, and
 * what it tells is encoded once: every stream is written the same bytes.
 *
 * Changes wait for `diffInterval` from the first of them and travel as one diff. A stream that comes is sent the state at
 * the last diff that went out, or what it missed up to there, then every diff after it. When following fails (the backend
 * is away) the streams end, and the clients come back.
 */
import { Cause, Chunk, Deferred, Duration, Effect, Exit, type Fiber, FiberId, Option, Stream } from "effect"
import type { Presence } from "../Presence.js"
import type { Diff, PresenceChange } from "../PresenceChange.js"
import { PresenceUnavailable } from "../PresenceError.js"
import { NetDiff } from "../web/netDiff.js"
import { type EventStream, encode } from "./eventStream.js"
import { TopicState } from "./topicState.js"

const BROKEN = "the topic can be followed no more"

export interface TopicOptions {
  readonly presence: Pick<Presence.Service, "changes">
  readonly diffInterval: Duration.Duration
  /** Runs it until the route's end. */
  readonly run: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
}

export interface Position {
  readonly epoch: string
  readonly version: number
}

export class StreamedTopic {
  private readonly streams = new Set<EventStream>()
  private readonly netDiff = new NetDiff()
  private readonly begun = Deferred.unsafeMake<void, PresenceUnavailable>(FiberId.none)
  private state: TopicState | undefined
  private fiber: Fiber.RuntimeFiber<void> | undefined
  private waiting = false
  private ended = false

  constructor(
    private readonly name: string,
    private readonly options: TopicOptions,
    private readonly onEnd: () => void
  ) {}

  add(stream: EventStream): void {
    this.streams.add(stream)
    if (this.fiber !== undefined) return
    this.fiber = this.options.run(this.following)
    // A fiber runs at once, and may have found that there is nothing to follow.
    if (this.ended) this.fiber.unsafeInterruptAsFork(FiberId.none)
  }

  delete(stream: EventStream): void {
    this.streams.delete(stream)
    if (this.streams.size > 0 || this.ended) return
    this.ended = true
    this.onEnd()
    this.fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  /** Begins a stream of this topic where its client stands. */
  begin(stream: EventStream, since: Position | undefined): Effect.Effect<void, PresenceUnavailable> {
    return Effect.gen(this, function* () {
      yield* Deferred.await(this.begun)
      const { state } = this
      if (state === undefined) return stream.end()
      // It came so fast that what it knows waits here to be told.
      if (since !== undefined && since.version > state.version) this.flush()
      const missing = since !== undefined && since.epoch === state.epoch && since.version < state.version
      const changes = missing ? yield* this.changesSince(since) : []
      // More may have been told meanwhile.
      const missed = since === undefined ? undefined : this.missed(state, since, changes)
      stream.begin(() => state.snapshot(this.name), missed)
    })
  }

  private changesSince(since: Position): Effect.Effect<Iterable<PresenceChange>, PresenceUnavailable> {
    return Effect.scoped(Effect.flatten(Stream.toPull(this.options.presence.changes(this.name, { since })))).pipe(
      Effect.catchAll(
        Option.match({ onNone: () => Effect.succeed(Chunk.empty<PresenceChange>()), onSome: (e) => Effect.fail(e) })
      )
    )
  }

  /** What leads from a position to what was told, as events; `undefined` if that is not at hand. */
  private missed(
    state: TopicState,
    { epoch, version }: Position,
    changes: Iterable<PresenceChange>
  ): ReadonlyArray<Uint8Array> | undefined {
    if (epoch !== state.epoch) return undefined
    if (version === state.version) return []
    const net = new NetDiff()
    let latest: Diff | undefined
    for (const change of changes) {
      if (change._tag === "Snapshot") return undefined
      // What has not been told waits for the next diff.
      if (change.version > state.version) break
      latest = change
      net.add(change)
    }
    if (latest?.version !== state.version) return undefined
    const diffs = net.take()
    // Also when nothing is left of it: the client has to know where it stands, as the next diff begins there.
    return (diffs.length > 0 ? diffs : [{ ...latest, from: version, joins: [], leaves: [], updates: [] }]).map(encode)
  }

  private readonly following: Effect.Effect<void> = Effect.suspend(() =>
    Stream.runForEachChunk(this.options.presence.changes(this.name), (changes) =>
      Effect.sync(() => {
        for (const change of changes) this.hear(change)
      })
    )
  ).pipe(
    Effect.onExit((exit) => Effect.sync(() => this.stop(exit))),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : Effect.logDebug("a topic cannot be followed; its clients will come again", cause)
    ),
    Effect.annotateLogs({ package: "effect-presence", fiber: "event streams" })
  )

  private hear(change: PresenceChange): void {
    if (this.state === undefined) {
      if (change._tag === "Diff") return
      this.netDiff.add(change)
      this.netDiff.take()
      this.state = new TopicState(change)
      Deferred.unsafeDone(this.begun, Exit.void)
      return
    }
    this.netDiff.add(change)
    if (Duration.toMillis(this.options.diffInterval) === 0) this.flush()
    else if (!this.waiting) {
      this.waiting = true
      this.options.run(Effect.zipRight(Effect.sleep(this.options.diffInterval), this.flushing))
    }
  }

  private readonly flushing = Effect.sync(() => {
    this.waiting = false
    this.flush()
  })

  private flush(): void {
    for (const change of this.netDiff.take()) {
      if (change._tag === "Snapshot") {
        this.state?.become(change)
        for (const stream of this.streams) stream.restart()
      } else {
        this.state?.apply(change)
        const bytes = encode(change)
        for (const stream of this.streams) stream.offer(bytes)
      }
    }
  }

  /** It is followed no more: what was heard is still told, then the streams end. */
  private stop(exit: Exit.Exit<void, PresenceUnavailable>): void {
    // Of interest where it never began.
    Deferred.unsafeDone(
      this.begun,
      Exit.mapErrorCause(exit, (cause) =>
        Cause.fail(Option.getOrElse(Cause.failureOption(cause), () => new PresenceUnavailable({ reason: BROKEN })))
      )
    )
    if (this.ended) return
    this.ended = true
    this.onEnd()
    this.flush()
    for (const stream of this.streams) stream.end()
  }
}
