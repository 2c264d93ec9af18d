import { describe, expect, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { PresenceLive } from "../../src/index.js"
import * as own from "../../src/internal/metrics.js"
import { text } from "../../src/server/metrics.js"

const lineOf = (rendered: string, start: string) => rendered.split("\n").find((line) => line.startsWith(start))

describe("metrics", () => {
  it.effect("are all there from the start, and only those of this package", () =>
    Effect.gen(function* () {
      yield* Metric.increment(Metric.counter("somebody_elses_total"))
      const rendered = yield* text
      expect(rendered).not.toContain("somebody")
      for (const name of ["presence_connections", "presence_topics", "presence_subscribers"]) {
        expect(rendered).toContain(`# TYPE ${name} gauge\n${name} `)
      }
      for (const name of ["presence_joins_total", "presence_updates_total", "presence_evictions_total"]) {
        expect(rendered).toContain(`# TYPE ${name} counter\n${name} `)
      }
      expect(rendered.match(/^presence_leaves_total\{reason="\w+"\} /gm)).toHaveLength(4)
      expect(rendered.match(/^# TYPE presence_leaves_total counter$/gm)).toHaveLength(1)
      for (const line of rendered.trimEnd().split("\n")) {
        expect(line).toMatch(/^(# (HELP|TYPE) presence_\w+ .+|presence_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \S+)$/)
      }
    }).pipe(Effect.provide(PresenceLive))
  )

  it.effect("write a histogram with cumulative buckets, sum and count", () =>
    Effect.gen(function* () {
      for (const seconds of [0.0005, 0.005, 0.005, 100]) yield* Metric.update(own.sweepSeconds, seconds)
      const rendered = yield* text
      const value = (start: string) =>
        Number(lineOf(rendered, `presence_sweep_duration_seconds_${start}`)?.split(" ")[1])
      expect(value(`bucket{le="0.0001"}`)).toBe(0)
      expect(value(`bucket{le="0.001"}`)).toBe(1)
      expect(value(`bucket{le="0.01"}`)).toBe(3)
      expect(value(`bucket{le="10"}`)).toBe(3)
      expect(value(`bucket{le="+Inf"}`)).toBe(4)
      expect(value("count")).toBe(4)
      expect(value("sum")).toBeCloseTo(100.0105)
    })
  )
})
