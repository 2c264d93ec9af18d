/**
 * What the contract suites run over: any layer that gives the services, and a way for its time to pass.
 *
 * A layer in process runs under `TestClock`. One that talks to the outside needs a time that goes on by itself, and leaps
 * where the suites let it pass.
 */
import { setTimeout } from "node:timers/promises"
import { it } from "@effect/vitest"
import { Duration, Effect, type Layer, type Scope, TestClock } from "effect"
import type { Channels, Presence } from "../../src/index.js"
import { type LeapingClock, leapingClock } from "../support/leaps.js"

/** A fresh and empty service at each call. */
export type MakeLayer = (options?: Presence.Options) => Layer.Layer<Presence | Channels, unknown>

export interface Time {
  /** Registers a test that runs on this time. */
  readonly test: (name: string, body: () => Effect.Effect<void, unknown, Scope.Scope>) => void
  /** The step that ttls and delays of the suites are multiples of. */
  readonly tick: Duration.Duration
  /** Lets ticks pass. */
  readonly pass: (ticks: number) => Effect.Effect<void>
}

export const testTime: Time = {
  test: (name, body) => it.scoped(name, body),
  tick: Duration.seconds(1),
  pass: (ticks) => TestClock.adjust(Duration.seconds(ticks))
}

/** What was begun has a moment to reach the outside, which has `answered` by then, and to come back; so has what falls due. */
export const leapingTime = (answered: () => Promise<unknown>): Time => {
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await setTimeout(5)
      await answered()
    }
  }
  return {
    test: (name, body) => it.scopedLive(name, () => Effect.suspend(() => Effect.withClock(body(), leapingClock()))),
    tick: LEAP,
    pass: (ticks) =>
      Effect.clockWith((clock) =>
        Effect.promise(async () => {
          await settled()
          for (let i = 0; i < ticks; i++) {
            ;(clock as LeapingClock).leap(LEAP)
            await settled()
          }
        })
      )
  }
}

/** So long that nothing else takes as long. */
const LEAP = Duration.minutes(1)

/** Registers a test over a fresh layer. Its scope closes before the layer does. */
export type Check = (
  name: string,
  body: () => Effect.Effect<void, unknown, Presence | Channels | Scope.Scope>,
  options?: Presence.Options
) => void

/** What a part of the suite is given. */
export interface Subject extends Time {
  readonly layer: MakeLayer
  readonly check: Check
  /** A duration of so many ticks. */
  readonly ticks: (n: number) => Duration.Duration
}

export const subject = (layer: MakeLayer, time: Time): Subject => ({
  ...time,
  layer,
  check: (name, body, options) =>
    time.test(name, () => Effect.provide(Effect.scoped(Effect.suspend(body)), layer(options))),
  ticks: (n) => Duration.times(time.tick, n)
})
