/**
 * What a call of the client is refused for: whole, at once, and by what is wrong with the call itself. What the server
 * refuses is no error of a call but the room's `reason`.
 *
 * @since 0.2.0
 */
import { cut, show } from "../internal/input/names.js"

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
      | "InvalidListener"
      | "Closed",
    message: string
  ) {
    super(message)
  }
}

/** Options as somebody gives them who has no types: what is not understood would be wanted in vain. */
export const checkOptions = (call: string, given: unknown, known: ReadonlyArray<string>): void => {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new ClientError("InvalidOption", `the options of ${call} are ${show(given)}: an object is allowed`)
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || known.includes(name)) continue
    throw new ClientError("InvalidOption", `${call} has no option ${show(name)}: there are ${known.join(", ")}`)
  }
}

/** An option, by its name, and what it may be. */
export const invalid = (option: string, value: unknown, allowed: string): ClientError =>
  new ClientError("InvalidOption", `${option} is ${show(value)}: ${allowed}`)

/** A promise is none: it would be one token for ever. */
export const checkToken = (token: unknown): void => {
  if (["string", "function", "undefined"].includes(typeof token)) return
  throw invalid("token", token, "a string, or a function that gives one, is allowed")
}

/** One that is none would fail with every change, far from where it was given. */
export const checkListener = (call: string, listener: unknown): void => {
  if (typeof listener === "function") return
  throw new ClientError("InvalidListener", `the listener of ${call} is ${show(listener)}: a function is allowed`)
}

/** For what was thrown by code that is not ours. */
export const causeOf = (error: unknown): string =>
  cut(error instanceof Error ? error.message : typeof error === "string" ? error : show(error))

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
