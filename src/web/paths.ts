/** The path that a request names, and the one that routes stand at. */
import { show } from "../internal/input/names.js"
import { InvalidOption } from "../PresenceError.js"

/** As it came, also of a URL in absolute form, as proxies send it. */
export const pathOf = (url: string): string => {
  const target = url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?]*/i, "")
  const end = target.indexOf("?")
  return end === -1 ? target : target.slice(0, end)
}

/** Without a slash at its end. Throws `InvalidOption`. */
export const readBase = (path: string): string => {
  if (typeof path === "string" && path.startsWith("/")) return path.replace(/\/+$/, "")
  throw new InvalidOption({
    option: "path",
    value: show(path),
    allowed: 'a path from the root on, such as "/presence"'
  })
}
