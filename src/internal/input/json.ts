/**
 * JSON values: copied in by value, compared by value.
 *
 * A meta comes from anywhere. `copy` walks it once, reads each property once, and either gives a deeply frozen copy
 * or says what is wrong and where. It counts the bytes of the JSON text on the way and stops at the limit, so that
 * a hostile value costs no more than an allowed one.
 */
import { cut } from "./names.js"

/** Why a value was not taken: it is no JSON, or over a limit. `path` is `$`, `$.a`, `$.a[0]`. */
export type Refusal =
  | { readonly _tag: "Invalid"; readonly path: string; readonly reason: string }
  | { readonly _tag: "TooDeep"; readonly path: string; readonly actual: number }
  | { readonly _tag: "TooLarge"; readonly actual: number }

export type Value = null | boolean | number | string | ReadonlyArray<Value> | { readonly [name: string]: Value }

export interface Bounds {
  /** UTF-8 bytes of the value as JSON. */
  readonly metaBytes: number
  /** `[]` is 1 deep, `[[]]` is 2, a string is 0. */
  readonly metaDepth: number
}

/** Deeper than this the engine's own recursion ends, so no option may allow it. */
export const MAX_DEPTH = 1_000

const CLASS_INSTANCE = "is a class instance, not a plain object or array"

/** `{}`, the one copy of it. */
export const EMPTY: Value = Object.freeze({})

/** A refusal on its way out of the recursion. Nobody outside this file sees it thrown. */
class Refused {
  constructor(readonly refusal: Refusal) {}
}

/** A frozen copy of `input`, or why there is none. */
export const copy = (input: unknown, bounds: Bounds): { readonly value: Value } | Refusal => {
  const walk = new Walk(bounds.metaBytes, Math.min(bounds.metaDepth, MAX_DEPTH))
  try {
    return { value: walk.copy(input, undefined) }
  } catch (cause) {
    if (cause instanceof Refused) return cause.refusal
    // A getter or a proxy of the caller's threw.
    return { _tag: "Invalid", path: pathOf(walk.place), reason: "could not be read" }
  }
}

/** Where the walk is: an object, the name in it that is being read, and what it stands in. */
class Place {
  /** `undefined` until one is read. */
  name: string | number | undefined = undefined
  constructor(
    readonly object: object,
    readonly outer: Place | undefined,
    readonly depth: number
  ) {}
}

const pathOf = (place: Place | undefined): string => {
  let path = ""
  for (let at = place; at !== undefined; at = at.outer) {
    if (at.name !== undefined) path = (typeof at.name === "number" ? `[${at.name}]` : `.${at.name}`) + path
  }
  return cut(`$${path}`)
}

class Walk {
  private bytes = 0
  /** The innermost place that was entered. */
  place: Place | undefined = undefined

  constructor(
    private readonly maxBytes: number,
    private readonly maxDepth: number
  ) {}

  copy(input: unknown, outer: Place | undefined): Value {
    switch (typeof input) {
      case "string":
        this.countString(input)
        return input
      case "number": {
        if (!Number.isFinite(input)) return refuse(outer, `is ${input}, which JSON cannot say`)
        const value = input === 0 ? 0 : input
        this.count(String(value).length)
        return value
      }
      case "boolean":
        this.count(input ? 4 : 5)
        return input
      case "object":
        if (input === null) {
          this.count(4)
          return null
        }
        return this.copyObject(input, outer)
      default:
        return refuse(outer, `is ${typeof input === "undefined" ? "" : "a "}${typeof input}, which JSON cannot say`)
    }
  }

  private copyObject(input: object, outer: Place | undefined): Value {
    for (let at = outer; at !== undefined; at = at.outer)
      if (at.object === input) return refuse(outer, "contains itself")
    const depth = (outer?.depth ?? 0) + 1
    if (depth > this.maxDepth) throw new Refused({ _tag: "TooDeep", path: pathOf(outer), actual: depth })
    const place = new Place(input, outer, depth)
    this.place = place
    const value = Array.isArray(input) ? this.copyArray(input, place) : this.copyRecord(input, place)
    this.place = outer
    return value
  }

  private copyArray(input: ReadonlyArray<unknown>, place: Place): Value {
    if (!isPlain(Object.getPrototypeOf(Object.getPrototypeOf(input)))) return refuse(place.outer, CLASS_INSTANCE)
    const length = input.length
    this.count(length === 0 ? 2 : length + 1)
    // As large as it is: one that grows by `push` has room for 17 from the first on. It is no copy of `input` yet, whose
    // getters are read once and whose own `constructor` makes nothing here.
    const out = new Array<Value>(length)
    for (let i = 0; i < length; i++) {
      place.name = i
      out[i] = this.copy(input[i], place)
    }
    return Object.freeze(out)
  }

  private copyRecord(input: object, place: Place): Value {
    const prototype = Object.getPrototypeOf(input)
    if (prototype !== Object.prototype && !isPlain(prototype)) return refuse(place.outer, CLASS_INSTANCE)
    if (Object.getOwnPropertySymbols(input).length > 0)
      return refuse(place.outer, "has a symbol as a name, which JSON cannot say")
    const names = Object.keys(input)
    if (names.length === 0) {
      this.count(2)
      return EMPTY
    }
    const out: Record<string, Value> = {}
    for (const name of names) {
      place.name = name
      this.countString(name)
      this.count(2)
      const value = this.copy((input as Record<string, unknown>)[name], place)
      if (name === "__proto__") {
        // Assigning would set the prototype; this makes it a name like any other.
        Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true })
      } else {
        out[name] = value
      }
    }
    this.count(1)
    return Object.freeze(out)
  }

  /** The bytes of a string as JSON writes it: quotes, escapes, UTF-8. */
  private countString(text: string): void {
    let bytes = text.length + 2
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit < 0x20) bytes += unit === 8 || unit === 9 || unit === 10 || unit === 12 || unit === 13 ? 1 : 5
      else if (unit === 0x22 || unit === 0x5c) bytes += 1
      else if (unit >= 0x80) {
        if (unit < 0x800) bytes += 1
        else if (unit < 0xd800 || unit > 0xdfff) bytes += 2
        else if (unit < 0xdc00 && isLowSurrogate(text.charCodeAt(i + 1))) {
          // A pair is two units and four bytes.
          bytes += 2
          i++
        } else bytes += 5
      }
      if (this.bytes + bytes > this.maxBytes) break
    }
    this.count(bytes)
  }

  private count(bytes: number): void {
    this.bytes += bytes
    if (this.bytes > this.maxBytes) throw new Refused({ _tag: "TooLarge", actual: this.bytes })
  }
}

const refuse = (place: Place | undefined, reason: string): never => {
  throw new Refused({ _tag: "Invalid", path: pathOf(place), reason })
}

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff

/** No prototype, or an `Object.prototype`, also of another realm. */
export const isPlain = (prototype: unknown): boolean =>
  prototype === null || (typeof prototype === "object" && Object.getPrototypeOf(prototype) === null)

/** Whether a value is JSON as it stands. */
export const isJson = (input: unknown): input is Value => !("_tag" in copyUnbounded(input))

const copyUnbounded = (input: unknown) =>
  copy(input, { metaBytes: Number.POSITIVE_INFINITY, metaDepth: Number.POSITIVE_INFINITY })

/** Equal as JSON, in whatever order names stand. Both are copies made here, so they are finite and plain. */
export const equal = (a: Value, b: Value): boolean => {
  if (a === b) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (isArray(a)) {
    if (!isArray(b) || a.length !== b.length) return false
    for (let i = 0; i < a.length; i++) if (!equal(a[i] as Value, b[i] as Value)) return false
    return true
  }
  if (isArray(b)) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  for (const name of names) {
    if (!Object.hasOwn(b, name) || !equal(a[name] as Value, b[name] as Value)) return false
  }
  return true
}

const isArray: (value: unknown) => value is ReadonlyArray<Value> = Array.isArray

/** What a value takes of the heap, in bytes, nearly. */
export const weigh = (value: Value): number => {
  if (typeof value === "string") return 24 + value.length
  if (typeof value !== "object" || value === null) return 8
  let bytes = 32
  for (const name in value) bytes += 8 + weigh((value as { readonly [name: string]: Value })[name] as Value)
  return bytes
}
