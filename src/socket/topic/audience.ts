/**
 * The sockets that have joined a topic, and what they are told. Whatever goes to all of them is encoded once for each
 * protocol version, and every socket is written the same bytes.
 *
 * One who joins is sent the state at the last diff that went out, then every diff after it: what still waits in the
 * window reaches them with the others. A socket that holds too much unsent gets nothing; once it has drained it is sent
 * the state again. To tell very many, or very much, takes turns of the event loop.
 */

import { MAX_DEPTH } from "../../internal/input/json.js"
import type { PresenceChange } from "../../PresenceChange.js"
import {
  encodeAround,
  encodeBroadcast,
  encodeText,
  encodeUserBroadcast,
  isDeeper,
  isRecord,
  type Ref,
  type Version
} from "../protocol/codec.js"
import { isReserved } from "../protocol/session.js"
import { StateJson } from "../protocol/stateJson.js"

/** Bytes of a frame, ready to be written to any number of sockets. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly binary: boolean
  /** What follows: bytes that others are sent too. */
  readonly rest?: ReadonlyArray<Uint8Array> | undefined
}

/** A channel of a socket. */
export interface Recipient {
  readonly version: Version
  readonly joinRef: Ref
  /** Whether it is told who is here, or only sent messages. */
  readonly watches: boolean
  /** Whether it can take more now. */
  readonly open: boolean
  /** Set when it missed something: it needs the state again. */
  stale: boolean
  readonly write: (frame: Frame) => void
}

/** What members send each other. */
export interface RelayedMessage {
  readonly event: string
  /** JSON, or bytes. */
  readonly payload: string | Uint8Array
  /** The event inside a broadcast whose payload is bytes. */
  readonly inner?: string | undefined
}

/** Milliseconds for which all are told something, before others have their turn. */
const TURN = 8

export class Audience<L extends Recipient = Recipient> {
  readonly recipients = new Set<L>()
  private stateJson: StateJson | undefined
  /** Who is still to be given what is being told, or passed on. */
  private rest = new Set<L>()
  private give: (recipient: L) => void = () => {}
  private isChange = false

  constructor(
    private readonly protocol: "phoenix" | "supabase",
    /** The topic as these clients say it. */
    private readonly wire: string
  ) {}

  /** Whether some are still to be told: call `goOn` in later turns, and tell or pass nothing new before. */
  get isTelling(): boolean {
    return this.rest.size > 0
  }

  add(recipient: L): void {
    this.recipients.add(recipient)
    this.greet(recipient)
  }

  /** Sends the state, as soon as there is one. */
  greet(recipient: L): void {
    if (this.stateJson === undefined || !recipient.watches) return
    // A change that is being told is in it.
    if (this.isChange) this.rest.delete(recipient)
    recipient.stale = !recipient.open
    if (recipient.open) {
      recipient.write(text(recipient.version, recipient.joinRef, this.wire, "presence_state", this.stateJson.state))
    }
  }

  /** Tells a change that follows the last one told. */
  tell(change: PresenceChange): void {
    if (this.stateJson === undefined) {
      if (change._tag === "Diff") return
      this.stateJson = new StateJson(change)
      this.isChange = true
      this.giveAll((recipient) => this.greet(recipient))
      return
    }
    const payload = change._tag === "Diff" ? this.stateJson.apply(change) : this.stateJson.become(change)
    if (payload === undefined) return
    const encode = each((version) => text(version, null, this.wire, "presence_diff", payload))
    this.isChange = true
    this.giveAll((recipient) => {
      if (!recipient.watches) return
      if (recipient.open && !recipient.stale) write(recipient, encode)
      else recipient.stale = true
    })
  }

  private giveAll(give: (recipient: L) => void): void {
    const until = performance.now() + TURN
    const recipients = this.recipients.values()
    for (const recipient of recipients) {
      give(recipient)
      if (performance.now() < until) continue
      this.rest = new Set(recipients)
      this.give = give
      return
    }
  }

  /** Tells some more of those who are still here. */
  goOn(): void {
    const until = performance.now() + TURN
    for (const recipient of this.rest) {
      this.rest.delete(recipient)
      if (this.recipients.has(recipient)) this.give(recipient)
      if (performance.now() >= until) return
    }
  }

  /** Passes a message on. One that a socket cannot take, for its version or because it is full, is lost to it. */
  pass(message: RelayedMessage, except: L | undefined): void {
    const encode = each((version) => this.encode(version, message))
    this.isChange = false
    this.giveAll((recipient) => {
      if (recipient !== except && recipient.open) write(recipient, encode)
    })
  }

  private encode(version: Version, { event, payload, inner }: RelayedMessage): Frame | undefined {
    if (typeof payload === "string") return text(version, null, this.wire, event, payload)
    if (version === 1) return undefined
    const bytes =
      this.protocol === "supabase"
        ? encodeUserBroadcast(this.wire, inner ?? event, payload)
        : encodeBroadcast(this.wire, event, payload)
    return bytes && { bytes, binary: true }
  }
}

const text = (
  version: Version,
  joinRef: Ref,
  topic: string,
  event: string,
  payload: string | ReadonlyArray<Uint8Array>
): Frame => {
  const said = { joinRef, ref: null, topic, event }
  if (typeof payload === "string") {
    return { bytes: Buffer.from(encodeText(version, { ...said, payload })), binary: false }
  }
  const [before, after] = encodeAround(version, said)
  return { bytes: Buffer.from(before), binary: false, rest: [...payload, Buffer.from(after)] }
}

/** Encodes when the first recipient of a version needs it. */
const each = (encode: (version: Version) => Frame | undefined): ((version: Version) => Frame | undefined) => {
  const frames: Array<Frame | undefined> = []
  return (version) => {
    if (!(version in frames)) frames[version] = encode(version)
    return frames[version]
  }
}

const write = (recipient: Recipient, encode: (version: Version) => Frame | undefined): void => {
  const frame = encode(recipient.version)
  if (frame !== undefined) recipient.write(frame)
}

/** A message as text for the other replicas and routes. It begins with who sends it, so that they know their own. */
export const pack = (origin: string, { event, payload, inner }: RelayedMessage): string =>
  typeof payload === "string"
    ? `${origin}{"event":${JSON.stringify(event)},"payload":${payload}}`
    : origin + JSON.stringify({ event, bytes: Buffer.from(payload).toString("base64"), inner })

/**
 * The message, unless it is one's own, none at all, or one that no client could have sent: whoever may only publish
 * speaks for the server no more than they do.
 */
export const unpack = (origin: string, packed: string): RelayedMessage | undefined => {
  if (packed.startsWith(origin)) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(packed.slice(origin.length))
  } catch {
    return undefined
  }
  if (!isRecord(parsed)) return undefined
  const { event, payload, bytes, inner } = parsed
  if (typeof event !== "string" || isReserved(event)) return undefined
  // What is nested too deep can be read but not written again.
  if (isDeeper(payload, MAX_DEPTH + 1)) return undefined
  if (isRecord(payload)) return { event, payload: JSON.stringify(payload) }
  if (typeof bytes !== "string") return undefined
  return { event, payload: Buffer.from(bytes, "base64"), inner: typeof inner === "string" ? inner : undefined }
}
