/**
 * Tokens: who may do what in the ready server, as JWTs that whoever has the secret signs with HS256.
 *
 * | claim | |
 * |---|---|
 * | `sub` | who it is, a non-empty string: the key under which they are tracked, whatever key they ask for |
 * | `topics` | where: a list of whole topics, or prefixes that end with `*`; without it nowhere |
 * | `exp`, `nbf` | until and from when, in seconds since the epoch, if at all; clocks may differ by `clockTolerance` |
 *
 * A socket's token comes from the join, else from the client's `authToken`, else from the URL; so a socket may open
 * without one. Over HTTP it is the bearer of the `Authorization` header, else the parameter `access_token`. The first
 * that is there counts, and a bad one refuses, also where a good one stands behind it.
 *
 * Who asks for no key watches. A token stands in no error and in no log.
 */
import { Clock, Duration, Effect, Redacted, Schema } from "effect"
// By its path: the whole package takes its time to load.
import { jwtVerify } from "jose/jwt/verify"
import { Unauthorized } from "../PresenceError.js"
import type { Attempt, Authorize } from "./Authorize.js"

/** For the routes over HTTP, and for sockets: they differ in where a token stands. */
export interface Tokens {
  readonly http: Authorize
  readonly socket: Authorize
}

/** `clockTolerance` is how far the clocks may differ of who makes tokens and who reads them. */
export const make = (secret: Redacted.Redacted, clockTolerance: Duration.DurationInput = "30 seconds"): Tokens => {
  const tolerance = Duration.toMillis(clockTolerance)
  const key = new TextEncoder().encode(Redacted.value(secret))

  const read = (token: unknown, status: 401 | 403) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.tryPromise(() =>
        jwtVerify(String(token), key, {
          algorithms: ["HS256"],
          currentDate: new Date(now),
          clockTolerance: tolerance / 1_000
        })
      ).pipe(
        Effect.flatMap(({ payload }) => decodeClaims(payload)),
        Effect.mapError(() => new Unauthorized({ status, reason: "unauthorized" }))
      )
    )

  const authorize =
    (tokenOf: (attempt: Attempt) => unknown, status: 401 | 403): Authorize =>
    (attempt) => {
      const token = tokenOf(attempt)
      if (attempt.on === "connect" && token === undefined) return Effect.succeed({})
      return Effect.flatMap(read(token, status), ({ sub, topics, exp }) => {
        if (attempt.on !== "connect" && !topics.some((pattern) => matches(pattern, attempt.topic))) {
          return Effect.fail(new Unauthorized({ reason: "forbidden topic" }))
        }
        const { key, meta } = attempt.payload
        const expires = exp === undefined ? undefined : exp * 1_000 + tolerance
        return Effect.succeed(key === undefined ? { expires } : { key: sub, meta, expires })
      })
    }

  return { http: authorize(httpToken, 401), socket: authorize(socketToken, 403) }
}

const decodeClaims = Schema.decodeUnknown(
  Schema.Struct({
    sub: Schema.NonEmptyString,
    topics: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
    exp: Schema.optional(Schema.Number)
  })
)

const matches = (pattern: string, topic: string): boolean =>
  pattern.endsWith("*") ? topic.startsWith(pattern.slice(0, -1)) : topic === pattern

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
