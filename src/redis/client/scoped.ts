/**
 * A port for as long as a scope is open, and who listens to it.
 */
import { Effect, LogLevel, type Metric, Runtime, type Scope } from "effect"
import { PresenceUnavailable } from "../../PresenceError.js"
import * as metrics from "../metrics.js"
import type { Where } from "./connection.js"
import { open } from "./ioredis.js"
import type { Port, PortEvents } from "./port.js"

/** Hears of the connections. None of these may fail. */
export interface PortListener extends Omit<PortEvents, "onMessage"> {
  /** Whether the channel is one of the listener's. */
  readonly onMessage: (channel: string, text: string) => boolean
}

export interface OpenPort {
  readonly port: Port
  /** From now on the listener is told; what is ready already is told at once. */
  readonly listen: (listener: PortListener) => void
}

/** How long no second warning follows of what is dropped for one kind of reason, in ms. */
const QUIET = 60_000

export const openPort = (options: {
  readonly where: Where
  readonly timeout: number
}): Effect.Effect<OpenPort, PresenceUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const run = Runtime.runFork(yield* Effect.runtime())
    const listeners: Array<PortListener> = []
    const all = (tell: (listener: PortListener) => void): void => {
      for (const listener of listeners) tell(listener)
    }
    /** When what cannot be read was last warned of, by the kind of its error. */
    const warned = new Map<string, number>()
    /** Anybody may publish anything; what is not ours, or of a later version, cannot be read. */
    const dropped = (channel: string, cause: unknown): void => {
      const { name, message } = cause instanceof Error ? cause : new Error(String(cause))
      const now = performance.now()
      const isDue = now - (warned.get(name) ?? Number.NEGATIVE_INFINITY) >= QUIET
      if (isDue) warned.set(name, now)
      run(
        Effect.logWithLevel(
          isDue ? LogLevel.Warning : LogLevel.Debug,
          `a message on ${JSON.stringify(channel)} is dropped: ${message}`
        )
      )
    }
    const handlers: PortEvents = {
      onMessage: (channel, text) => {
        try {
          listeners.some((listener) => listener.onMessage(channel, text))
        } catch (cause) {
          dropped(channel, cause)
        }
      },
      onReady: () => all((listener) => listener.onReady()),
      onSubscriberReady: () => all((listener) => listener.onSubscriberReady()),
      onDown: (reason) => all((listener) => listener.onDown(reason)),
      onSubscriberDown: () => all((listener) => listener.onSubscriberDown())
    }
    // A program that is to end does not wait for a Redis that is not there: whatever comes of it then is closed.
    const opening = yield* Effect.acquireRelease(
      Effect.sync(() => open({ ...options, name: "effect-presence" }, handlers)),
      (opening) => Effect.sync(() => void opening.then((port) => port.close()).catch(() => {}))
    )
    const port = yield* Effect.tryPromise({
      try: () => opening,
      catch: (cause) =>
        new PresenceUnavailable({ reason: cause instanceof Error ? cause.message : String(cause), cause })
    })
    for (const warning of port.warnings) yield* Effect.logWarning(warning)
    return {
      port: measured(port),
      listen: (listener) => {
        listeners.push(listener)
        if (port.isReady()) listener.onReady()
        if (port.isSubscriberReady()) listener.onSubscriberReady()
      }
    }
  })

/** The port with its metrics. */
const measured = (port: Port): Port => {
  const measure = <A>(counter: Metric.Metric.Counter<number>, promise: Promise<A>): Promise<A> => {
    metrics.add(counter, 1)
    const start = performance.now()
    promise.then(
      () => metrics.observe(metrics.callSeconds, (performance.now() - start) / 1_000),
      () => metrics.add(metrics.failedCalls, 1)
    )
    return promise
  }
  const scripts: Readonly<Record<string, Metric.Metric.Counter<number>>> = metrics.callsBy
  return {
    ...port,
    command: (name, args) => measure(metrics.callsBy.command, port.command(name, args)),
    run: (script, keys, args) => measure(scripts[script.name] ?? metrics.callsBy.command, port.run(script, keys, args))
  }
}
