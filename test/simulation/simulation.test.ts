import { it } from "@effect/vitest"
import { expect } from "vitest"
import { simulate } from "./runs.js"

/** Other ones than yesterday's, and printed: `npm run simulate -- --runs 1 --seed N` plays one of them again. */
const seed = Number(process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 30))
const RUNS = 500

it(`replicas agree and tell nothing false, whatever happens to them and to Redis (seeds from ${seed} on)`, async () => {
  expect(await simulate(seed, RUNS)).toBeUndefined()
}, 600_000)
