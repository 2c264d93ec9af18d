/**
 * Options with their defaults, decoded once.
 */
import { Duration, Option } from "effect"
import type { LimitName } from "../../PresenceError.js"
import { MAX_DEPTH } from "./json.js"

export type InputLimits = { readonly [limit in LimitName]: number }

export const defaultLimits: InputLimits = {
  topicBytes: 255,
  keyBytes: 255,
  metaBytes: 16_384,
  metaDepth: 64,
  connectionsPerKey: 1_000,
  keysPerTopic: 1_000_000
}

export interface PresenceSettings {
  /** Nanoseconds; Infinity: for ever. */
  readonly ttl: number
  readonly sweepInterval: Duration.Duration
  readonly bufferSize: number
  readonly limits: InputLimits
}

export const decode = (options?: {
  readonly ttl?: Duration.DurationInput | undefined
  readonly sweepInterval?: Duration.DurationInput | undefined
  readonly bufferSize?: number | undefined
  readonly limits?: { readonly [limit in LimitName]?: number | undefined } | undefined
}): PresenceSettings => ({
  ttl: nanos(options?.ttl ?? "30 seconds"),
  sweepInterval: Duration.decode(options?.sweepInterval ?? "1 second"),
  bufferSize: Math.max(1, options?.bufferSize ?? 4_096),
  limits: withDefaults(options?.limits ?? {})
})

const withDefaults = (given: { readonly [limit in LimitName]?: number | undefined }): InputLimits => {
  const limits = { ...defaultLimits }
  for (const [name, max] of Object.entries(given)) if (max !== undefined) limits[name as LimitName] = max
  // Here too, so that an error names what holds.
  return { ...limits, metaDepth: Math.min(limits.metaDepth, MAX_DEPTH) }
}

/** Whole nanoseconds as a number: exact up to 104 days, the precision of a double beyond. */
export const nanos = (duration: Duration.DurationInput): number =>
  Option.match(Duration.toNanos(duration), { onNone: () => Number.POSITIVE_INFINITY, onSome: Number })
