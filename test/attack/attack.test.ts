/**
 * Attacks on the ready server, with an innocent client that nothing happens to. `npm run attack` runs them at full size,
 * prints what the innocent met with, and says whether the goal of 100 ms for 99 of 100 answers was met.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from "@effect/vitest"
import { build, clean } from "../support/bin.js"
import { type Arena, quantile, startArena } from "./arena.js"
import { attacks } from "./attacks.js"

const isFull = process.env.ATTACK === "full"
const SIZE = isFull ? 100 : 12

describe("an attack", () => {
  let arena: Arena
  beforeAll(async () => {
    build()
    arena = await startArena()
  })
  afterAll(async () => {
    await arena.stop()
    clean()
  })

  it.each(attacks)("by $name ends no server, takes nothing from others, and leaves nothing", async ({ name, run }) => {
    // What is made once, such as code and caches, is there after the first time.
    await arena.during(() => run(arena.port, SIZE))
    await settled()
    const before = await arena.condition()
    const { latencies, complaints } = await arena.during(() => run(arena.port, SIZE))
    expect(complaints).toEqual([])
    expect(arena.ended()).toBeUndefined()
    // Nothing else makes it wait: sockets that are closed take the time that their ends take.
    await vi.waitFor(
      async () => {
        const after = await arena.condition()
        expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2)
        expect(after.heap).toBeLessThan(before.heap * 1.1 + 1_000_000)
      },
      { timeout: 300_000, interval: 500 }
    )
    if (!isFull) return
    const after = await arena.condition()
    const ms = (q: number) => `${quantile(latencies, q).toFixed(1)} ms`
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
    console.log(
      `${name}: answered within ${ms(0.5)} (median), ${ms(0.99)} (99 %), ${ms(1)} (worst)${quantile(latencies, 0.99) > 100 ? " OVER the goal of 100 ms" : ""}; heap ${mb(before.heap)} before, ${mb(after.heap)} after; memory ${mb(after.resident)}`
    )
  })

  /** Until what the first time left has gone. */
  const settled = async (): Promise<void> => {
    let { heap } = await arena.condition()
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      const next = (await arena.condition()).heap
      if (Math.abs(next - heap) < heap * 0.01) return
      heap = next
    }
  }
})
