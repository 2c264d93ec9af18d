/**
 * The options that Redis adds, with their defaults, decoded once.
 */
import { Duration, Effect } from "effect"
import { show } from "../internal/input/names.js"
import { checkDuration, checkObject, TIMER } from "../internal/input/options.js"
import type { Presence } from "../Presence.js"
import { InvalidOption, PresenceUnavailable } from "../PresenceError.js"
import type { Where } from "./client/connection.js"
import { checkPrefix } from "./protocol/keys.js"

/**
 * Where Redis is, what it adds, and the options of presence.
 *
 * @since 0.1.0
 * @category models
 */
export type PresenceRedisOptions = Presence.Options & RedisOptions & Where

/**
 * What Redis adds to the options of presence, beside where it is.
 *
 * @since 0.2.0
 * @category models
 */
export interface RedisOptions {
  /**
   * What every key and channel begins with. Default `presence`. It may not hold a brace. In a database other than 0 its
   * number follows, `presence@3`, as Redis does not keep the channels of databases apart.
   */
  readonly prefix?: string | undefined
  /**
   * How long this replica is still there when it does not beat. Default 15 seconds; at least two heartbeats. Others may
   * live by another, but for replicas of version 0.1, which know one for all.
   */
  readonly lease?: Duration.DurationInput | undefined
  /** How often this replica beats at least. Default 5 seconds. All beat as often as the one with the shortest. */
  readonly heartbeat?: Duration.DurationInput | undefined
  /** How long a call waits for Redis. Default 5 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
  /**
   * What `track` does while Redis does not answer: `"fail"`, the default, with `PresenceUnavailable`, or `"local"`:
   * the lease is live at once, and others see it when Redis is back.
   */
  readonly whenUnavailable?: "fail" | "local" | undefined
  /**
   * Whether what is held here stays, when the layer closes, until the lease is over, so that clients who reconnect to
   * another replica never left. Default false: it leaves at once.
   */
  readonly handover?: boolean | undefined
}

const known: Record<keyof RedisOptions | keyof Where, true> = {
  url: true,
  connect: true,
  prefix: true,
  lease: true,
  heartbeat: true,
  timeout: true,
  whenUnavailable: true,
  handover: true
}

/** All that Redis adds, which the type of `known` sees to. */
export const names: ReadonlyArray<string> = Object.keys(known)

export interface RedisSettings {
  readonly where: Where
  /** What keys and channels begin with in database 0. */
  readonly prefix: string
  /** Milliseconds. */
  readonly lease: number
  readonly heartbeat: number
  readonly timeout: number
  readonly whenUnavailable: "fail" | "local"
  readonly handover: boolean
}

export const decodeRedis = (options: RedisOptions & Where): Effect.Effect<RedisSettings, PresenceUnavailable> =>
  Effect.gen(function* () {
    checkObject("options", options)
    const { connect, url, prefix = "presence", whenUnavailable = "fail", handover = false } = options
    if (url !== undefined && connect !== undefined) {
      return yield* refuse("of url and connect one is to be given, not both")
    }
    if (url === undefined && connect === undefined) {
      return yield* refuse("neither url nor connect is given: one of them says where Redis is")
    }
    if (connect !== undefined && typeof connect !== "function") {
      return yield* refuse("connect is no function that makes connections")
    }
    const badPrefix = checkPrefix(prefix)
    if (badPrefix !== undefined) return yield* refuse(`the prefix ${show(prefix)} is refused: ${badPrefix}`)
    const lease = yield* millis("lease", "15 seconds", options)
    const heartbeat = yield* millis("heartbeat", "5 seconds", options)
    const timeout = yield* millis("timeout", "5 seconds", options)
    if (lease < 2 * heartbeat) {
      return yield* refuse(
        `a lease of ${lease} ms is too short for a heartbeat every ${heartbeat} ms: at least two must fit`
      )
    }
    if (whenUnavailable !== "fail" && whenUnavailable !== "local") {
      return yield* refuse(`whenUnavailable is ${show(whenUnavailable)}, and may be "fail" or "local"`)
    }
    if (typeof handover !== "boolean") {
      return yield* refuse(`handover is ${show(handover)}, and may be true or false`)
    }
    return {
      where: options,
      prefix,
      lease,
      heartbeat,
      timeout,
      whenUnavailable,
      handover
    }
  })

/** Redis has no databases for channels, so one other than 0 is named. */
export const prefixIn = (database: number, prefix: string): string =>
  database === 0 ? prefix : `${prefix}@${database}`

/** Whole milliseconds, at least one. */
const millis = (
  option: "lease" | "heartbeat" | "timeout",
  fallback: Duration.DurationInput,
  { [option]: input = fallback }: RedisOptions
): Effect.Effect<number, PresenceUnavailable> => {
  const duration = checkDuration(option, input, TIMER)
  return duration instanceof InvalidOption
    ? refuse(duration.message)
    : Effect.succeed(Math.max(1, Math.round(Duration.toMillis(duration))))
}

const refuse = (reason: string): Effect.Effect<never, PresenceUnavailable> =>
  Effect.fail(new PresenceUnavailable({ reason }))
