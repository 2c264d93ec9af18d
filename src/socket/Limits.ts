/**
 * What a socket may do, as options.
 *
 * @since 0.1.0
 */
import { Duration } from "effect"
import { MAX_DEPTH } from "../internal/input/json.js"
import { checkNames, readCount, readDuration, TIMER } from "../internal/input/options.js"

/**
 * What a client may do, each with its default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * Bytes of a message, however it is fragmented, in 64 parts at the most. Default 1 MiB; more closes the socket with 1009. Who
   * has joined nothing yet may send 128 KiB at once, or four metas of the largest.
   */
  readonly frameBytes?: number | undefined
  /** Channels that a socket may have joined. Default 100. */
  readonly channels?: number | undefined
  /**
   * Topics that all sockets of the route may be on together. Default 20,000; a join of one more is answered with that
   * reason.
   *
   * @since 0.2.0
   */
  readonly topics?: number | undefined
  /**
   * Topics that those from one address may have been the first on. Default 10,000, as all may come through one proxy; a join of
   * one more is answered with that reason, and topics that others are on are open to them.
   *
   * @since 0.2.0
   */
  readonly topicsPerAddress?: number | undefined
  /**
   * Sockets that a route holds at once, over whatever carries them. Default 20,000; one more is answered 503.
   *
   * @since 0.2.0
   */
  readonly sockets?: number | undefined
  /**
   * Sockets from one address, of IPv6 from one network of 64 bits. Default 10,000, as all may come through one proxy; one
   * more is answered 429. The address is `remoteAddress` of the request: what a middleware of yours makes of `X-Forwarded-For`, else that of the connection.
   *
   * @since 0.2.0
   */
  readonly socketsPerAddress?: number | undefined
  /** Messages of 256 bytes that a socket may send in the long run; longer ones count as several. Default 1,000; it is read no faster. */
  readonly messagesPerSecond?: number | undefined
  /** And at once. Default 2,000. */
  readonly messageBurst?: number | undefined
  /** UTF-8 bytes of a topic. Default 255. */
  readonly topicBytes?: number | undefined
  /** UTF-8 bytes of a key. Default 255. */
  readonly keyBytes?: number | undefined
  /** How deep a meta, or what a payload holds, may be nested. Default 64, 1,000 at the most. */
  readonly metaDepth?: number | undefined
  /** Bytes unsent to a socket, over which it is sent no more until it has drained. Default 1 MiB. */
  readonly unsentBytes?: number | undefined
  /** Bytes unsent, over which it is cut off. Default 4 MiB. A single frame may be larger, such as a large state. */
  readonly unsentBytesMax?: number | undefined
  /**
   * Bytes unsent to all sockets of the route together. Default 1 GiB; over it those with the most are cut off. It is looked
   * at about once a second. What is sent to many at once counts for each of them, though it is kept once.
   *
   * @since 0.2.0
   */
  readonly unsentTotal?: number | undefined
  /**
   * Bytes of messages that have not come whole yet, of all sockets of the route together. Default 256 MiB; over it those with the
   * most are cut off. It is looked at about once a second.
   *
   * @since 0.2.0
   */
  readonly unfinishedTotal?: number | undefined
  /** How long it may have that much unsent before it is cut off. Default 30 seconds. */
  readonly unsentFor?: Duration.DurationInput | undefined
  /** How long a socket may be silent. Default 60 seconds; then it is closed with 1001, so that it comes back. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /**
   * Clients by long polling that a route holds at once, whether their polls go on or not yet silent for too long.
   * Default 10,000; who comes beyond is answered 503.
   *
   * @since 0.2.0
   */
  readonly longPolls?: number | undefined
}

const known: Record<keyof Limits, true> = {
  frameBytes: true,
  channels: true,
  topics: true,
  topicsPerAddress: true,
  sockets: true,
  socketsPerAddress: true,
  messagesPerSecond: true,
  messageBurst: true,
  topicBytes: true,
  keyBytes: true,
  metaDepth: true,
  unsentBytes: true,
  unsentBytesMax: true,
  unsentTotal: true,
  unfinishedTotal: true,
  unsentFor: true,
  idleTimeout: true,
  longPolls: true
}

/**
 * All there are, which the type of `known` sees to.
 *
 * @internal
 */
export const names: ReadonlyArray<string> = Object.keys(known)

/**
 * The limits with their defaults, durations in milliseconds. Throws `InvalidOption`.
 *
 * @internal
 */
export const decode = (limits: Limits = {}) => {
  checkNames("limits", limits, names)
  const count = (name: keyof Limits, fallback: number): number => {
    const { [name]: given = fallback } = limits
    return readCount(`limits.${name}`, given)
  }
  const millis = (name: keyof Limits, fallback: Duration.DurationInput): number => {
    const { [name]: given = fallback } = limits
    return Duration.toMillis(readDuration(`limits.${name}`, given, TIMER))
  }
  return {
    frameBytes: count("frameBytes", 1_048_576),
    channels: count("channels", 100),
    topics: count("topics", 20_000),
    topicsPerAddress: count("topicsPerAddress", 10_000),
    sockets: count("sockets", 20_000),
    socketsPerAddress: count("socketsPerAddress", 10_000),
    topicBytes: count("topicBytes", 255),
    keyBytes: count("keyBytes", 255),
    metaDepth: Math.min(count("metaDepth", 64), MAX_DEPTH),
    rate: { perSecond: count("messagesPerSecond", 1_000), burst: count("messageBurst", 2_000) },
    allowance: {
      unsentBytes: count("unsentBytes", 1_048_576),
      unsentBytesMax: count("unsentBytesMax", 4_194_304),
      unsentFor: millis("unsentFor", "30 seconds")
    },
    unsentTotal: count("unsentTotal", 1_073_741_824),
    unfinishedTotal: count("unfinishedTotal", 268_435_456),
    idleTimeout: millis("idleTimeout", "60 seconds"),
    longPolls: count("longPolls", 10_000)
  }
}
