/**
 * The public keys of whoever makes tokens, as their server lists them (a JWKS, RFC 7517).
 *
 * They are asked for when the first token comes, again when they are ten minutes old, and when a token is signed by none of
 * them: so a key that rotates is picked up. The server is asked once in five seconds at the most, whatever tokens come.
 *
 * While it does not answer, the keys that are known go on counting, and a token of any other is let in nowhere. The log has
 * one warning for each such time.
 */
import { Deferred, Effect, Exit, FiberId } from "effect"
import type { JSONWebKeySet } from "jose"
import { createLocalJWKSet } from "jose/jwks/local"
import { Turns } from "./turns.js"

/** The keys, for `jwtVerify`. */
export type Keys = ReturnType<typeof createLocalJWKSet>

/** Milliseconds after which keys are asked for again. */
const FRESH = 600_000

/** Milliseconds between two questions. */
const PAUSE = 5_000

/** Milliseconds that an answer may take. */
const TIMEOUT = 5_000

export class KeySet {
  private known: Keys | undefined
  private read = Number.NEGATIVE_INFINITY
  private asked = Number.NEGATIVE_INFINITY
  private isAway = false
  /** Until the question that is being asked is answered. */
  private answer: Effect.Effect<void> | undefined
  /** Thousands may wait for one answer. */
  private readonly turns = new Turns(16)

  constructor(private readonly url: URL) {}

  /** What is known. `undefined` while nobody has ever answered. */
  readonly keys: Effect.Effect<Keys | undefined> = Effect.suspend(() => {
    const asked = this.askWhen((now) => now - this.read >= FRESH)
    // Nobody waits for a server that did not answer the last time, with a token that may be of a known key.
    return this.isAway && this.known !== undefined ? Effect.as(Effect.forkDaemon(asked), this.known) : asked
  })

  /** What is known after another question, for a token that the keys of before do not fit, if it is time for one. */
  newer(than: Keys | undefined): Effect.Effect<Keys | undefined> {
    return Effect.map(
      this.askWhen(() => this.known === than),
      (keys) => (keys === than ? undefined : keys)
    )
  }

  private askWhen(isDue: (now: number) => boolean): Effect.Effect<Keys | undefined> {
    return Effect.flatMap(monotonic, (now) => {
      const isAsked = this.answer !== undefined
      if (!isDue(now) || (!isAsked && now - this.asked < PAUSE)) return Effect.succeed(this.known)
      return Effect.map(Effect.zipRight(this.question, this.turns.turn), () => this.known)
    })
  }

  /**
   * Asks, unless somebody has and waits for the answer, which is this one's too. Who goes meanwhile takes nothing along: others
   * wait for it by then.
   */
  private readonly question: Effect.Effect<void> = Effect.uninterruptibleMask((restore) => {
    if (this.answer !== undefined) return restore(this.answer)
    const answered = Deferred.unsafeMake<void>(FiberId.none)
    this.answer = Deferred.await(answered)
    const over = Effect.sync(() => {
      this.answer = undefined
      Deferred.unsafeDone(answered, Exit.void)
    })
    const asking = Effect.forkDaemon(Effect.ensuring(Effect.interruptible(this.ask), over))
    return Effect.zipRight(asking, restore(this.answer))
  })

  private readonly ask: Effect.Effect<void> = Effect.suspend(() =>
    Effect.tryPromise({ try: (signal) => download(this.url, signal), catch: why })
  ).pipe(
    Effect.timeoutFail({ duration: TIMEOUT, onTimeout: () => `no answer within ${TIMEOUT / 1_000} seconds` }),
    Effect.matchEffect({
      onSuccess: (keys) =>
        Effect.map(monotonic, (now) => {
          this.known = keys
          this.read = now
          this.asked = now
          this.isAway = false
        }),
      onFailure: (reason) =>
        Effect.flatMap(monotonic, (now) => {
          this.asked = now
          if (this.isAway) return Effect.void
          this.isAway = true
          const then =
            this.known === undefined ? "no token can be checked" : "only tokens of the keys known so far get in"
          return Effect.logWarning(`the keys at ${this.url} cannot be read, and ${then} until they can: ${reason}`)
        })
    }),
    Effect.annotateLogs({ package: "effect-presence" })
  )
}

const monotonic = Effect.map(Effect.clock, (clock) => Number(clock.unsafeCurrentTimeNanos()) / 1e6)

const download = async (url: URL, signal: AbortSignal): Promise<Keys> => {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal
  })
  if (response.status !== 200) throw new Error(`the answer has status ${response.status}`)
  return createLocalJWKSet((await response.json()) as JSONWebKeySet)
}

/** What `fetch` says is in its cause. */
const why = (error: unknown): string =>
  error instanceof Error && error.cause instanceof Error ? `${error.message}, ${error.cause.message}` : String(error)
