import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { costOf, full, press, take } from "../../../src/socket/connection/rateLimit.js"

describe("messages a second", () => {
  const rate = { perSecond: 1_000, burst: 2_000 }

  it("a burst passes at once, the next waits for its token", () => {
    let bucket = full(rate, 0)
    for (let i = 0; i < 2_000; i++) {
      const taken = take(rate, bucket, 0)
      expect(taken.wait).toBe(0)
      bucket = taken.bucket
    }
    const late = take(rate, bucket, 0)
    expect(late.wait).toBe(1)
    expect(take(rate, late.bucket, 1).wait).toBe(0)
  })

  it("a long message is let in by one token, and what it costs beyond is owed", () => {
    expect([costOf(1), costOf(256), costOf(25_600)]).toEqual([1, 1, 100])
    const first = take(rate, { thousandths: 1_000, at: 0 }, 0, costOf(1_048_576))
    expect(first.wait).toBe(0)
    expect(take(rate, first.bucket, 0).wait).toBe(4_096)
    expect(take(rate, first.bucket, 4_096).wait).toBe(0)
  })

  it("whatever the moments, no more pass than burst and rate allow, and waiting as told is enough", () => {
    fc.assert(
      fc.property(
        fc.record({ perSecond: fc.integer({ min: 1, max: 5_000 }), burst: fc.integer({ min: 1, max: 50 }) }),
        fc.array(fc.integer({ min: -5, max: 50 }), { maxLength: 200 }),
        (rate, gaps) => {
          let now = 1_000
          let latest = now
          let bucket = full(rate, now)
          let passed = 0
          for (const gap of gaps) {
            now += gap
            latest = Math.max(latest, now)
            const taken = take(rate, bucket, now)
            bucket = taken.bucket
            if (taken.wait === 0) passed++
            else expect(take(rate, bucket, now + taken.wait).wait).toBe(0)
          }
          // Steps back of the clock may be counted again on the way forth.
          const elapsed = gaps.reduce((sum, gap) => sum + Math.max(0, gap), 0)
          expect(passed).toBeLessThanOrEqual(rate.burst + (elapsed * rate.perSecond) / 1_000)
        }
      )
    )
  })
})

describe("bytes unsent", () => {
  const allowance = { unsentBytes: 1_000, unsentFor: 30 }

  it("over the allowance it is full, and no more when half of that has gone", () => {
    expect(press(allowance, undefined, 1_000, 0)).toEqual({ fullSince: undefined, cut: false })
    expect(press(allowance, undefined, 1_001, 5)).toEqual({ fullSince: 5, cut: false })
    expect(press(allowance, 5, 900, 10)).toEqual({ fullSince: 5, cut: false })
    expect(press(allowance, 5, 500, 10)).toEqual({ fullSince: undefined, cut: false })
  })

  it("still full after its time it is cut off, and one that has drained by then is not", () => {
    expect(press(allowance, 0, 900, 29).cut).toBe(false)
    expect(press(allowance, 0, 900, 30).cut).toBe(true)
    expect(press(allowance, 0, 400, 30).cut).toBe(false)
  })
})
