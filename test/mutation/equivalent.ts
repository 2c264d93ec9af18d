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
    file: "src/internal/state/keyIndex.ts",
    line: "else if (held !== roster) this.byKey.set(key, new Set([held, roster]))",
    becomes: ["true"],
    because: "a set of one is that one, and goes as it does"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "this.blocks.push({ at: new Float64Array(BLOCK), items: [], bound: Number.POSITIVE_INFINITY })",
    becomes: ['["Stryker was here"]'],
    because: "the first place of a new block is taken at once"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (block.bound > now) continue",
    becomes: ["false"],
    because: "nothing is due there, and it is only looked at in vain"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (due.length === max) break",
    becomes: ["false"],
    because: "no more is taken, and the rest is only looked at in vain"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "} else if (at < bound) {",
    becomes: ["at <= bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "for (const block of this.blocks) if (block.bound < bound) bound = block.bound",
    becomes: ["block.bound <= bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/deadlines.ts",
    line: "if (at < block.bound) block.bound = at",
    becomes: ["at <= block.bound"],
    because: "what is as early makes no other bound"
  },
  {
    file: "src/internal/state/registry.ts",
    line: "if (this.keyIndex !== undefined) return Array.from(this.keyIndex.of(key), ({ topic }) => topic)",
    becomes: ["false"],
    because: "a look at each topic gives the same answer, only later"
  },
  ...[
    "if (connection.slot !== -1) this.expiring.set(connection, now + connection.terms.ttl)",
    "if (connection.terms.ttl !== Number.POSITIVE_INFINITY) this.expiring.set(connection, now + connection.terms.ttl)"
  ].map((line) => ({
    ...{ file: "src/internal/state/registry.ts", line, becomes: ["true"] },
    because: "what is never due may stand among what is, and only takes its place there"
  })),
  {
    file: "src/internal/state/registry.ts",
    line: "if (this.lingering.size > 0) {",
    becomes: ["true", "this.lingering.size >= 0"],
    because: "where nobody lingers nobody is found who does"
  },
  {
    file: "src/internal/state/registry.ts",
    line: "if (size < max) return undefined",
    becomes: ["false"],
    because: "fewer than they are, they are below the limit as well: nobody has to be looked at"
  },
  {
    file: "src/internal/state/registry.ts",
    line: 'for (const connection of roster?.of(key) ?? NOBODY) if (connection.status === "lingering") size--',
    becomes: ["roster.of"],
    because: "who has connections is on a roster; the types ask"
  },
  ...[
    'const [joinRef, ref, topic = "", event = ""] = fields.texts',
    'const [joinRef, ref, topic = "", inner = ""] = fields.texts'
  ].map((line) => ({
    ...{ file: "src/socket/protocol/codec.ts", line, becomes: ['"Stryker was here!"'] },
    because: "there are as many texts as were asked for; the types ask"
  })),
  {
    file: "src/internal/state/roster.ts",
    line: "else if (held instanceof Set) {",
    becomes: ["true"],
    because: "a key that has connections and not this one alone has a set; the types ask"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "if (this.dirty.size > Math.min(10_000, Math.max(32, this.entries.length / 16))) {",
    becomes: [
      "false",
      "this.dirty.size >= Math.min(10_000, Math.max(32, this.entries.length / 16))",
      "Math.max(10_000, Math.max(32, this.entries.length / 16))",
      "this.entries.length * 16",
      "{}"
    ],
    because: "a list that is patched is the one that is sorted anew: when which is done is a question of cost"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "else if (this.dirty !== undefined) this.entries = this.patched(this.entries, this.dirty)",
    becomes: ["true"],
    because: "what was listed is forgotten when a key is dirty, and not before; the types ask"
  },
  {
    file: "src/internal/state/roster.ts",
    line: "if (dirty.size <= 8) {",
    becomes: ["true", "false", "dirty.size < 8", "dirty.size > 8", "{}"],
    because: "both ways lead to the same list"
  },
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
