/**
 * The settings of the ready server, read from the environment by Effect's `Config`.
 *
 * An empty value is the same as none, and what stands around one (spaces, the end of a line that a file had) is none of it.
 * Whatever is wrong is told in one line that names the setting and what it takes.
 */
import { Config, ConfigError, ConfigProvider, Duration, Either, LogLevel, Option, Redacted } from "effect"
import { InvalidOption, type PresenceUnavailable } from "../PresenceError.js"
import { refusal } from "../web/originList.js"
import { isLoopback } from "../web/origins.js"
import { type JwtOptions, jwt as makeJwt } from "../web/tokens.js"

export interface Settings {
  /** What to listen on. Beyond loopback only when tokens are checked, or when everybody may get in. */
  readonly host: string
  /** The host that was asked for and not allowed. */
  readonly refusedHost: Option.Option<string>
  readonly port: number
  readonly ttl: Duration.Duration
  readonly diffInterval: Duration.Duration
  readonly idleTimeout: Duration.Duration
  /** How long somebody stays after their connection has ended. */
  readonly leaveDelay: Duration.Duration
  readonly allowedOrigins: ReadonlyArray<string> | undefined
  /** How tokens are checked. Without it everybody gets in. */
  readonly jwt: Option.Option<JwtOptions>
  /** The Redis that replicas share. It may hold a password. */
  readonly redis: Option.Option<Redacted.Redacted>
  readonly logLevel: LogLevel.LogLevel
}

/** Reads a setting. `expected` completes "must be …". */
const setting = <A>(
  name: string,
  expected: string,
  fallback: A,
  parse: (text: string) => Option.Option<A>
): Config.Config<A> =>
  Config.string(name).pipe(
    Config.mapOrFail((text) =>
      Either.fromOption(parse(text.trim()), () =>
        ConfigError.InvalidData([], `must be ${expected}, but is ${JSON.stringify(text)}`)
      )
    ),
    Config.withDefault(fallback)
  )

/** Node takes no longer timer, and lets one that is longer fire at once. */
const LONGEST = Duration.millis(2 ** 31 - 1)

/** A duration that becomes a timer. */
const duration = (name: string, fallback: Duration.DurationInput, zero: "zero" | "no zero") =>
  setting(
    name,
    `a duration such as "${fallback}"${zero === "zero" ? "" : ", more than none"} and at most 24 days`,
    Duration.decode(fallback),
    (text) =>
      Option.filter(
        Duration.decodeUnknown(text),
        (value) =>
          Duration.lessThanOrEqualTo(value, LONGEST) &&
          (Duration.greaterThan(value, 0) || (zero === "zero" && text[0] !== "-"))
      )
  )

const port = setting("PORT", "a number from 0 to 65535", 4000, (text) =>
  Option.liftPredicate(Number(text), (number) => /^\d+$/.test(text) && number <= 65_535)
)

const isPublic = setting("PRESENCE_PUBLIC", `"true" or "false"`, false, (text) =>
  text === "true" ? Option.some(true) : text === "false" ? Option.some(false) : Option.none()
)

const logLevel = setting(
  "LOG_LEVEL",
  `one of ${LogLevel.allLevels.map(({ _tag }) => _tag).join(", ")}`,
  LogLevel.Info,
  (text) =>
    Option.fromNullable(
      // "WARN" is the label of "Warning".
      LogLevel.allLevels.find(({ _tag, label }) =>
        [_tag.toLowerCase(), label.toLowerCase()].includes(text.toLowerCase())
      )
    )
)

const allowedOrigins = Config.option(Config.string("PRESENCE_ALLOWED_ORIGINS")).pipe(
  Config.mapOrFail((text) => {
    const origins = Option.getOrUndefined(text)
      ?.split(",")
      .map((origin) => origin.trim())
    const wrong = origins?.find((origin) => refusal(origin) !== undefined)
    return wrong === undefined
      ? Either.right<ReadonlyArray<string> | undefined>(origins)
      : Either.left(
          ConfigError.InvalidData(
            ["PRESENCE_ALLOWED_ORIGINS"],
            `must be origins, separated by commas, but ${JSON.stringify(wrong)} ${refusal(wrong)}`
          )
        )
  })
)

/** Names between commas. */
const names = (name: string) =>
  setting<ReadonlyArray<string> | undefined>(name, "names, separated by commas, without quotes", undefined, (text) => {
    const names = text.split(",").map((name) => name.trim())
    return names.some((name) => name === "" || isQuoted(name)) ? Option.none() : Option.some(names)
  })

/** As a shell would have taken them off, and whatever reads a file of settings for a container does not. */
const isQuoted = (text: string): boolean => /^(["']).*\1$/s.test(text)

/** What tokens are checked with, and what else is asked of them. */
const jwt: Config.Config<Option.Option<JwtOptions>> = Config.all({
  secret: Config.withDefault(Config.redacted("PRESENCE_JWT_SECRET"), undefined),
  jwksUrl: Config.withDefault(Config.string("PRESENCE_JWKS_URL"), undefined),
  publicKey: Config.withDefault(Config.string("PRESENCE_JWT_PUBLIC_KEY"), undefined),
  issuer: names("PRESENCE_JWT_ISSUER"),
  audience: names("PRESENCE_JWT_AUDIENCE"),
  keyClaim: setting<string | undefined>("PRESENCE_JWT_KEY_CLAIM", "a claim, without quotes", undefined, (text) =>
    Option.liftPredicate(text, (claim) => !isQuoted(claim))
  ),
  topics: names("PRESENCE_TOPICS"),
  clockTolerance: duration("PRESENCE_CLOCK_TOLERANCE", "30 seconds", "zero")
}).pipe(
  Config.mapOrFail(({ clockTolerance, ...given }) => {
    const set = Object.entries(given).flatMap(([option, value]) => (value === undefined ? [] : [option as JwtSetting]))
    const [name] = set
    if (name === undefined) return Either.right(Option.none())
    const keys = set.filter((option) => KEYS.includes(option)).map((option) => NAME_OF[option])
    const refuse = (name: string, why: string) => Either.left(ConfigError.InvalidData([name], why))
    if (keys[0] === undefined) {
      return refuse(NAME_OF[name], `says what tokens must be, but nothing checks them: set one of ${list(KEYS)} too`)
    }
    if (keys.length > 1) {
      return refuse(keys[0], `is set together with ${keys.slice(1).join(" and ")}: tokens are checked with one of them`)
    }
    const options = { ...given, clockTolerance }
    try {
      makeJwt(options)
      return Either.right(Option.some(options))
    } catch (refused) {
      if (!(refused instanceof InvalidOption)) throw refused
      const { option, value, allowed } = refused
      return refuse(
        NAME_OF[option as JwtSetting],
        option === "secret"
          ? `must have ${allowed}, but has ${value}: openssl rand -base64 32 makes one`
          : `must be ${allowed}, but is ${value}`
      )
    }
  })
)

type JwtSetting = Exclude<keyof JwtOptions, "clockTolerance" | "algorithms">

const NAME_OF: { readonly [option in JwtSetting]: string } = {
  secret: "PRESENCE_JWT_SECRET",
  jwksUrl: "PRESENCE_JWKS_URL",
  publicKey: "PRESENCE_JWT_PUBLIC_KEY",
  issuer: "PRESENCE_JWT_ISSUER",
  audience: "PRESENCE_JWT_AUDIENCE",
  keyClaim: "PRESENCE_JWT_KEY_CLAIM",
  topics: "PRESENCE_TOPICS"
}

const KEYS: ReadonlyArray<JwtSetting> = ["secret", "jwksUrl", "publicKey"]

const list = (options: ReadonlyArray<JwtSetting>): string => options.map((option) => NAME_OF[option]).join(", ")

export const settings: Config.Config<Settings> = Config.all({
  host: setting("HOST", "a host name or address", "127.0.0.1", (text) =>
    Option.liftPredicate(text.toLowerCase().replace(/^\[(.*)\]$/, "$1"), (host) => /^[\w.:%-]+$/.test(host))
  ),
  port,
  ttl: duration("PRESENCE_TTL", "30 seconds", "no zero"),
  diffInterval: duration("PRESENCE_DIFF_INTERVAL", "50 millis", "zero"),
  idleTimeout: duration("PRESENCE_IDLE_TIMEOUT", "60 seconds", "no zero"),
  leaveDelay: duration("PRESENCE_LEAVE_DELAY", "0 seconds", "zero"),
  allowedOrigins,
  isPublic,
  logLevel,
  jwt,
  redis: Config.option(Config.redacted("REDIS_URL"))
}).pipe(
  Config.map(({ host, isPublic, ...others }) => {
    const refused = !isLoopback(host) && !isPublic && Option.isNone(others.jwt)
    return { ...others, host: refused ? "127.0.0.1" : host, refusedHost: refused ? Option.some(host) : Option.none() }
  })
)

/** An environment in which an empty value is none. */
export const provider = (environment: { readonly [name: string]: string | undefined }): ConfigProvider.ConfigProvider =>
  ConfigProvider.fromMap(
    new Map(Object.entries(environment).flatMap(([name, value]) => (value?.trim() ? [[name, value] as const] : [])))
  )

/**
 * What stands in an environment under names that begin as ours do and are none of them, in one line, if there is any. What
 * Kubernetes puts there for each service is, for one that is called "presence", nobody's mistake.
 */
export const describeUnknown = (environment: { readonly [name: string]: string | undefined }): string | undefined => {
  const unknown = Object.entries(environment)
    .map((setting) => setting.join("="))
    .filter((setting) => setting.startsWith("PRESENCE_") && !OF_KUBERNETES.test(setting))
    .map((setting) => setting.slice(0, setting.indexOf("=")))
    .filter((name) => !NAMES.includes(name))
    .map((name) => {
      const nearest = NAMES.map((known) => ({ known, far: distance(name, known) })).sort((a, b) => a.far - b.far)[0]
      return nearest !== undefined && nearest.far <= 3 ? `${name} (did you mean ${nearest.known}?)` : name
    })
  return unknown.length === 0 ? undefined : `no such setting: ${unknown.join(", ")}; --help lists them`
}

const OF_KUBERNETES = /^\w+(_SERVICE_(HOST|PORT(_\w+)?)=|_PORT=\w+:\/\/|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=)/

/** What of a secret is hardly meant to be part of it, in one line: all tokens would be refused, and nothing would say why. */
export const describeSecret = ({ jwt }: Settings): string | undefined => {
  const { secret } = Option.getOrUndefined(jwt) ?? {}
  const text = Redacted.isRedacted(secret) ? String(Redacted.value(secret)) : ""
  const what = text !== text.trim() ? "begins or ends with a space or the end of a line" : "is in quotes"
  return text === text.trim() && !isQuoted(text)
    ? undefined
    : `PRESENCE_JWT_SECRET ${what}, which counts as part of it: tokens that are signed without are refused`
}

/** How many letters must be changed, added or left out to make one of the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** All that is wrong, in one line. */
export const describe = (error: ConfigError.ConfigError): string =>
  ConfigError.reduceWithContext(error, undefined, {
    andCase: (_, left, right) => `${left}; ${right}`,
    orCase: (_, left, right) => `${left}; ${right}`,
    invalidDataCase: (_, path, message) => `${path.join(".")} ${message}`,
    missingDataCase: (_, path, message) => `${path.join(".")} is missing: ${message}`,
    sourceUnavailableCase: (_, path, message) => `${path.join(".")} cannot be read: ${message}`,
    unsupportedCase: (_, path, message) => `${path.join(".")} cannot be read: ${message}`
  })

/** Why it cannot be a replica, in one line. */
export const describeRedis = ({ reason }: PresenceUnavailable): string => `REDIS_URL cannot be used: ${reason}`

/** Why it cannot listen, in one line. */
export const describeListening = ({ host, port }: Settings, cause: unknown): string => {
  const { code = "", message = String(cause) } = cause instanceof Error ? (cause as NodeJS.ErrnoException) : {}
  switch (code) {
    case "EADDRINUSE":
      return `PORT ${port} is in use on ${host}: stop what listens there, or set another PORT`
    case "EACCES":
      return `PORT ${port} on ${host} needs rights that this process does not have: set another PORT`
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `HOST ${host} is no address of this machine`
    default:
      return `HOST ${host} and PORT ${port} cannot be listened on: ${message}`
  }
}

export const help = `effect-presence: who is here, right now, on which topic

  npx -p effect-presence -p @effect/platform-node@0.108 effect-presence

Settings, from the environment:

  HOST                      what to listen on (127.0.0.1). Beyond this machine only where tokens
                            are checked, or with PRESENCE_PUBLIC=true
  PORT                      the port, 0 for a free one (4000)
  PRESENCE_TTL              how long a connection lives without a sign of life, if nothing else
                            ends it (30 seconds)
  PRESENCE_DIFF_INTERVAL    changes within this time travel as one (50 millis)
  PRESENCE_IDLE_TIMEOUT     how long a client may show no life: a silent socket is closed, and who
                            joined by an event stream has to come back meanwhile (60 seconds)
  PRESENCE_LEAVE_DELAY      how long somebody stays after their connection has ended, so that who
                            comes back, here or on another replica, causes no leave and join
                            (0 seconds)
  PRESENCE_ALLOWED_ORIGINS  the web pages that may connect, as whole origins, comma-separated;
                            https://*.example.com is every subdomain (those of this machine)
  PRESENCE_JWT_SECRET       what tokens (JWT, HS256) are signed with, 32 bytes or more: who has no
                            token does not get in. "sub" is who they are, "topics" where:
                            ["room:1", "team:*"]; "exact_topics" too, without a * (none)
  PRESENCE_JWKS_URL         instead of it, where the public keys stand of whoever signs tokens, with
                            RS256, ES256 or EdDSA (none)
  PRESENCE_JWT_PUBLIC_KEY   instead of both, one such key as PEM (none)
  PRESENCE_JWT_ISSUER       who must have made them ("iss"), one or several, comma-separated (any)
  PRESENCE_JWT_AUDIENCE     whom they must be for ("aud"), one or several, comma-separated (any)
  PRESENCE_JWT_KEY_CLAIM    the claim that says who they are (sub)
  PRESENCE_TOPICS           where tokens lead that have neither "topics" nor "exact_topics",
                            comma-separated: room:*,user:{sub} (nowhere)
  PRESENCE_CLOCK_TOLERANCE  how far the clocks may differ of who makes tokens and who reads them
                            (30 seconds)
  PRESENCE_PUBLIC           true: where no tokens are checked everybody who can reach HOST gets in, under
                            any name (false)
  REDIS_URL                 the Redis that makes this server one replica of many, such as
                            redis://user:password@host:6379/0 (none: this process alone)
  LOG_LEVEL                 All, Trace, Debug, Info, Warning, Error, Fatal or None (Info)

Durations are written as "30 seconds", "50 millis", "1 minute".
`

/** All that begin so, as the help lists them. */
const NAMES: ReadonlyArray<string> = Array.from(new Set(help.match(/^ {2}PRESENCE_\w+/gm)), (name) => name.trim())
