/**
 * Topics and keys: any non-empty, well-formed string within its limit. What a name holds means nothing here.
 */

/** Why a name is refused, or `undefined` for a good one. */
export type NameRefusal =
  | { readonly _tag: "Invalid"; readonly reason: string }
  | { readonly _tag: "TooLong"; readonly actual: number }

export const checkName = (name: unknown, maxBytes: number): NameRefusal | undefined => {
  if (typeof name !== "string") return { _tag: "Invalid", reason: `is no string but ${typeof name}` }
  if (name.length === 0) return { _tag: "Invalid", reason: "is empty" }
  // A UTF-16 unit is at most three bytes, so short names need no counting.
  if (name.length * 3 > maxBytes) {
    const actual = countBytes(name, maxBytes)
    if (actual > maxBytes) return { _tag: "TooLong", actual }
  }
  return name.isWellFormed() ? undefined : { _tag: "Invalid", reason: "holds a lone surrogate" }
}

/** What an error may carry of a value that can be long, or no string at all. */
export const cut = (value: unknown): string => {
  const text = typeof value === "string" ? value : show(value)
  return text.length > 64 ? `${text.slice(0, 64).toWellFormed()}…` : text.toWellFormed()
}

/** Any value, as an error names it. */
export const show = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(cut(value))
  if (typeof value === "function") return "a function"
  if (Array.isArray(value)) return "a list"
  return typeof value === "object" && value !== null ? "an object" : cut(String(value))
}

const countBytes = (text: string, max: number): number => {
  let bytes = 0
  for (let i = 0; i < text.length && bytes <= max; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (unit >= 0xd800 && unit < 0xdc00) {
      bytes += 4
      i++
    } else bytes += 3
  }
  return bytes
}
