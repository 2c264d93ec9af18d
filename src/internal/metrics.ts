/**
 * Every metric of this package. Counted by connection, of this process only, never labelled by topic or key.
 */
import { Metric, MetricBoundaries } from "effect"
import type { LeaveReason } from "../PresenceChange.js"

/** Adds without an effect: what the synchronous step uses. */
export const add = (metric: Metric.Metric.Counter<number> | Metric.Metric.Gauge<number>, n: number): void =>
  metric.unsafeModify(n, [])

export const connections = Metric.gauge("presence_connections", { description: "Connections tracked here" })

export const topics = Metric.gauge("presence_topics", { description: "Topics with at least one connection" })

export const subscribers = Metric.gauge("presence_subscribers", {
  description: "Subscribers of channels and followers of topics"
})

export const joins = Metric.counter("presence_joins_total", {
  description: "Connections that joined",
  incremental: true
})

const leaves = Metric.counter("presence_leaves_total", { description: "Connections that left", incremental: true })

export const leavesBy: { readonly [reason in LeaveReason]: Metric.Metric.Counter<number> } = {
  released: leaves.pipe(Metric.tagged("reason", "released")),
  expired: leaves.pipe(Metric.tagged("reason", "expired")),
  evicted: leaves.pipe(Metric.tagged("reason", "evicted")),
  replicaLost: leaves.pipe(Metric.tagged("reason", "replicaLost"))
}

export const updates = Metric.counter("presence_updates_total", {
  description: "Metas that were replaced",
  incremental: true
})

export const evictions = Metric.counter("presence_evictions_total", {
  description: "Connections ended by evict",
  incremental: true
})

export const lagged = Metric.counter("presence_lagged_total", {
  description: "Texts, events and changes that slow subscribers lost",
  incremental: true
})

export const undecodable = Metric.counter("presence_undecodable_metas_total", {
  description: "Stored metas met that the schema of a typed presence does not decode",
  incremental: true
})

export const sweepSeconds = Metric.histogram(
  "presence_sweep_duration_seconds",
  MetricBoundaries.fromIterable([0.0001, 0.001, 0.01, 0.1, 1, 10]),
  "Time that a sweep took"
)

/** Makes all of them known, also those that nothing has happened to yet. */
export const register = (): void => {
  for (const metric of [
    connections,
    topics,
    subscribers,
    joins,
    updates,
    evictions,
    lagged,
    undecodable,
    sweepSeconds
  ]) {
    metric.register()
  }
  for (const metric of Object.values(leavesBy)) metric.register()
}
