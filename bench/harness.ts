/**
 * Runs the rows of the benchmark and judges them.
 *
 * A row sets our way of doing some work beside rivals that do the same. In every round each runs once, in turn there
 * and back (A B C, C B A, ...), in this one process, after a garbage collection; the first round only warms up. The
 * ratio is taken within each round, so that what disturbs a round disturbs both sides of it; the median and the range
 * are printed. Of what takes time that is the processor's, which other programs disturb little, with the clock's beside it. Every run checks its own result and throws when it is wrong. Absolute figures are of this machine.
 *
 * So many collections make the engine forget code that it has not seen for a while, which no server does to itself:
 * hence `--no-flush-bytecode` in the script.
 */

/** What something took: by the clock, and of the processor in all threads, the collector's too. */
export interface Time {
  readonly clock: number
  readonly processor: number
}

/** Sets up, measures, checks, cleans up, and answers with what it cost, in the row's unit. Less is better. */
export type Run = () => Time | number | Promise<Time | number>

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
  const samples = contenders.map((): Array<Time> => [])
  const order = contenders.map((_, i) => i)
  for (let round = 0; round <= (row.rounds ?? 9); round++) {
    for (const i of round % 2 === 0 ? order : order.toReversed()) {
      collectGarbage()
      const sample = await contenders[i]?.run()
      if (round === 0 || sample === undefined) continue
      samples[i]?.push(typeof sample === "number" ? { clock: Number.NaN, processor: sample } : sample)
    }
  }
  const [ours = [], ...theirs] = samples
  console.log(row.name)
  const unit = ` ${row.unit}`
  const each = (times: ReadonlyArray<Time>, measure: keyof Time) => times.map((time) => time[measure])
  const ratios = (times: ReadonlyArray<Time>, measure: keyof Time) =>
    times.map((time, round) => (ours[round]?.[measure] ?? Number.NaN) / time[measure])
  let over = report("this package", each(ours, "processor"), unit, row.max, byClock(each(ours, "clock"), unit))
  row.rivals?.forEach((rival, i) => {
    const times = theirs[i] ?? []
    const note = `${byClock(ratios(times, "clock"), "")}  ${digits(median(each(times, "processor")))}${unit}`
    over = report(`of ${rival.name}`, ratios(times, "processor"), "", rival.target, note) || over
  })
  return !over
}

/** The same by the clock, of what takes time. */
const byClock = (samples: ReadonlyArray<number>, unit: string): string => {
  const figure = median(samples)
  return Number.isNaN(figure) ? "" : `by the clock ${digits(figure)}${unit}`.padEnd(22)
}
