/**
 * The token: asked for anew when it has ended or is about to, and when the server has refused it.
 *
 * While somebody is connected a JWT is renewed a little before its end, and who is joined is told of each newer one, so
 * that nobody has to leave for a moment. What says no end is asked for with each connection. Whoever asks while an
 * answer is on its way gets that one. A token function that throws, answers something else or does not answer fails the
 * attempt, which is made again.
 */
import { causeOf } from "./errors.js"

/**
 * No token is as good as `undefined`: one is let in without, where the server lets in without.
 *
 * @since 0.2.0
 * @category models
 */
export type Token = string | undefined | null

/**
 * A function is asked for a fresh one whenever the last one has ended. It may answer later.
 *
 * @since 0.2.0
 * @category models
 */
export type TokenSource = string | (() => Token | Promise<Token>)

/** Milliseconds that a token function has. */
const PATIENCE = 10_000

/** Milliseconds before its end at which a token is renewed. Those who hand them out renew theirs about as early. */
const EARLY = 10_000

/** Milliseconds before which nobody is asked again. */
const SOON = 500

/** Milliseconds that a timer can wait. */
const LONGEST = 2 ** 31 - 1

/** One answer of the source, on its way or here. */
interface Asked {
  answer: Promise<string | undefined>
  /** Whether it is good for whoever asks now, who connects or only joins. */
  isGood: (connects: boolean) => boolean
}

export class Tokens {
  private asked: Asked | undefined
  /** The newest that came, and the date at which it ends by the clock here, in milliseconds since the epoch. */
  private last: string | undefined
  private end = Number.NaN
  private timer: ReturnType<typeof setTimeout> | undefined
  private inUse = false

  constructor(
    private readonly source: TokenSource | undefined,
    /** There is a newer one. */
    private readonly onRenewed: (token: string) => void,
    private readonly onFailed: (reason: string) => void
  ) {}

  /** One that is good now. From here on it is kept so. */
  current(connects = false): Promise<string | undefined> {
    if (this.asked === undefined || !this.asked.isGood(connects)) return this.renew()
    if (!this.inUse) {
      this.inUse = true
      this.keep()
    }
    return this.asked.answer
  }

  /** It is no longer good, nor is what is on its way. */
  forget(): void {
    this.asked = undefined
  }

  /** Nobody is connected, so nothing has to be renewed. */
  stop(): void {
    this.inUse = false
    clearTimeout(this.timer)
  }

  private renew(): Promise<string | undefined> {
    const asked: Asked = { answer: this.ask(), isGood: () => true }
    this.asked = asked
    this.inUse = true
    asked.answer.then(
      (token) => {
        if (this.asked !== asked) return
        const before = this.last
        this.last = token
        if (token !== before) this.end = endOf(token)
        const until = Date.now() + early(this.end)
        asked.isGood = Number.isNaN(until) ? (connects) => !connects : () => Date.now() < until
        this.keep()
        if (token !== undefined && token !== before) this.onRenewed(token)
      },
      (error) => {
        if (this.asked !== asked) return
        this.asked = undefined
        this.keep()
        this.onFailed(`there is no token: ${causeOf(error)}`)
      }
    )
    return asked.answer
  }

  private async ask(): Promise<string | undefined> {
    const { source } = this
    if (typeof source !== "function") return source === "" ? undefined : source
    let late: ReturnType<typeof setTimeout> | undefined
    const waiting = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error(`the token function gave none within ${PATIENCE / 1_000} s`)), PATIENCE)
    })
    const given = Promise.resolve().then(source)
    const token: unknown = await Promise.race([given, waiting]).finally(() => clearTimeout(late))
    if (typeof token === "string") return token === "" ? undefined : token
    if (token === undefined || token === null) return undefined
    throw new Error(`the token function gave no string: its type is ${typeof token}`)
  }

  /** Renews the newest in time, if somebody uses it. */
  private keep(): void {
    clearTimeout(this.timer)
    const wait = early(this.end)
    if (!this.inUse || typeof this.source !== "function" || !(wait > SOON && wait < LONGEST)) return
    this.timer = setTimeout(() => this.renew(), wait)
  }
}

/**
 * The date at which a token ends, by the clock here. NaN for what says no end. Of a clock that is off, more than its whole life is left
 * of a token that comes, or nothing: it is taken for one that was made now.
 */
const endOf = (token = ""): number => {
  try {
    const [, claims = ""] = token.split(".")
    const { exp, iat } = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")))
    const left = exp * 1_000 - Date.now()
    const life = (exp - iat) * 1_000
    return Date.now() + (left < 0 || left > life ? life || left : left)
  } catch {
    return Number.NaN
  }
}

/**
 * Milliseconds until a token is renewed that ends then. Who hands out the same one until the last moment is asked again in half of
 * what is left.
 */
const early = (end: number): number => {
  const left = end - Date.now()
  return left > 2 * EARLY ? left - EARLY : left / 2
}
