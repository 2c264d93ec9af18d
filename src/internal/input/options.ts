/**
 * Options with their defaults, decoded once. One that makes no sense is refused, never bent into one that does.
 */
import { Config, ConfigError, Duration, Effect, Option } from "effect"
import { InvalidOption, type LimitName } from "../../PresenceError.js"
import { isPlain, MAX_DEPTH } from "./json.js"
import { cut, show } from "./names.js"

export type InputLimits = { readonly [limit in LimitName]: number }

const defaultLimits: InputLimits = {
  topicBytes: 255,
  keyBytes: 255,
  metaBytes: 16_384,
  metaDepth: 64,
  connectionsPerKey: 1_000,
  keysPerTopic: 1_000_000,
  metaTotal: 536_870_912
}

export interface PresenceSettings {
  /** Nanoseconds; Infinity: for ever. */
  readonly ttl: number
  readonly sweepInterval: Duration.Duration
  readonly bufferSize: number
  readonly limits: InputLimits
  readonly keyIndex: boolean
}

export interface Given {
  readonly ttl?: Duration.DurationInput | undefined
  readonly sweepInterval?: Duration.DurationInput | undefined
  readonly bufferSize?: number | undefined
  readonly limits?: { readonly [limit in LimitName]?: number | undefined } | undefined
  readonly keyIndex?: boolean | undefined
  readonly capacity?: number | undefined
}

const known: Record<keyof Given, true> = {
  ttl: true,
  sweepInterval: true,
  bufferSize: true,
  limits: true,
  keyIndex: true,
  capacity: true
}

/** Throws `InvalidOption`, as all `read` functions do. `others` are options that somebody else reads. */
export const decode = (options: Given = {}, others: ReadonlyArray<string> = []): PresenceSettings => {
  checkNames("options", options, [...Object.keys(known), ...others])
  // It is the channels', which are given the same options.
  readCapacity(options.capacity)
  const { ttl = "30 seconds", sweepInterval = "1 second", bufferSize = 4_096, limits = {}, keyIndex = false } = options
  return {
    ttl: nanos(readDuration("ttl", ttl, SOME)),
    sweepInterval: readDuration("sweepInterval", sweepInterval, SOME),
    bufferSize: readCount("bufferSize", bufferSize),
    limits: withDefaults(limits),
    keyIndex: readFlag("keyIndex", keyIndex)
  }
}

const withDefaults = (given: { readonly [limit in LimitName]?: number | undefined }): InputLimits => {
  checkNames("limits", given, Object.keys(defaultLimits))
  const limits = { ...defaultLimits }
  for (const [name, max] of Object.entries(given)) {
    if (max !== undefined) limits[name as LimitName] = readCount(`limits.${name}`, max, 0)
  }
  // Here too, so that an error names what holds.
  return { ...limits, metaDepth: Math.min(limits.metaDepth, MAX_DEPTH) }
}

/** Options from a `Config`, of which none makes no sense. */
export const readConfig = <A extends Given>(
  config: Config.Config.Wrap<A>,
  others?: ReadonlyArray<string>
): Effect.Effect<A, ConfigError.ConfigError> =>
  Effect.tap(unwrap(config) as Config.Config<A>, (options) =>
    Effect.try({
      try: () => decode(options, others),
      catch: (refused) => {
        if (refused instanceof InvalidOption) return ConfigError.InvalidData([refused.option], refused.message)
        throw refused
      }
    })
  )

/** `Config.unwrap` throws where nothing is given, at `undefined`, and at what stands there as it is. */
const unwrap = (given: unknown): Config.Config<unknown> => {
  if (Config.isConfig(given)) return given
  if (typeof given !== "object" || given === null || !isPlain(Object.getPrototypeOf(given)))
    return Config.succeed(given)
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  if (entries.length === 0) return Config.succeed({})
  return Config.all(Object.fromEntries(entries.map(([name, value]) => [name, unwrap(value)])))
}

// Objects of options, as somebody gives them who has no types

/** Throws `InvalidOption`, as the following does. */
export const checkObject = (option: string, given: unknown): void => {
  if (!isObject(given)) throw noObject(option, given)
}

export const checkNames = (option: string, given: unknown, known: ReadonlyArray<string>): void => {
  const refused = findUnknown(option, given, known)
  if (refused !== undefined) throw refused
}

/**
 * What is not understood would be wanted in vain. Of the outermost, `options`, each is called by its name alone. `track` asks
 * each time, so it makes nothing.
 */
export const findUnknown = (
  option: string,
  given: unknown,
  known: ReadonlyArray<string>
): InvalidOption | undefined => {
  if (!isObject(given)) return noObject(option, given)
  for (const name in given) {
    if (known.includes(name) || !Object.hasOwn(given, name) || given[name] === undefined) continue
    return new InvalidOption({
      option: `${option === "options" ? "" : `${option}.`}${cut(name)}`,
      value: show(given[name]),
      allowed: `left out: there are ${known.join(", ")}`
    })
  }
  return undefined
}

const isObject = (given: unknown): given is { readonly [name: string]: unknown } =>
  typeof given === "object" && given !== null && !Array.isArray(given)

const noObject = (option: string, given: unknown): InvalidOption =>
  new InvalidOption({ option, value: show(given), allowed: "an object" })

// One option

/** What durations an option takes. */
export interface DurationRange {
  readonly zero: boolean
  /** Milliseconds at the most. */
  readonly max: number
  readonly allowed: string
}

/** Node takes no longer timer, and lets one that is longer fire at once. */
const LONGEST = 2 ** 31 - 1

/** Some time, or for ever. */
export const SOME: DurationRange = {
  zero: false,
  max: Number.POSITIVE_INFINITY,
  allowed: 'a duration of more than none, such as "30 seconds"'
}

/** Any time, none or for ever. */
export const ANY: DurationRange = {
  zero: true,
  max: Number.POSITIVE_INFINITY,
  allowed: 'a duration, such as "5 seconds" or 0'
}

/** Some time that a timer measures. */
export const TIMER: DurationRange = {
  zero: false,
  max: LONGEST,
  allowed: 'a duration of more than none and at most 24 days, such as "30 seconds"'
}

/** The same, or none. */
export const TIMER_OR_NONE: DurationRange = {
  zero: true,
  max: LONGEST,
  allowed: 'a duration of at most 24 days, such as "5 seconds" or 0'
}

export const readDuration = (option: string, input: unknown, range: DurationRange): Duration.Duration => {
  const duration = checkDuration(option, input, range)
  if (duration instanceof InvalidOption) throw duration
  return duration
}

/** The same for who does not throw. */
export const checkDuration = (
  option: string,
  input: unknown,
  { zero, max, allowed }: DurationRange
): Duration.Duration | InvalidOption => {
  const duration = isNegative(input) ? Option.none() : Duration.decodeUnknown(input)
  return Option.isSome(duration) &&
    (zero || Duration.greaterThan(duration.value, Duration.zero)) &&
    (max === Number.POSITIVE_INFINITY || Duration.toMillis(duration.value) <= max)
    ? duration.value
    : new InvalidOption({
        option,
        value: Duration.isDuration(input) ? format(input) : show(input),
        allowed
      })
}

/** `Duration.format` throws at one of more nanoseconds than there are numbers. */
const format = (duration: Duration.Duration): string =>
  Duration.isFinite(duration) && nanos(duration) === Number.POSITIVE_INFINITY
    ? `${Duration.toMillis(duration)} millis`
    : Duration.format(duration)

/** `Duration` makes these none, without a word. */
const isNegative = (input: unknown): boolean => {
  if (Array.isArray(input)) return input.some(isNegative)
  if (typeof input === "string") return input.trimStart().startsWith("-")
  if (typeof input === "number") return Number.isNaN(input) || input < 0
  return typeof input === "bigint" && input < 0n
}

/** A whole number, or Infinity: no limit. */
export const readCount = (option: string, input: unknown, least: 0 | 1 = 1): number => {
  if (typeof input === "number" && input >= least && (Number.isInteger(input) || input === Number.POSITIVE_INFINITY)) {
    return input
  }
  throw new InvalidOption({ option, value: show(input), allowed: `a whole number of at least ${least}, or Infinity` })
}

/** Throws `InvalidOption`. */
export const readFunction = <F>(option: string, input: F, allowed: string): F => {
  if (typeof input === "function") return input
  throw new InvalidOption({ option, value: show(input), allowed })
}

/** Of channels: a number is brought into its range, and what is none would be no bound. */
export const readCapacity = (input: unknown): number | undefined => {
  if (input === undefined || Number.isNaN(input)) return undefined
  if (typeof input === "number") return Math.min(16_384, Math.max(1, Math.trunc(input)))
  throw new InvalidOption({ option: "capacity", value: show(input), allowed: "a number of texts, from 1 to 16384" })
}

const readFlag = (option: string, input: unknown): boolean => {
  if (typeof input === "boolean") return input
  throw new InvalidOption({ option, value: show(input), allowed: "true or false" })
}

/** Whole nanoseconds as a number: exact up to 104 days, the precision of a double beyond, and Infinity beyond that. */
export const nanos = (duration: Duration.Duration): number =>
  Duration.match(duration, { onMillis: (millis) => Math.round(millis * 1e6), onNanos: Number })
