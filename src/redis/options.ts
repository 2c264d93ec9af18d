/**
 * The options that Redis adds, with their defaults, decoded once.
 */
import { Duration, Effect } from "effect"
import { PresenceUnavailable } from "../PresenceError.js"
import { parseUrl, UrlRefusal } from "./client/url.js"
import { checkPrefix } from "./protocol/keys.js"

/** Node takes no longer timer, and lets one that is longer fire at once. */
const LONGEST = 2 ** 31 - 1

export interface RedisSettings {
  readonly url: string
  /** What keys and channels begin with. Redis has no databases for channels, so one other than 0 is named here. */
  readonly prefix: string
  /** Milliseconds. */
  readonly lease: number
  readonly heartbeat: number
  readonly timeout: number
  readonly whenUnavailable: "fail" | "local"
  readonly handover: boolean
}

export const decodeRedis = (options: {
  readonly url: string
  readonly prefix?: string | undefined
  readonly lease?: Duration.DurationInput | undefined
  readonly heartbeat?: Duration.DurationInput | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly whenUnavailable?: "fail" | "local" | undefined
  readonly handover?: boolean | undefined
}): Effect.Effect<RedisSettings, PresenceUnavailable> => {
  const millis = (duration: Duration.DurationInput): number => Math.max(1, Math.round(Duration.toMillis(duration)))
  const prefix = options.prefix ?? "presence"
  const lease = millis(options.lease ?? "15 seconds")
  const heartbeat = millis(options.heartbeat ?? "5 seconds")
  const badPrefix = checkPrefix(prefix)
  if (badPrefix !== undefined) return refuse(`the prefix ${JSON.stringify(prefix)} is refused: ${badPrefix}`)
  if (!(lease >= 2 * heartbeat && lease < Number.POSITIVE_INFINITY)) {
    return refuse(`a lease of ${lease} ms is too short for a heartbeat every ${heartbeat} ms: at least two must fit`)
  }
  const timeout = millis(options.timeout ?? "5 seconds")
  if (timeout > LONGEST) return refuse(`a timeout of ${timeout} ms is refused: at most ${LONGEST} ms`)
  return Effect.succeed({
    url: options.url,
    prefix: prefix + databaseOf(options.url),
    lease,
    heartbeat,
    timeout,
    whenUnavailable: options.whenUnavailable ?? "fail",
    handover: options.handover ?? false
  })
}

const databaseOf = (url: string): string => {
  const target = parseUrl(url)
  return target instanceof UrlRefusal || target.database === 0 ? "" : `@${target.database}`
}

const refuse = (reason: string): Effect.Effect<never, PresenceUnavailable> =>
  Effect.fail(new PresenceUnavailable({ reason }))
