/**
 * What suites take from the test runner, in so far as those of the rules do: here they are played over and over in one
 * process, for each mutant anew.
 */
import { ASYMMETRIC_MATCHERS_OBJECT, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect"
import * as chai from "chai"
import { Effect } from "effect"

type Run = () => unknown

interface Test {
  readonly name: string
  readonly run: Run
  /** Of the suites around it, the outermost first. */
  readonly before: ReadonlyArray<Run>
  readonly after: ReadonlyArray<Run>
}

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin)
const expect = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  (globalThis as unknown as Record<symbol, object>)[ASYMMETRIC_MATCHERS_OBJECT]
)

const real = { setTimeout, clearTimeout, now: performance.now.bind(performance) }

/** Time as `vi` fakes it: timers and the monotonic clock. */
const fakeTime = () => {
  let now = 0
  let timers: Array<{ readonly at: number; readonly run: Run }> = []
  return {
    useFakeTimers: () => {
      now = 0
      timers = []
      Object.assign(globalThis, {
        setTimeout: (run: (...args: Array<unknown>) => void, ms = 0, ...args: Array<unknown>) => {
          const timer = { at: now + Math.max(1, ms), run: () => run(...args), unref: () => timer, ref: () => timer }
          timers.push(timer)
          return timer
        },
        clearTimeout: (timer: unknown) => {
          timers = timers.filter((other) => other !== timer)
        }
      })
      performance.now = () => now
    },
    useRealTimers: () => {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout })
      performance.now = real.now
    },
    advanceTimersByTime: (ms: number) => {
      const end = now + ms
      for (;;) {
        const [next] = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
        if (next === undefined) break
        timers.splice(timers.indexOf(next), 1)
        now = next.at
        next.run()
      }
      now = end
    }
  }
}

export class Harness {
  readonly tests: Array<Test> = []
  private readonly first: Array<Run> = []
  private readonly last: Array<Run> = []
  private readonly around: Array<{ readonly names: string; readonly before: Array<Run>; readonly after: Array<Run> }> =
    [{ names: "", before: [], after: [] }]

  /** What `@effect/vitest` is to the suites. */
  get module() {
    const add = (name: string, run: Run): void => {
      this.tests.push({
        name: `${this.innermost.names} ${name}`,
        run,
        before: this.around.flatMap(({ before }) => before),
        after: this.around.flatMap(({ after }) => after).reverse()
      })
    }
    const it = Object.assign(add, {
      live: (name: string, run: () => Effect.Effect<unknown, unknown>) =>
        add(name, () => Effect.runPromise(Effect.suspend(run))),
      each: (all: ReadonlyArray<unknown>) => (name: string, run: (...args: Array<unknown>) => unknown) => {
        for (const args of all) add(name, () => (Array.isArray(args) ? run(...args) : run(args)))
      }
    })
    const describe = (name: string, define: () => void): void => {
      this.around.push({ names: `${this.innermost.names} ${name}`, before: [], after: [] })
      define()
      this.around.pop()
    }
    return {
      describe: Object.assign(describe, { skipIf: (isOff: boolean) => (isOff ? () => {} : describe) }),
      it,
      expect,
      beforeAll: (run: Run) => void this.first.push(run),
      afterAll: (run: Run) => void this.last.push(run),
      beforeEach: (run: Run) => void this.innermost.before.push(run),
      afterEach: (run: Run) => void this.innermost.after.push(run),
      vi: fakeTime()
    }
  }

  /** Before the first test. */
  async begin(): Promise<void> {
    for (const run of this.first) await run()
  }

  /** After the last. */
  async end(): Promise<void> {
    for (const run of this.last) await run()
  }

  /** Plays a test, and fails as it does. */
  static async play({ run, before, after }: Test): Promise<void> {
    try {
      for (const one of before) await one()
      await run()
    } finally {
      for (const one of after) await one()
    }
  }

  private get innermost() {
    return this.around[this.around.length - 1] as (typeof this.around)[number]
  }
}
