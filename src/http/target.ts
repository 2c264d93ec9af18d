/**
 * What a URL asks for. It is read here and nowhere else, from the text that came over the wire: the router underneath
 * decodes some characters twice and some never, joins slashes, cuts at `;`, and answers 404 for a bad encoding.
 *
 * A topic is one path segment, percent-decoded once, so `room%2F1` is the topic `room/1` and `room%252F1` is `room%2F1`.
 */
import type { Json } from "../Json.js"

/** A topic and what to tell of it. */
export interface Target {
  readonly topic: string
  readonly view: "list" | "count" | "events"
}

/** Why there is none: nothing stands there, or the encoding is broken. */
export type NoTarget = "unknown" | "malformed"

/** The parameters. */
export type Query = { readonly [name: string]: Json }

/** The target of a URL below a base path such as `/presence`. */
export const target = (base: string, url: string): Target | NoTarget => {
  const [prefix, ...rest] = split(base, pathOf(url))
  if (prefix === undefined || decode(prefix) !== base) return "unknown"
  const [segment, view, ...more] = rest
  if (segment === undefined || more.length > 0) return "unknown"
  const topic = decode(segment)
  if (topic === undefined) return "malformed"
  if (view === undefined) return { topic, view: "list" }
  return view === "count" || view === "events" ? { topic, view } : "unknown"
}

/** The parameters of a URL as the payload of an `authorize`: texts, and `meta` read as JSON. A text says what is wrong. */
export const query = (url: string): Query | string => {
  const start = url.indexOf("?")
  // Without a prototype, so that `__proto__` is a name like any other.
  const parameters: Record<string, Json> = Object.create(null)
  if (start === -1) return parameters
  for (const pair of url
    .slice(start + 1)
    .replaceAll("+", " ")
    .split("&")) {
    if (pair === "") continue
    const equals = pair.indexOf("=")
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    const value = decode(equals === -1 ? "" : pair.slice(equals + 1))
    if (name === undefined || value === undefined) return "the query is not percent-encoded UTF-8"
    if (name in parameters) return `the parameter ${name} is given twice`
    parameters[name] = value
  }
  if (typeof parameters.meta !== "string") return parameters
  try {
    parameters.meta = JSON.parse(parameters.meta)
    return parameters
  } catch {
    return "meta is no JSON"
  }
}

/** The path as it came, also of a URL in absolute form, as proxies send it. */
const pathOf = (url: string): string => {
  const path = url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?]*/i, "")
  const end = path.indexOf("?")
  return end === -1 ? path : path.slice(0, end)
}

/** The first segments, as many as the base has, as one; then the others. */
const split = (base: string, path: string): ReadonlyArray<string> => {
  const segments = path.split("/")
  const depth = base.split("/").length
  return segments.length < depth ? [] : [segments.slice(0, depth).join("/"), ...segments.slice(depth)]
}

/** Undefined for what is no percent-encoded UTF-8. */
const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
