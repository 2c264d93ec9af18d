/** How a figure goes with time when what it is held for is taken out of it. */

export interface Sample {
  /** Seconds. */
  readonly at: number
  /** How many clients it is held for. */
  readonly clients: number
  readonly value: number
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

/**
 * What it grows by in a second at equal clients: the slope over time of the least squares over time and clients, since a
 * replica has more clients while another is away.
 */
export const slope = (samples: ReadonlyArray<Sample>): number => {
  const at = mean(samples.map((sample) => sample.at))
  const clients = mean(samples.map((sample) => sample.clients))
  const value = mean(samples.map((sample) => sample.value))
  let [tt, tc, cc, tv, cv] = [0, 0, 0, 0, 0]
  for (const sample of samples) {
    const [t, c, v] = [sample.at - at, sample.clients - clients, sample.value - value]
    tt += t * t
    tc += t * c
    cc += c * c
    tv += t * v
    cv += c * v
  }
  const determinant = tt * cc - tc * tc
  // With the same clients all along, or as many more as time goes by, only time can be told.
  return determinant > 1e-9 * tt * cc ? (tv * cc - cv * tc) / determinant : tv / tt
}
