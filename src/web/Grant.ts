/**
 * What authorize answers.
 *
 * @since 0.1.0
 */

/**
 * Yes, and as whom.
 *
 * @since 0.1.0
 * @category models
 */
export interface Grant {
  /** Who it is. Without a key they may watch and are not tracked. */
  readonly key?: string | undefined
  /** What their connection carries, any JSON value. Default `{}`. */
  readonly meta?: unknown
  /** Whether pushes over the socket may replace the meta. Default true. */
  readonly clientMeta?: boolean | undefined
  /**
   * When the grant ends, in milliseconds since the epoch. Then the channel ends with `phx_error`, unless an
   * `access_token` push brought a later end: its client joins again by itself, at once and with the newer token if its
   * parameters bring one; a grant that has ended already refuses the join with `unauthorized`, and the client tries
   * again with its own back-off. Over HTTP the stream of events ends. Default never.
   */
  readonly expires?: number | undefined
}

/**
 * Whether it has ended. One whose end is no number has: nobody stays for ever because a date could not be read.
 *
 * @internal
 */
export const hasEnded = ({ expires }: Pick<Grant, "expires">, now: number): boolean =>
  expires !== undefined && !(expires > now)
