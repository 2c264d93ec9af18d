/**
 * The token: asked for anew when it has ended or is about to, and when the server has refused it.
 *
 * While somebody is connected a JWT is renewed a little before its end, so that nobody has to leave for a moment. What
 * says no end is good for one connection. Whoever asks while an answer is on its way gets that one. A token function
 * that throws, answers something else or does not answer fails the attempt, which is made again.
 */
import { causeOf } from "./errors.js"

/** No token is as good as `undefined`: one is let in without, where the server lets in without. */
export type Token = string | undefined | null

/** A function is asked for a fresh one whenever the last one has ended. It may answer later. */
export type TokenSource = string | (() => Token | Promise<Token>)

/** Milliseconds that a token function has. */
const PATIENCE = 10_000

/** Milliseconds before its end at which a token is renewed. Those who hand them out renew theirs about as early. */
const EARLY = 10_000

/** Milliseconds before which nobody is asked again. */
const SOON = 500

/** Milliseconds that a timer can wait. */
const LONGEST = 2 ** 31 - 1

export class Tokens {
  private last: Promise<string | undefined> | undefined
  private asking = false
  /** Until when the last one may be used, in milliseconds since the epoch. */
  private until = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly source: TokenSource | undefined,
    /** There is a newer one, while the last one still holds. */
    private readonly onRenewed: (token: string) => void,
    private readonly onFailed: (reason: string) => void
  ) {}

  /** One that is good now. */
  current(): Promise<string | undefined> {
    return this.last !== undefined && (this.asking || Date.now() < this.until) ? this.last : this.renew()
  }

  /** It is no longer good. */
  forget(): void {
    this.until = 0
  }

  /** Nobody is connected, so nothing has to be renewed. */
  stop(): void {
    clearTimeout(this.timer)
  }

  private renew(): Promise<string | undefined> {
    this.asking = true
    const answer = this.ask().then(
      (token) => {
        this.asking = false
        this.keep(token)
        return token
      },
      (error) => {
        this.asking = false
        this.forget()
        this.onFailed(`there is no token: ${causeOf(error)}`)
        throw error
      }
    )
    this.last = answer
    return answer
  }

  private async ask(): Promise<string | undefined> {
    const { source } = this
    if (typeof source !== "function") return source
    let late: ReturnType<typeof setTimeout> | undefined
    const waiting = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error(`the token function gave none within ${PATIENCE / 1_000} s`)), PATIENCE)
    })
    const given = Promise.resolve().then(source)
    const token: unknown = await Promise.race([given, waiting]).finally(() => clearTimeout(late))
    if (typeof token === "string") return token === "" ? undefined : token
    if (token === undefined || token === null) return undefined
    throw new Error(`the token function gave a ${typeof token}, which is no string`)
  }

  private keep(token: string | undefined): void {
    this.stop()
    const now = Date.now()
    const left = endOf(token) - now
    // Who hands out the same one until the last moment is asked again in half of what is left.
    const wait = left > 2 * EARLY ? left - EARLY : left / 2
    this.until = now + (Number.isNaN(left) ? EARLY : wait)
    if (typeof this.source !== "function" || !(wait > SOON && wait < LONGEST)) return
    this.timer = setTimeout(() => {
      this.renew().then(
        (next) => next !== undefined && next !== token && this.onRenewed(next),
        () => this.keep(token)
      )
    }, wait)
  }
}

/** When a JWT ends, in milliseconds since the epoch. NaN for what says no end. */
const endOf = (token = ""): number => {
  try {
    const [, claims = ""] = token.split(".")
    return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).exp * 1_000
  } catch {
    return Number.NaN
  }
}
