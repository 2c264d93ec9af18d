/** Whether a list is what is so: who is on it and should not be, who should be and is not, and who is on it as they were. */

/** By key, the number in its meta. */
export type Truth = ReadonlyMap<string, number>

/** By key, the number in each of its metas. */
export type Listed = ReadonlyMap<string, ReadonlyArray<number>>

export interface Difference {
  readonly kind: "ghost" | "missing" | "stale"
  /** In words. */
  readonly what: string
}

/**
 * Each key once, with its newest meta. Who joins by an event stream may be there twice, in the same words: their response
 * ends now and then, and they come back, perhaps to another replica.
 */
export const differences = (where: string, listed: Listed, truth: Truth, mayRepeat: (key: string) => boolean) => {
  const found: Array<Difference> = []
  for (const [key, metas] of listed) {
    const n = truth.get(key)
    const metasOf = `${where} lists ${key} as ${metas.join(", ")}`
    if (n === undefined) found.push({ kind: "ghost", what: `${metasOf}, whom nobody knows there` })
    else if (metas.some((meta) => meta !== n)) found.push({ kind: "stale", what: `${metasOf}, who is ${n}` })
    else if (metas.length > 1 && !mayRepeat(key)) found.push({ kind: "ghost", what: `${metasOf}, who is there once` })
  }
  for (const key of truth.keys()) {
    if (!listed.has(key)) found.push({ kind: "missing", what: `${where} does not list ${key}` })
  }
  return found
}
