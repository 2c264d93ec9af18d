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
      const values = Effect.map(text, (rendered) =>
        ["0.0001", "0.001", "0.01", "10", "+Inf"]
          .map((le) => `bucket{le="${le}"}`)
          .concat("count", "sum")
          .map((start) => Number(lineOf(rendered, `presence_sweep_duration_seconds_${start}`)?.split(" ")[1]))
      )
      // Others in this process have swept as well.
      const before = yield* values
      for (const seconds of [0.0005, 0.005, 0.005, 100]) yield* Metric.update(own.sweepSeconds, seconds)
      const more = (yield* values).map((value, i) => value - (before[i] ?? Number.NaN))
      expect(more.slice(0, -1)).toEqual([0, 1, 3, 3, 4, 4])
      expect(more.at(-1)).toBeCloseTo(100.0105)
    })
  )
})
