/**
 * Interrupts an effect after so many of its operations, to find the step at which it should not have been.
 */
import { Effect, type Exit, type Fiber, FiberId, Scheduler } from "effect"

export interface Outcome<A, E> {
  readonly exit: Exit.Exit<A, E>
  /** Whether the effect still ran when its turn to be interrupted came. */
  readonly interrupted: boolean
}

export const interruptAt = <A, E>(effect: Effect.Effect<A, E>, operations: number): Effect.Effect<Outcome<A, E>> =>
  Effect.async((resume) => {
    const usual = new Scheduler.MixedScheduler(2_048)
    let seen = 0
    let interrupted = false
    const scheduler: Scheduler.Scheduler = {
      shouldYield: (fiber) => {
        if (fiber !== target || seen++ !== operations) return usual.shouldYield(fiber)
        interrupted = true
        fiber.unsafeInterruptAsFork(FiberId.none)
        return 0
      },
      scheduleTask: (task, priority, fiber) => usual.scheduleTask(task, priority, fiber)
    }
    // Not immediately, so that the fiber is known when its first operation runs.
    const target: Fiber.RuntimeFiber<A, E> = Effect.runFork(effect, { scheduler, immediate: false })
    target.addObserver((exit) => resume(Effect.succeed({ exit, interrupted })))
  })

/** Runs a case for each operation at which its effect can be interrupted, and once without. */
export const atEveryOperation = <E, R>(
  run: (operations: number) => Effect.Effect<{ readonly interrupted: boolean }, E, R>
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    for (let operations = 0; ; operations++) {
      const { interrupted } = yield* run(operations)
      if (!interrupted) return operations
    }
  })
