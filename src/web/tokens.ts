/**
 * Tokens: who may do what, as JWTs that somebody signs and these routes check.
 *
 * A socket's token comes from the join, else from the client's `authToken`, else from the URL; so a socket may open
 * without one. Over HTTP it is the bearer of the `Authorization` header, else the parameter `access_token`. The first
 * that is there counts, and a bad one refuses, also where a good one stands behind it.
 *
 * Who asks for no key watches. A token stands in no error and in no log.
 */
import { Clock, Duration, Effect, type Redacted, Schema } from "effect"
import type { JWTPayload } from "jose"
import { show } from "../internal/input/names.js"
import { checkNames, readDuration, TIMER_OR_NONE } from "../internal/input/options.js"
import { InvalidOption, Unauthorized } from "../PresenceError.js"
import type { Attempt, Authorize } from "./Authorize.js"
import { type Algorithm, make } from "./tokenKeys.js"
import { fill, matches, parse } from "./topicPatterns.js"

/**
 * How tokens are checked. Exactly one of `secret`, `jwksUrl` and `publicKey` is given.
 *
 * @since 0.2.0
 * @category models
 */
export interface JwtOptions {
  /** What they are signed with (HS256), at least 32 bytes. */
  readonly secret?: string | Redacted.Redacted | undefined
  /**
   * Where the public keys stand of whoever signs them. They are asked for when the first token comes, every ten minutes,
   * and, once in 5 seconds at the most, for a token that is of none of them. While they cannot be read those known so far
   * go on counting.
   */
  readonly jwksUrl?: string | URL | undefined
  /** The public key, or a certificate, as PEM: RSA of at least 2048 bits, P-256 or Ed25519. */
  readonly publicKey?: string | undefined
  /**
   * How they may be signed. Default `HS256` with a secret, RS256, ES256 and EdDSA with `jwksUrl`, and with a public key
   * what it is for. Others than the default's are `InvalidOption`.
   */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** Who must have made them, one of these: the claim `iss`. Default anybody with the key. */
  readonly issuer?: string | ReadonlyArray<string> | undefined
  /** Whom they must be for, one of these: the claim `aud`. Default anybody: also other programs of the same issuer. */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** How far the clocks may differ of who makes tokens and who reads them. Default 30 seconds. */
  readonly clockTolerance?: Duration.DurationInput | undefined
  /** The claim that is the key under which somebody is tracked, whatever key they ask for. Default `sub`. */
  readonly keyClaim?: string | undefined
  /**
   * Where tokens lead that have neither `topics` nor `exact_topics`: whole topics, or prefixes that end with `*`, in which
   * `{sub}` is that claim, or any other: `["room:*", "user:{sub}"]`. A claim with `:` or `*` fills none. Default nowhere.
   */
  readonly topics?: ReadonlyArray<string> | undefined
}

const known: Record<keyof JwtOptions, true> = {
  secret: true,
  jwksUrl: true,
  publicKey: true,
  algorithms: true,
  issuer: true,
  audience: true,
  clockTolerance: true,
  keyClaim: true,
  topics: true
}

/** Throws `InvalidOption`, also for one that there is not: an audience misspelt would let in everybody's tokens. */
export const jwt = (options: JwtOptions): Authorize => {
  checkNames("options", options, Object.keys(known))
  const { clockTolerance = "30 seconds", keyClaim: givenClaim = "sub", topics: givenTopics = [] } = options
  const verify = make(options)
  const tolerance = Duration.toMillis(readDuration("clockTolerance", clockTolerance, TIMER_OR_NONE))
  const keyClaim = readName("keyClaim", givenClaim, "the name of a claim")
  const templates = readNames("topics", givenTopics, 'topics or prefixes, such as ["room:*", "user:{sub}"]').map(parse)
  const rules = {
    clockTolerance: tolerance / 1_000,
    ...named("issuer", options.issuer),
    ...named("audience", options.audience)
  }

  const read = (token: unknown, status: 401 | 403) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      typeof token === "string"
        ? verify(token, { ...rules, currentDate: new Date(now) })
        : Effect.fail<"bad" | "cannot tell">("bad")
    ).pipe(
      Effect.flatMap((claims) =>
        Effect.map(decodeClaims({ ...claims, key: own(claims, keyClaim) }), (read) => ({ ...read, claims }))
      ),
      Effect.mapError((why) => {
        return why === "cannot tell"
          ? new Unauthorized({ status: 503, reason: "tokens cannot be checked at the moment" })
          : new Unauthorized({ status, reason: "unauthorized" })
      })
    )

  return (attempt) => {
    const [token, status] =
      attempt.route === "socket" ? ([socketToken(attempt), 403] as const) : ([httpToken(attempt), 401] as const)
    if (attempt.on === "connect" && token === undefined) return Effect.succeed({})
    return Effect.flatMap(read(token, status), ({ key: ownKey, topics, exact_topics, exp, claims }) => {
      if (attempt.on !== "connect") {
        const { topic } = attempt
        const patterns =
          topics === undefined && exact_topics === undefined
            ? templates.flatMap((template) => fill(template, claims) ?? [])
            : (topics ?? []).map(parse)
        if (exact_topics?.includes(topic) !== true && !patterns.some((pattern) => matches(pattern, topic))) {
          return Effect.fail(new Unauthorized({ reason: "forbidden topic" }))
        }
      }
      const { key, meta } = attempt.payload
      const expires = exp === undefined ? undefined : exp * 1_000 + tolerance
      return Effect.succeed(key === undefined ? { expires } : { key: ownKey, meta, expires })
    })
  }
}

const Topics = Schema.optional(Schema.Array(Schema.String))

const decodeClaims = Schema.decodeUnknown(
  Schema.Struct({
    key: Schema.NonEmptyString,
    topics: Topics,
    exact_topics: Topics,
    exp: Schema.optional(Schema.Number)
  })
)

const own = (claims: JWTPayload, name: string): unknown => (Object.hasOwn(claims, name) ? claims[name] : undefined)

// Options

const named = (option: "issuer" | "audience", given: string | ReadonlyArray<string> | undefined) => {
  if (given === undefined) return {}
  const allowed = "a name or several"
  const names = readNames(option, typeof given === "string" ? [given] : given, allowed)
  if (names.length === 0) throw new InvalidOption({ option, value: "empty", allowed })
  return { [option]: names }
}

const readNames = (option: string, names: ReadonlyArray<string>, allowed: string): Array<string> => {
  if (Array.isArray(names)) return names.map((name) => readName(option, name, allowed))
  throw new InvalidOption({ option, value: show(names), allowed })
}

const readName = (option: string, name: string, allowed: string): string => {
  if (typeof name === "string" && name !== "") return name
  throw new InvalidOption({ option, value: show(name), allowed })
}

// Where it stands

const httpToken = ({ request, payload }: Attempt): unknown => {
  const [, bearer] = /^bearer +(.*)$/i.exec(request.headers.authorization ?? "") ?? []
  return first(bearer, payload.access_token)
}

const socketToken = ({ on, request, payload }: Attempt): unknown => {
  const [, query = ""] = request.url.split(/\?(.*)/s)
  const { access_token, token, apikey } = Object.fromEntries(new URLSearchParams(query))
  return first(
    ...(on === "join" ? [payload.access_token, payload.token] : []),
    offered(request.headers["sec-websocket-protocol"]),
    // The same where it polls.
    request.headers["x-phoenix-authtoken"],
    access_token,
    token,
    // Others are no tokens: Supabase's clients always name a key.
    apikey?.split(".").length === 3 ? apikey : undefined
  )
}

/** The token that Phoenix's client offers as if it were a subprotocol. */
const offered = (protocols = ""): string | undefined => {
  const [, base64] = /(?:^|,)\s*base64url\.bearer\.phx\.([^\s,]*)/.exec(protocols) ?? []
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString()
}

const first = (...tokens: ReadonlyArray<unknown>): unknown =>
  tokens.find((token) => token !== undefined && token !== null && token !== "")
