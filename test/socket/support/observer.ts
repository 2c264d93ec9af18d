/** What an attack costs others: how late a bystander is answered, and how much memory the process grows by. */
import { Effect, type Scope } from "effect"
import { connect, phoenixUrl } from "./client.js"

export interface Observed {
  /** Milliseconds of the slowest answer. */
  readonly slowest: number
  readonly answers: number
  /** Bytes, at the worst. */
  readonly growth: number
}

export const observing = <A, E, R>(
  url: string,
  attack: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Observed], E | number, R | Scope.Scope> =>
  Effect.gen(function* () {
    const bystander = yield* connect(phoenixUrl(url))
    const before = process.memoryUsage().rss
    let observed: Observed = { slowest: 0, answers: 0, growth: 0 }
    const beat = Effect.gen(function* () {
      const started = performance.now()
      bystander.say(null, String(observed.answers), "phoenix", "heartbeat", {})
      yield* bystander.reply(String(observed.answers))
      bystander.frames.length = 0
      observed = {
        slowest: Math.max(observed.slowest, performance.now() - started),
        answers: observed.answers + 1,
        growth: Math.max(observed.growth, process.memoryUsage().rss - before)
      }
    })
    yield* beat
    const beats = yield* Effect.fork(Effect.forever(Effect.zipRight(beat, Effect.sleep(5))))
    const result = yield* attack
    yield* beats.interruptAsFork(beats.id()).pipe(Effect.zipRight(beat))
    return [result, observed] as const
  })
