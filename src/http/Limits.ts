/**
 * What a client of the HTTP routes may take up, as options.
 *
 * @since 0.2.0
 */
import { Duration } from "effect"
import { checkNames, readCount, readDuration, TIMER } from "../internal/input/options.js"

/**
 * What a client may do, each with its default.
 *
 * @since 0.2.0
 * @category models
 */
export interface Limits {
  /** Event streams that may be open at once, over all topics. Default 10,000; one more is answered 503. */
  readonly streams?: number | undefined
  /** Bytes of events that wait for one stream, over which it is sent the state instead. Default 1 MiB. */
  readonly unsentBytes?: number | undefined
  /**
   * Bytes of events and lists on their way to all clients together. Default 1 GiB; over it a stream for which some wait
   * already is sent the state instead, and lists are answered 503. What many are sent counts for each of them, though it is
   * kept once.
   */
  readonly unsentTotal?: number | undefined
  /**
   * How long a client may read nothing of what is written to it before it is cut off. Default 30 seconds. A list may
   * take ten times that in all, and that for each MiB.
   */
  readonly unsentFor?: Duration.DurationInput | undefined
  /**
   * How long somebody stays who joined and shows no life, beside the leave delay. Default 60 seconds. A response cannot
   * show any, so one that joins is ended after half to three quarters of it, and who comes back within a quarter of it
   * has never been away.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
}

const known: Record<keyof Limits, true> = {
  streams: true,
  unsentBytes: true,
  unsentTotal: true,
  unsentFor: true,
  idleTimeout: true
}

/**
 * All there are, which the type of `known` sees to.
 *
 * @internal
 */
export const names: ReadonlyArray<string> = Object.keys(known)

/**
 * The limits with their defaults, durations in milliseconds. Throws `InvalidOption`.
 *
 * @internal
 */
export const decode = (limits: Limits = {}) => {
  checkNames("limits", limits, names)
  const {
    streams = 10_000,
    unsentBytes = 1_048_576,
    unsentTotal = 1_073_741_824,
    unsentFor = "30 seconds",
    idleTimeout = "60 seconds"
  } = limits
  return {
    streams: readCount("limits.streams", streams),
    unsentBytes: readCount("limits.unsentBytes", unsentBytes),
    unsentTotal: readCount("limits.unsentTotal", unsentTotal),
    unsentFor: Duration.toMillis(readDuration("limits.unsentFor", unsentFor, TIMER)),
    idleTimeout: Duration.toMillis(readDuration("limits.idleTimeout", idleTimeout, TIMER))
  }
}
