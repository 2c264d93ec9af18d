/** Whether tests notice. */
import { Harness } from "./harness.js"

export interface Trial {
  /** The tests, with what they are to notice in place. */
  readonly evaluate: () => Harness
  /** Which of them, until one fails. That one comes first from then on, as it may notice the next mutant too. */
  readonly tests: Array<number>
  /** How long each may take, as some wait for what never comes, in ms. */
  readonly atMost: (test: number) => number
  readonly onTest?: () => void
}

// As they are before a test replaces them.
const { setTimeout, clearTimeout, setImmediate } = globalThis

const UNCAUGHT = ["unhandledRejection", "uncaughtException"] as const

export const isNoticed = async ({ evaluate, tests, atMost, onTest }: Trial): Promise<boolean> => {
  let failed = false
  const onFailure = (): void => {
    failed = true
  }
  for (const what of UNCAUGHT) process.on(what, onFailure)
  let harness: Harness | undefined
  let running: number | undefined
  try {
    harness = evaluate()
    await harness.begin()
    for (const [at, index] of tests.entries()) {
      onTest?.()
      running = at
      const test = harness.tests[index]
      if (test === undefined) return true
      await within(atMost(index), Harness.play(test))
      if (failed) return true
    }
    await new Promise((resolve) => setImmediate(resolve))
    return failed
  } catch {
    if (running !== undefined) tests.unshift(...tests.splice(running, 1))
    return true
  } finally {
    // What was not begun has nothing to end.
    await harness?.end().catch(() => {})
    // What is still to be called in this turn may throw.
    await new Promise((resolve) => setImmediate(resolve))
    for (const what of UNCAUGHT) process.off(what, onFailure)
  }
}

const within = (ms: number, work: Promise<void>): Promise<void> =>
  new Promise((resolve, reject) => {
    const stuck = setTimeout(() => reject(new Error(`it takes longer than ${ms} ms`)), ms)
    work.then(resolve, reject).finally(() => clearTimeout(stuck))
  })
