/**
 * One response of server-sent events: a snapshot, then net diffs, as `changes` tells them.
 *
 * - **Pace.** Changes within `diffInterval` of the first travel as one diff ({@link NetDiff}). A comment every 15 s keeps
 *   proxies from closing the response.
 * - **A slow reader** is waited for: while its socket is full nothing is taken from `changes`, which holds a bounded
 *   number of changes and answers with a new snapshot when that was not enough.
 * - **Shutdown.** `EventStreams.end` ends every response. What a client has not read a second later is cut off, so that one
 *   that reads nothing cannot hold the server back. The same when what was granted to one expires.
 */
import { IncomingMessage } from "node:http"
import type { HttpServerRequest } from "@effect/platform"
import { Chunk, Clock, Duration, Effect, Option, type Scope, Stream } from "effect"
import type { PresenceChange } from "../PresenceChange.js"
import type { PresenceUnavailable } from "../PresenceError.js"
import { NetDiff } from "../web/netDiff.js"

const KEEP_ALIVE = Duration.seconds(15)

/** How long a client may take to read the rest once the server stops, in milliseconds. */
const LAST_READ = 1_000

const DAY = 86_400_000

type Changes = Stream.Stream<PresenceChange, PresenceUnavailable>

/** The open responses of a route layer. */
export class EventStreams {
  private readonly open = new Map<EventStream, HttpServerRequest.HttpServerRequest>()
  private ended = false

  constructor(private readonly diffInterval: Duration.Duration) {}

  /**
   * Subscribes. With `resumed` the client knows where it stands; else its snapshot is taken here. It ends by itself at
   * `expires`, in milliseconds since the epoch.
   */
  make(
    request: HttpServerRequest.HttpServerRequest,
    changes: Changes,
    resumed: boolean,
    expires?: number | undefined
  ): Effect.Effect<EventStream, PresenceUnavailable, Scope.Scope> {
    return Effect.gen(this, function* () {
      const stream = new EventStream(yield* Stream.toPull(changes), this.diffInterval)
      yield* Effect.acquireRelease(
        Effect.sync(() => this.open.set(stream, request)),
        () => Effect.sync(() => this.open.delete(stream))
      )
      if (this.ended) stream.end()
      if (!resumed) yield* stream.receive
      const over = Effect.sync(() => end(stream, request))
      if (expires !== undefined) yield* Effect.forkScoped(at(expires, over))
      return stream
    })
  }

  end(): void {
    this.ended = true
    for (const [stream, request] of this.open) end(stream, request)
  }
}

const end = (stream: EventStream, { source }: HttpServerRequest.HttpServerRequest): void => {
  stream.end()
  if (source instanceof IncomingMessage) setTimeout(() => source.socket.destroy(), LAST_READ).unref()
}

/** At a time by the clock on the wall, however far away: a timer of more than 24 days never goes off. */
const at = (time: number, then: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now >= time ? then : Effect.zipRight(Effect.sleep(Math.min(time - now, DAY)), at(time, then))
  )

/** One response. */
export class EventStream {
  private readonly waiting: { add(change: PresenceChange): void; take(): ReadonlyArray<PresenceChange> }
  private commentDue = false
  private ended = false
  /** Open while the reader waits for more. */
  private readonly wanted = Effect.unsafeMakeLatch(false)
  /** Open when there is something to send, or nothing more to come. */
  private readonly ready = Effect.unsafeMakeLatch(false)
  private readonly window: Effect.Effect<void>

  constructor(
    private readonly pull: Effect.Effect<Chunk.Chunk<PresenceChange>, Option.Option<PresenceUnavailable>>,
    diffInterval: Duration.Duration
  ) {
    const coalesces = Duration.toMillis(diffInterval) > 0
    this.waiting = coalesces ? new NetDiff() : new Line()
    this.window = coalesces ? Effect.sleep(diffInterval) : Effect.void
  }

  end(): void {
    this.ended = true
    this.ready.unsafeOpen()
  }

  /** Takes what `changes` has next. */
  readonly receive: Effect.Effect<void, PresenceUnavailable> = Effect.suspend(() => this.pull).pipe(
    Effect.flatMap((changes) =>
      Effect.sync(() => {
        for (const change of changes) this.waiting.add(change)
        this.ready.unsafeOpen()
      })
    ),
    Effect.catchAll(
      Option.match({
        onNone: () => Effect.sync(() => this.end()),
        onSome: (error: PresenceUnavailable) => Effect.fail(error)
      })
    )
  )

  /** The body. Its first bytes come at once: what is there, or a comment, since headers wait for a body. */
  readonly body: Stream.Stream<Uint8Array> = Stream.unwrapScoped(
    Effect.gen(this, function* () {
      yield* Effect.forkScoped(this.receiving)
      yield* Effect.forkScoped(this.commenting)
      const first = this.take()
      return Stream.concat(
        Stream.make(first.length > 0 ? utf8.encode(first) : utf8.encode(comment)),
        Stream.repeatEffectChunkOption(this.next)
      )
    })
  )

  private readonly receiving = Effect.suspend(() => this.wanted.await).pipe(
    Effect.zipRight(this.receive),
    Effect.repeat({ until: () => this.ended }),
    // The backend went away. The client comes back, and is answered 503 as long as that lasts.
    Effect.catchAll(() => Effect.sync(() => this.end()))
  )

  private readonly commenting = Effect.sync(() => {
    this.commentDue = true
    this.ready.unsafeOpen()
  }).pipe(Effect.delay(KEEP_ALIVE), Effect.forever)

  /** What to write next. */
  private readonly next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> = Effect.gen(this, function* () {
    if (this.ended) return yield* Effect.fail(Option.none())
    this.wanted.unsafeOpen()
    yield* this.ready.await
    if (!this.ended) yield* this.window
    this.wanted.unsafeClose()
    const text = this.take()
    return text.length > 0 ? Chunk.of(utf8.encode(text)) : Chunk.empty()
  })

  private take(): string {
    if (!this.ended) this.ready.unsafeClose()
    let text = this.commentDue ? comment : ""
    this.commentDue = false
    for (const change of this.waiting.take()) text += encode(change)
    return text
  }
}

/** The window of no length: each change by itself. */
class Line {
  private changes: Array<PresenceChange> = []

  add(change: PresenceChange): void {
    this.changes.push(change)
  }

  take(): ReadonlyArray<PresenceChange> {
    const changes = this.changes
    this.changes = []
    return changes
  }
}

const utf8 = new TextEncoder()

const comment = ": still here\n\n"

/** JSON has no line breaks, so an event has one line of data. */
const encode = (change: PresenceChange): string =>
  `id: ${change.epoch}.${change.version}\nevent: ${change._tag.toLowerCase()}\ndata: ${JSON.stringify(change)}\n\n`

/** What an id stands for, if it is one. */
export const resumeFrom = (
  id: string | undefined
): { readonly epoch: string; readonly version: number } | undefined => {
  const [, epoch, digits] = /^(.+)\.(\d{1,16})$/s.exec(id ?? "") ?? []
  const version = Number(digits)
  return epoch === undefined || !Number.isSafeInteger(version) ? undefined : { epoch, version }
}
