/**
 * Why something of Redis failed, in words for who reads an error or a log: not those of the client, which speak of its
 * options.
 */

/** What a connection says that is not there. What ended it is said elsewhere. */
const isDown = (message: string): boolean =>
  /Connection is closed|Stream isn't writeable|enableOfflineQueue|Socket closed unexpectedly/.test(message)

/**
 * Why a connection ends before anything was answered on it. Redis says it, and ends the connection; what was sent meanwhile
 * then fails, and nobody reads what it said.
 */
export const TURNED_AWAY =
  "connections are ended as they are made: by a Redis that takes no more (maxclients) or wants TLS, or by a proxy that has none behind it"

/** What a connection says that was ended from the other side, and not why. */
export const isCut = (message: string): boolean => /EPIPE|ECONNRESET|Connection is closed/.test(message)

/** What Redis does not take as it is, though a script says so and not an error. */
export class NotTaken extends Error {}

/** Whether Redis said so itself. */
export const isAnswer = (cause: unknown): boolean =>
  cause instanceof Error && (cause.name === "ReplyError" || cause instanceof NotTaken)

/** `down` is why the connection is down, as far as that is known. */
export const reasonOf = (cause: unknown, down?: string | undefined): string => {
  const message = cause instanceof Error ? cause.message : String(cause)
  if (isDown(message)) return down === undefined || isDown(down) ? "there is no connection to Redis" : reasonOf(down)
  if (/max number of clients/.test(message)) return "Redis takes no more connections (maxclients)"
  if (/^NOPERM|The user executing the script can't/.test(message))
    return `the user of Redis may not do that: ${message}`
  if (message.startsWith("OOM")) return "the memory of Redis is full"
  return message
}
