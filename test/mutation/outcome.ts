/** What became of the mutants of a room. */
import { EQUIVALENT } from "./equivalent.js"

export interface Mutant {
  readonly file: string
  /** The line's number, and what stands there. */
  readonly at: number
  readonly line: string
  /** What the mutant puts in the place of a part of it. */
  readonly becomes: string
}

export interface Outcome {
  readonly mutants: number
  readonly killed: number
  /** Those that no test noticed. */
  readonly survivors: ReadonlyArray<Mutant>
}

/** Of mutants and whether a test noticed each. Equivalent ones do not count. */
export const outcomeOf = (all: ReadonlyArray<readonly [mutant: Mutant, isKilled: boolean]>): Outcome => {
  const killed = all.filter(([, isKilled]) => isKilled).length
  const survivors = all.flatMap(([mutant, isKilled]) => (isKilled || isEquivalent(mutant) ? [] : [mutant]))
  return { mutants: killed + survivors.length, killed, survivors }
}

const isEquivalent = ({ file, line, becomes }: Mutant): boolean =>
  EQUIVALENT.some((known) => known.file === file && known.line === line && known.becomes.includes(becomes))
