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
  ...[
    'const [joinRef, ref, topic = "", event = ""] = fields.texts',
    'const [joinRef, ref, topic = "", inner = ""] = fields.texts'
  ].map((line) => ({
    ...{ file: "src/socket/protocol/codec.ts", line, becomes: ['"Stryker was here!"'] },
    because: "there are as many texts as were asked for; the types ask"
  })),
  {
    file: "src/socket/protocol/codec.ts",
    line: "} catch {",
    becomes: ["{}"],
    because: "what ends without an answer answers undefined"
  },
  {
    file: "src/socket/protocol/codec.ts",
    line: "if (Array.isArray(value)) return value.some((item) => isDeeper(item, max - 1))",
    becomes: ["false"],
    because: "`in` goes through lists too, only more slowly"
  },
  {
    file: "src/socket/protocol/stateJson.ts",
    line: "if (this.text !== undefined) return this.text",
    becomes: ["false"],
    because: "what is kept is what would be written again"
  },
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
