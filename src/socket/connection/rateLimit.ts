/**
 * How fast a socket is read, and when it has had too much written to it. Numbers in, numbers out: the clock and the
 * socket are the caller's.
 */

/** Bytes of a message that cost a token. */
const BYTES = 256

/**
 * What a message costs: one token, and a long one as many as it is long. So what is sent costs about as much as it makes
 * to read.
 */
export const costOf = (bytes: number): number => Math.max(1, bytes / BYTES)

/** Thousandths of a token, so that a token a second is one of them a millisecond, and they add up to the last digit. */
const TOKEN = 1_000

/** A token bucket: `burst` messages at once, `perSecond` in the long run. */
export interface Bucket {
  readonly thousandths: number
  /** When that was true, in milliseconds. */
  readonly at: number
}

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export const full = (rate: Rate, now: number): Bucket => ({ thousandths: rate.burst * TOKEN, at: now })

/**
 * Takes the tokens of one message, or says how many milliseconds to wait. One is enough to begin with: what a long message
 * costs beyond is owed.
 */
export const take = (
  rate: Rate,
  bucket: Bucket,
  now: number,
  cost = 1
): { readonly bucket: Bucket; readonly wait: number } => {
  // A clock that stepped back gives nothing, and takes nothing away.
  const elapsed = Math.max(0, now - bucket.at)
  const thousandths = Math.min(rate.burst * TOKEN, bucket.thousandths + elapsed * rate.perSecond)
  if (thousandths >= TOKEN) return { bucket: { thousandths: thousandths - cost * TOKEN, at: now }, wait: 0 }
  return { bucket: { thousandths, at: now }, wait: Math.ceil((TOKEN - thousandths) / rate.perSecond) }
}

/** What a socket may have waiting, unsent. */
export interface Allowance {
  /** Over this many bytes it is full: it gets no more until it has drained. */
  readonly unsentBytes: number
  /** And is cut off after this many milliseconds. */
  readonly unsentFor: number
}

/** When it was found full, `undefined` while it is not. */
export type FullSince = number | undefined

/** Looked at after each write, after draining, and now and then. */
export const press = (
  allowance: Allowance,
  fullSince: FullSince,
  unsent: number,
  now: number
): { readonly fullSince: FullSince; readonly cut: boolean } => {
  if (fullSince === undefined) return { fullSince: unsent > allowance.unsentBytes ? now : undefined, cut: false }
  // Half of it must be gone, so that a socket does not flicker at the edge.
  if (unsent <= allowance.unsentBytes / 2) return { fullSince: undefined, cut: false }
  return { fullSince, cut: now - fullSince >= allowance.unsentFor }
}
