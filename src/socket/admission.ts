/**
 * Who asks for a socket, over whatever carries one: whether they may have it, and what they are told if not. Whoever
 * `authorize` refuses gets one all the same, to learn why, as long as not too many have.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Exit, Option } from "effect"
import type { Unauthorized } from "../PresenceError.js"
import type { Authorize } from "../web/Authorize.js"
import { networkOf } from "../web/addresses.js"
import * as AtOnce from "../web/atOnce.js"
import * as origins from "../web/origins.js"
import { Turns } from "../web/turns.js"
import type { OpenSockets } from "./connection/openSockets.js"
import { parseVersion, type Version } from "./protocol/codec.js"

/** Sockets of a route that are there to say why. */
const REFUSED_MOST = 1_000

type Request = HttpServerRequest.HttpServerRequest

/** Who may have a socket; with a refusal they are only to learn why they have none. */
export interface Caller {
  readonly request: Request
  readonly address: string
  readonly version: Version
  readonly refusal: Unauthorized | undefined
}

export interface AdmissionOptions<R> {
  readonly isAllowed: origins.IsAllowed
  readonly authorize: Authorize<R>
  readonly sockets: OpenSockets
  readonly limits: { readonly sockets: number; readonly socketsPerAddress: number }
}

export class Admission<R> {
  /** How many sockets are there to say why. */
  refused = 0

  private readonly turns = new Turns(16)

  constructor(private readonly options: AdmissionOptions<R>) {}

  /** Lets them begin one, or denies it. */
  answer<A, R2 = never>(
    request: Request,
    deny: (status: number, error: string) => A,
    begin: (caller: Caller) => AtOnce.AtOnce<A, R2>
  ): AtOnce.AtOnce<A, R | R2> {
    const { isAllowed, authorize, sockets, limits } = this.options
    const payload = query(request.url)
    const version = parseVersion(payload.vsn)
    if (sockets.stopping) return deny(503, "the server is stopping")
    if (!isAllowed(request)) return deny(403, origins.whyNot(request))
    if (version === undefined) return deny(403, "vsn must be 1.0.0 or 2.x")
    const go = (refusal: Unauthorized | undefined): AtOnce.AtOnce<A, R2> => {
      const address = addressOf(request)
      // Asked again: authorize may have taken its time.
      if (sockets.stopping) return deny(503, "the server is stopping")
      if (sockets.size >= limits.sockets) return deny(503, `${limits.sockets} sockets are here, no more are let in`)
      if (sockets.from(address) >= limits.socketsPerAddress) {
        return deny(429, `${limits.socketsPerAddress} sockets are here from one address`)
      }
      if (refusal !== undefined && this.refused >= REFUSED_MOST) return deny(refusal.status, refusal.reason)
      return begin({ request, address, version, refusal })
    }
    const asked = authorize({ route: "socket", on: "connect", request, topic: undefined, payload })
    // What a crowd has to wait for may come for all of them in one moment.
    const inTurn = Exit.isExit(asked) ? asked : Effect.onExit(asked, () => this.turns.turn)
    return AtOnce.match(inTurn, () => go(undefined), go)
  }
}

/** One of a client whose address is not known is that of all such. */
const addressOf = ({ remoteAddress }: Request): string => networkOf(Option.getOrElse(remoteAddress, () => ""))

/** The parameters of the URL. Of two with one name the last counts. */
export const query = (url: string): { readonly [name: string]: string } => {
  const start = url.indexOf("?")
  return start === -1 ? {} : Object.fromEntries(new URLSearchParams(url.slice(start + 1)))
}
