/**
 * Waiting for something outside: with a bound, for a while, and longer each time that it fails.
 *
 * All of it is real time, as what is waited for is a real Redis.
 */
import { Effect, Option } from "effect"

/** What `register` hands to `done`, if it comes within `ms`. What it returns is called when nobody waits any more. */
export const within = <A>(
  ms: number,
  register: (done: (value: A) => void) => () => void
): Effect.Effect<Option.Option<A>> =>
  // The bound holds also where nothing may be interrupted: in a finalizer.
  Effect.async((resume) => {
    const timer = setTimeout(() => finish(Option.none()), ms)
    let unregister = (): void => {}
    let finished = false
    const finish = (result: Option.Option<A>): void => {
      if (finished) return
      finished = true
      clearTimeout(timer)
      unregister()
      resume(Effect.succeed(result))
    }
    const stop = register((value) => finish(Option.some(value)))
    if (finished) stop()
    else unregister = stop
    return Effect.sync(() => {
      finished = true
      clearTimeout(timer)
      unregister()
    })
  })

/** For what cannot be told that nobody waits. */
export const noStop = (): void => {}

/** A promise that fails after `timeout` ms, whatever becomes of it. */
export const timed = <A>(promise: Promise<A>, timeout: number, what: string): Promise<A> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} got no answer within ${Math.ceil(timeout)} ms`)), timeout)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (cause) => {
        clearTimeout(timer)
        reject(cause)
      }
    )
  })

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** How long to wait before the next attempt, in ms: from `first` on twice as long after each failure, up to a second. */
export const backoff = (first: number, failures: number): number => Math.min(first * 2 ** failures, 1_000)

/** Half of it to all of it, so that replicas that fail together do not come back as one. */
export const jitter = (ms: number): number => ms * (0.5 + Math.random() / 2)
