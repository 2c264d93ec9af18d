/** What all sockets of a route are told now and then. */
import { expect, it } from "@effect/vitest"
import { Duration } from "effect"
import { OpenSockets } from "../../../src/socket/connection/openSockets.js"

it("they are told for how long the process stood still, by both clocks, and not that it was late", () => {
  const sockets = new OpenSockets(Duration.zero, { unsent: 1, unfinished: 1 }, () => {})
  const told: Array<number> = []
  const tick = (stoodStill = 0): void => void told.push(stoodStill)
  sockets.add({ unsent: 0, unfinished: 0, close: () => {}, cut: () => {}, tick }, "here")
  for (const [now, real] of [
    [5_000, 5_000],
    [6_000, 6_000],
    // Busy.
    [7_900, 7_900],
    // A clock that a test sets, and one that nobody has moved.
    [99_000, 8_900],
    [100_000, 99_000],
    // Suspended.
    [221_000, 220_000],
    [222_000, 221_000]
  ] as const) {
    sockets.tick(1_000, now, real)
  }
  expect(told).toEqual([0, 0, 0, 0, 0, 120_000, 0])
})
