/**
 * How fast a socket is read, and when it has had too much written to it. Numbers in, numbers out: the clock and the
 * socket are the caller's.
 */

/** A token bucket: `burst` messages at once, `perSecond` in the long run. */
export interface Bucket {
  readonly tokens: number
  /** When `tokens` was true, in milliseconds. */
  readonly at: number
}

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export const full = (rate: Rate, now: number): Bucket => ({ tokens: rate.burst, at: now })

/** Takes a token for one message, or says how many milliseconds to wait for it. */
export const take = (rate: Rate, bucket: Bucket, now: number): { readonly bucket: Bucket; readonly wait: number } => {
  // A clock that stepped back gives nothing, and takes nothing away.
  const elapsed = Math.max(0, now - bucket.at)
  const tokens = Math.min(rate.burst, bucket.tokens + (elapsed * rate.perSecond) / 1_000)
  if (tokens >= 1) return { bucket: { tokens: tokens - 1, at: now }, wait: 0 }
  return { bucket: { tokens, at: now }, wait: Math.ceil(((1 - tokens) * 1_000) / rate.perSecond) }
}

/** What a socket may have waiting, unsent. */
export interface Allowance {
  /** Over this many bytes it gets no more until it has drained. */
  readonly unsentBytes: number
  /** Over this many it is cut off. */
  readonly unsentBytesMax: number
  /** And after this many milliseconds over `unsentBytes` without draining. */
  readonly unsentFor: number
}

/** `fullSince`: when it was found over `unsentBytes`, `undefined` while it is not. */
export type Pressure = { readonly fullSince: number | undefined }

export const relaxed: Pressure = { fullSince: undefined }

/** Looked at after each write and now and then: whether to write on, to hold back, or to cut the socket off. */
export const press = (
  allowance: Allowance,
  pressure: Pressure,
  unsent: number,
  now: number
): { readonly pressure: Pressure; readonly verdict: "open" | "full" | "cut" } => {
  if (unsent > allowance.unsentBytesMax) return { pressure, verdict: "cut" }
  if (pressure.fullSince === undefined) {
    return unsent > allowance.unsentBytes
      ? { pressure: { fullSince: now }, verdict: "full" }
      : { pressure, verdict: "open" }
  }
  // Once full, half of it must be gone, so that a socket does not flicker at the edge.
  if (unsent <= allowance.unsentBytes / 2) return { pressure: relaxed, verdict: "open" }
  return { pressure, verdict: now - pressure.fullSince >= allowance.unsentFor ? "cut" : "full" }
}
