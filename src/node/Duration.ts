/**
 * How long something takes, without Effect.
 *
 * @since 0.2.0
 */

/**
 * Milliseconds, or a text such as `"30 seconds"`. `Infinity`: for ever.
 *
 * @since 0.2.0
 * @category models
 */
export type Duration = number | `${number} ${"milli" | "second" | "minute" | "hour" | "day"}${"" | "s"}`
