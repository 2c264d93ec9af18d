/**
 * Mutants that change nothing that anybody could notice, so that no test can kill them.
 *
 * A mutant is named by its file, the line that it changes (without the space around it), and what stands there instead.
 */

export interface Equivalent {
  readonly file: string
  readonly line: string
  /** What the mutant puts in the place of a part of the line. */
  readonly becomes: ReadonlyArray<string>
  readonly because: string
}

export const EQUIVALENT: ReadonlyArray<Equivalent> = [
  {
    file: "src/web/netDiff.ts",
    line: "if (this.latest !== undefined && (this.fresh.size > 0 || this.gone.size > 0)) {",
    becomes: ["true"],
    because: "where something is fresh or gone a diff has brought it, which is the latest; the types ask"
  },
  {
    file: "src/web/netDiff.ts",
    line: "a.key < b.key ? -1 : a.key > b.key ? 1 : 0",
    becomes: ["true", "false", "a.key >= b.key", "a.key <= b.key"],
    because: "sorting only asks whether one comes before the other"
  }
]
