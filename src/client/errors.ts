/**
 * What a call of the client is refused for: whole, at once, and by what is wrong with the call itself. What the server
 * refuses is no error of a call but the room's `reason`.
 *
 * @since 0.2.0
 */
import { cut } from "../internal/input/names.js"

/**
 * A call that makes no sense. `_tag` says which part of it, the message what is allowed. `Closed` is a call to a room
 * that was left, or to a client that was closed.
 *
 * @since 0.2.0
 * @category errors
 */
export class ClientError extends Error {
  override readonly name = "ClientError"

  constructor(
    /** Which part of the call it is. */
    readonly _tag:
      | "InvalidOption"
      | "InvalidTopic"
      | "InvalidKey"
      | "InvalidMeta"
      | "InvalidEvent"
      | "InvalidPayload"
      | "Closed",
    message: string
  ) {
    super(message)
  }
}

/** A value that may be anything, as an error names it. */
export const show = (value: unknown): string => (typeof value === "string" ? JSON.stringify(cut(value)) : cut(value))

/** For what was thrown by code that is not ours. */
export const causeOf = (error: unknown): string => cut(error instanceof Error ? error.message : String(error))

/** Calls a listener. Its own failure is its program's to hear of, and stops nobody else. */
export const call = <A>(listener: (value: A) => void, value: A): void => {
  try {
    listener(value)
  } catch (error) {
    // Browsers have it, Node 20 has not.
    const { reportError = console.error } = globalThis as { readonly reportError?: (error: unknown) => void }
    reportError(error)
  }
}
