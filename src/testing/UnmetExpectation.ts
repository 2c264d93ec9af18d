/**
 * What an assertion fails with.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * What was expected was not told, or something was told that should not have been. The message lists what was.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnmetExpectation extends Schema.TaggedError<UnmetExpectation>("effect-presence/testing/UnmetExpectation")(
  "UnmetExpectation",
  {
    expected: Schema.String,
    /** Told and taken by no assertion. */
    left: Schema.Array(Schema.String),
    /** Told and taken by assertions before. */
    taken: Schema.Array(Schema.String)
  }
) {
  override get message(): string {
    return [
      `expected ${this.expected}`,
      ...listed("told and not yet asserted", this.left),
      ...listed("asserted before", this.taken)
    ].join("\n")
  }
}

/** The last lines that a message shows. */
const SHOWN = 20

const listed = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (lines.length === 0) return [`  ${title}: nothing`]
  const more = lines.length - SHOWN
  return [
    `  ${title}:`,
    ...(more > 0 ? [`    … ${more} before`] : []),
    ...lines.slice(-SHOWN).map((line) => `    ${line}`)
  ]
}
