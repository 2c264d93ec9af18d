/** What becomes of mutants. */
import { EQUIVALENT } from "./equivalent.js"

export interface Mutant {
  readonly file: string
  /** The line's number, and what stands there. */
  readonly at: number
  readonly line: string
  /** What the mutant puts in the place of a part of it. */
  readonly becomes: string
}

/** What became of the mutants of a room. Equivalent ones do not count. */
export class Outcome {
  killed = 0
  survived = 0

  add(mutant: Mutant, isNoticed: boolean): void {
    if (!isNoticed && isEquivalent(mutant)) return
    if (isNoticed) this.killed++
    else {
      this.survived++
      const { file, at, line, becomes } = mutant
      console.log(`${file}:${at}\n  ${line}\n  ${becomes}\n`)
    }
    const tried = this.killed + this.survived
    if (tried % 50 === 0) console.log(`${tried} tried, ${this.survived} survived`)
  }
}

const isEquivalent = ({ file, line, becomes }: Mutant): boolean =>
  EQUIVALENT.some((known) => known.file === file && known.line === line && known.becomes.includes(becomes))
