/**
 * Waiting for something outside, with a bound that holds also where nothing may be interrupted: in a finalizer.
 *
 * The bound is real time, as what it waits for is a real Redis.
 */
import { Effect, Option } from "effect"

/** What `register` hands to `done`, if it comes within `ms`. What it returns is called when nobody waits any more. */
export const within = <A>(
  ms: number,
  register: (done: (value: A) => void) => () => void
): Effect.Effect<Option.Option<A>> =>
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
