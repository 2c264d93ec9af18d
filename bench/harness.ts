/**
 * Runs the rows of the benchmark and judges them.
 *
 * A row sets our way of doing some work beside rivals that do the same. In every round each runs once, in turn there
 * and back (A B C, C B A, ...), in this one process, after a garbage collection; the first round only warms up. The
 * ratio is taken within each round, so that what disturbs a round disturbs both sides of it; the median and the range
 * are printed. Every run checks its own result and throws when it is wrong. Absolute figures are of this machine.
 *
 * So many collections make the engine forget code that it has not seen for a while, which no server does to itself:
 * hence `--no-flush-bytecode` in the script.
 */

/** Sets up, measures, checks, cleans up, and answers with what it cost. Less is better. */
export type Run = () => number | Promise<number>

export interface Rival {
  readonly name: string
  /** How much of the rival's cost ours may be, by the median. None: for information. */
  readonly target?: number
  readonly run: Run
}

export interface Row {
  readonly name: string
  readonly unit: "ns" | "us" | "ms" | "bytes"
  readonly ours: Run
  /** What ours may cost, in `unit`, by the median. */
  readonly max?: number
  readonly rivals?: ReadonlyArray<Rival>
  /** 9 by default, one more to warm up. */
  readonly rounds?: number
}

/** Fails the benchmark when a run did not do its work. */
export const check = (what: string, actual: unknown, expected: unknown): void => {
  if (actual !== expected) throw new Error(`${what} is ${actual}, not ${expected}`)
}

/** Twice: what finalizers and weak references let go of in the first goes in the second. */
export const collectGarbage = (): void => {
  if (globalThis.gc === undefined) throw new Error("run node with --expose-gc")
  globalThis.gc()
  globalThis.gc()
}

export const median = (samples: Iterable<number>): number => {
  const sorted = Float64Array.from(samples).sort()
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

const digits = (n: number) =>
  n >= 100
    ? Math.round(n).toLocaleString("en")
    : n === 0
      ? "0"
      : n.toLocaleString("en", { maximumSignificantDigits: 2 })
const range = (samples: ReadonlyArray<number>) => `${digits(Math.min(...samples))}..${digits(Math.max(...samples))}`

/** One printed line: a figure, what it was allowed to be, and whether it is over that. */
export const report = (
  name: string,
  samples: ReadonlyArray<number>,
  unit: string,
  most: number | undefined,
  note = ""
) => {
  const figure = median(samples)
  const over = most !== undefined && !(figure <= most)
  const allowed = most === undefined ? "" : `at most ${digits(most)}${over ? "  OVER" : ""}`
  const text = `${digits(figure)}${unit}`.padStart(14)
  console.log(`  ${name.padEnd(48)}${text}  ${`(${range(samples)})`.padEnd(22)}${allowed.padEnd(22)}${note}`.trimEnd())
  return over
}

/** Runs a row and prints it. The answer: whether all its targets were met. */
export const race = async (row: Row): Promise<boolean> => {
  const contenders = [{ name: "ours", run: row.ours }, ...(row.rivals ?? [])]
  const samples = contenders.map((): Array<number> => [])
  const order = contenders.map((_, i) => i)
  for (let round = 0; round <= (row.rounds ?? 9); round++) {
    for (const i of round % 2 === 0 ? order : order.toReversed()) {
      collectGarbage()
      const sample = await contenders[i]?.run()
      if (round > 0 && sample !== undefined) samples[i]?.push(sample)
    }
  }
  const [ours = [], ...theirs] = samples
  console.log(row.name)
  let over = report("this package", ours, ` ${row.unit}`, row.max)
  row.rivals?.forEach((rival, i) => {
    const cost = theirs[i] ?? []
    const ratios = cost.map((sample, round) => (ours[round] ?? Number.NaN) / sample)
    const note = `${digits(median(cost))} ${row.unit}`
    over = report(`of ${rival.name}`, ratios, "", rival.target, note) || over
  })
  return !over
}
