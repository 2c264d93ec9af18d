/**
 * The metrics of a replica. Of this process only, never labelled by topic, key or replica.
 */
import { Metric, MetricBoundaries } from "effect"

export { add } from "../internal/metrics.js"

/** Sets without an effect. */
export const set = (metric: Metric.Metric.Gauge<number>, value: number): void => metric.unsafeUpdate(value, [])

/** Adds a measure without an effect. */
export const observe = (metric: Metric.Metric.Histogram<number>, value: number): void => metric.unsafeUpdate(value, [])

const calls = Metric.counter("presence_redis_calls_total", {
  description: "Calls sent to Redis",
  incremental: true
})

/** By the script, or `command`. */
export const callsBy: Readonly<Record<"command" | "apply" | "beat" | "read" | "get", Metric.Metric.Counter<number>>> = {
  command: calls.pipe(Metric.tagged("call", "command")),
  apply: calls.pipe(Metric.tagged("call", "apply")),
  beat: calls.pipe(Metric.tagged("call", "beat")),
  read: calls.pipe(Metric.tagged("call", "read")),
  get: calls.pipe(Metric.tagged("call", "get"))
}

export const failedCalls = Metric.counter("presence_redis_failed_calls_total", {
  description: "Calls that Redis refused or did not answer in time",
  incremental: true
})

export const callSeconds = Metric.histogram(
  "presence_redis_call_duration_seconds",
  MetricBoundaries.fromIterable([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]),
  "Time from a call to its answer"
)

const resyncs = Metric.counter("presence_redis_resyncs_total", {
  description: "Snapshots read because a followed topic had missed something",
  incremental: true
})

/** The reason is one of few, so the label stays small. */
export const resyncsBy = (reason: string): typeof resyncs => Metric.tagged(resyncs, "reason", reason)

export const reaped = Metric.counter("presence_redis_reaped_connections_total", {
  description: "Connections of lost replicas that this one ended",
  incremental: true
})

export const unpublished = Metric.counter("presence_redis_unpublished_total", {
  description: "Texts that were published here while Redis was away, and missed by others",
  incremental: true
})

export const dirty = Metric.gauge("presence_redis_dirty_connections", {
  description: "Connections that Redis does not have as they are wanted"
})

export const leaseAge = Metric.gauge("presence_redis_lease_age_seconds", {
  description: "Time since the last heartbeat that Redis answered"
})

export const hears = Metric.gauge("presence_redis_hears", {
  description: "1 while messages of other replicas can be subscribed to, 0 while they are polled for"
})
