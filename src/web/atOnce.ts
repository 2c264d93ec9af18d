/**
 * What is known at once needs no fiber: an answer, or an effect that has yet to find it.
 */
import { Cause, Effect, Exit, Option } from "effect"

/** `A` is no effect, or one that gives itself. */
export type AtOnce<A, R = never> = A | Effect.Effect<A, never, R>

/** Goes on with what is asked: at once if it is known at once, as what `Effect.succeed` and `Effect.fail` make is. */
export const match = <A, E, R, B, R2 = never>(
  asked: Effect.Effect<A, E, R>,
  onSuccess: (value: A) => AtOnce<B, R2>,
  onFailure: (error: E) => AtOnce<B, R2>
): AtOnce<B, R | R2> => {
  if (Exit.isExit(asked)) {
    const exit = asked as Exit.Exit<A, E>
    if (Exit.isSuccess(exit)) return onSuccess(exit.value)
    const failure = Cause.failureOption(exit.cause)
    if (Option.isSome(failure)) return onFailure(failure.value)
  }
  return Effect.matchEffect(asked, {
    onSuccess: (value) => toEffect(onSuccess(value)),
    onFailure: (error) => toEffect(onFailure(error))
  })
}

/** What it gives, or that it threw. */
export const attempt = <A>(ask: () => Effect.Effect<A>): Effect.Effect<A> => {
  try {
    return ask()
  } catch (defect) {
    return Exit.die(defect)
  }
}

export const map = <A, R, B>(asked: AtOnce<A, R>, f: (value: A) => B): AtOnce<B, R> =>
  Effect.isEffect(asked) ? Effect.map(asked, f) : f(asked)

export const toEffect = <A, R>(answer: AtOnce<A, R>): Effect.Effect<A, never, R> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)

/** Asks once it is run. */
export const suspend = <A, R>(ask: () => AtOnce<A, R>): Effect.Effect<A, never, R> =>
  Effect.suspend(() => toEffect(ask()))
