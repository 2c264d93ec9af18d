/** The table at the end: what was looked at, what was found, and whether it holds. */
import { type Sample, slope } from "./trend.js"

export interface Row {
  readonly name: string
  readonly found: string
  /** `undefined` for a figure that is only told. */
  readonly holds?: boolean | undefined
}

/** None of these may be; the first few are told. */
export const held = (name: string, found: ReadonlyArray<string>): Row => ({
  name,
  found: [`${found.length}`, ...found.slice(0, 5)].join("\n    "),
  holds: found.length === 0
})

/** Seconds. What is shorter tells how a process warms up, and no trend. */
const TELLING = 300

/** At equal clients it may not grow by more than a part of its mean in the time looked at. */
export const flat = (
  samples: ReadonlyArray<Sample>,
  seconds: number,
  unit: number,
  name: string,
  most: number
): Row => {
  if (samples.length < 3) return { name, found: "not known here" }
  const mean = samples.reduce((sum, { value }) => sum + value, 0) / samples.length
  const growth = slope(samples) * seconds
  const amount = (value: number): string => (value / unit).toLocaleString("en", { maximumSignificantDigits: 3 })
  const found = `mean ${amount(mean)}, ${growth < 0 ? "" : "+"}${amount(growth)} (${((100 * growth) / mean).toFixed(1)} %) in ${Math.round(seconds)} s`
  return seconds < TELLING
    ? { name, found: `${found}: too short to judge` }
    : { name, found, holds: growth <= most * mean }
}

/** Prints it. The answer: whether all holds. */
export const report = (rows: ReadonlyArray<Row>): boolean => {
  const widest = Math.max(...rows.map(({ name }) => name.length))
  for (const { name, found, holds } of rows) {
    const verdict = holds === undefined ? "" : holds ? "holds" : "DOES NOT HOLD"
    console.log(`  ${verdict.padEnd(14)} ${name.padEnd(widest)}  ${found}`)
  }
  return rows.every(({ holds }) => holds !== false)
}
