/**
 * What a URL asks for. It is read here and nowhere else, from the text that came over the wire: the router underneath
 * decodes some characters twice and some never, joins slashes, cuts at `;`, and answers 404 for a bad encoding.
 *
 * A topic is one path segment, percent-decoded once, so `room%2F1` is the topic `room/1` and `room%252F1` is `room%2F1`.
 * Or it is the parameter `topic`, which nobody on the way decodes: some proxies make `room/1` of `room%2F1`. It names the
 * topic alone, so with it `count` and `events` in the path are views, and without it they are topics like any other.
 */
import type { Json } from "../Json.js"
import { pathOf } from "../web/paths.js"

/** A topic and what to tell of it. */
export interface Target {
  readonly topic: string
  readonly view: "list" | "count" | "events"
}

/** Why there is none: nothing stands there, the encoding is broken, or path and parameter both name a topic. */
export type NoTarget = "unknown" | "malformed" | "twice"

/** The parameters. */
export type Query = { readonly [name: string]: Json }

/** The target of a URL below a base path such as `/presence`. `named` is the topic that the query names. */
export const target = (base: string, url: string, named?: Json | undefined): Target | NoTarget => {
  const [prefix, ...rest] = split(base, pathOf(url))
  if (prefix === undefined || decode(prefix) !== base) return "unknown"
  const [segment, view, ...more] = rest
  if (more.length > 0) return "unknown"
  if (typeof named === "string") {
    if (segment === undefined || (segment === "" && view === undefined)) return { topic: named, view: "list" }
    return view === undefined && isView(segment) ? { topic: named, view: segment } : "twice"
  }
  if (segment === undefined) return "unknown"
  const topic = decode(segment)
  if (topic === undefined) return "malformed"
  if (view === undefined) return { topic, view: "list" }
  return isView(view) ? { topic, view } : "unknown"
}

const isView = (segment: string): segment is "count" | "events" => segment === "count" || segment === "events"

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
