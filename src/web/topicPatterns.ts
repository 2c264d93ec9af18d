/**
 * Which topics somebody may enter, written as patterns: a whole topic, or a prefix that ends with `*`.
 *
 * In a template a claim's name stands in braces: `user:{sub}`. The claim is filled into what was read already, so one that
 * holds a `*` makes no prefix. One that holds a `:` or a `*` fills nothing in: it could name what is below another's
 * name, as `alice:private` does in `user:{sub}`.
 */
export interface Pattern {
  readonly text: string
  readonly isPrefix: boolean
}

export const parse = (pattern: string): Pattern =>
  pattern.endsWith("*") ? { text: pattern.slice(0, -1), isPrefix: true } : { text: pattern, isPrefix: false }

export const matches = ({ text, isPrefix }: Pattern, topic: string): boolean =>
  isPrefix ? topic.startsWith(text) : topic === text

/** The pattern for somebody with these claims, if it is one for them: each claim that it names is a text, and a safe one. */
export const fill = (template: Pattern, claims: { readonly [name: string]: unknown }): Pattern | undefined => {
  let isFilled = true
  const text = template.text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const claim = Object.hasOwn(claims, name) ? claims[name] : undefined
    if (typeof claim === "string" && /^[^:*]+$/.test(claim)) return claim
    isFilled = false
    return ""
  })
  return isFilled ? { ...template, text } : undefined
}
