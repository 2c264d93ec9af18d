/**
 * Events of channels: which of them are the protocol's own.
 */
import { checkName } from "./names.js"

/**
 * Nobody may speak for the server. `chan_reply_` and a ref is what Phoenix's client raises within itself for the answer
 * to a push; some clients compare names in lower case.
 */
export const isReserved = (event: string): boolean => {
  const name = event.toLowerCase()
  return (
    name === "" ||
    RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix)) ||
    RESERVED.has(name) ||
    checkName(event, 255)?._tag === "TooLong"
  )
}

const RESERVED_PREFIXES = ["phx_", "presence", "chan_reply_"]
const RESERVED = new Set(["access_token", "system", "postgres_changes"])
