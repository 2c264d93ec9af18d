/**
 * The sockets that have joined a topic, and what they are told. Whatever goes to all of them is encoded once for each
 * protocol version, and every socket is written the same bytes.
 *
 * One who joins is sent the state at the last diff that went out, then every diff after it: what still waits in the
 * window reaches them with the others. A socket that holds too much unsent gets nothing; once it has drained it is sent
 * the state again.
 */
import type { PresenceChange } from "../../PresenceChange.js"
import {
  encodeBroadcast,
  encodeText,
  encodeUserBroadcast,
  isRecord,
  type Ref,
  type Version
} from "../protocol/codec.js"
import { Roll } from "../protocol/stateJson.js"

/** Bytes of a frame, ready to be written to any number of sockets. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly binary: boolean
}

/** A channel of a socket. */
export interface Listener {
  readonly version: Version
  readonly joinRef: Ref
  /** Whether it can take more now. */
  readonly open: boolean
  /** Set when it missed something: it needs the state again. */
  stale: boolean
  readonly write: (frame: Frame) => void
}

/** What members send each other. */
export interface Message {
  readonly event: string
  /** JSON, or bytes. */
  readonly payload: string | Uint8Array
  /** The event inside a broadcast whose payload is bytes. */
  readonly inner?: string | undefined
}

export class Audience<L extends Listener = Listener> {
  readonly listeners = new Set<L>()
  private roll: Roll | undefined

  constructor(
    private readonly protocol: "phoenix" | "supabase",
    /** The topic as these clients say it. */
    private readonly wire: string
  ) {}

  add(listener: L): void {
    this.listeners.add(listener)
    this.greet(listener)
  }

  /** Sends the state, as soon as there is one. */
  greet(listener: L): void {
    if (this.roll === undefined) return
    listener.stale = !listener.open
    if (listener.open) {
      listener.write(text(listener.version, listener.joinRef, this.wire, "presence_state", this.roll.state))
    }
  }

  /** Tells a change that follows the last one told. */
  tell(change: PresenceChange): void {
    if (this.roll === undefined) {
      if (change._tag === "Diff") return
      this.roll = new Roll(change)
      for (const listener of this.listeners) this.greet(listener)
      return
    }
    const payload = change._tag === "Diff" ? this.roll.apply(change) : this.roll.become(change)
    if (payload === undefined) return
    const encode = each((version) => text(version, null, this.wire, "presence_diff", payload))
    for (const listener of this.listeners) {
      if (listener.open && !listener.stale) write(listener, encode)
      else listener.stale = true
    }
  }

  /** Passes a message on. One that a socket cannot take, for its version or because it is full, is lost to it. */
  pass(message: Message, except: L | undefined): void {
    const encode = each((version) => this.encode(version, message))
    for (const listener of this.listeners) if (listener !== except && listener.open) write(listener, encode)
  }

  private encode(version: Version, { event, payload, inner }: Message): Frame | undefined {
    if (typeof payload === "string") return text(version, null, this.wire, event, payload)
    if (version === 1) return undefined
    const bytes =
      this.protocol === "supabase"
        ? encodeUserBroadcast(this.wire, inner ?? event, payload)
        : encodeBroadcast(this.wire, event, payload)
    return bytes && { bytes, binary: true }
  }
}

const text = (version: Version, joinRef: Ref, topic: string, event: string, payload: string): Frame => ({
  bytes: Buffer.from(encodeText(version, { joinRef, ref: null, topic, event, payload })),
  binary: false
})

/** Encodes when the first listener of a version needs it. */
const each = (encode: (version: Version) => Frame | undefined): ((version: Version) => Frame | undefined) => {
  const frames: Array<Frame | undefined> = []
  return (version) => {
    if (!(version in frames)) frames[version] = encode(version)
    return frames[version]
  }
}

const write = (listener: Listener, encode: (version: Version) => Frame | undefined): void => {
  const frame = encode(listener.version)
  if (frame !== undefined) listener.write(frame)
}

/** A message as text for the other replicas and routes. It begins with who sends it, so that they know their own. */
export const pack = (origin: string, { event, payload, inner }: Message): string =>
  typeof payload === "string"
    ? `${origin}{"event":${JSON.stringify(event)},"payload":${payload}}`
    : origin + JSON.stringify({ event, bytes: Buffer.from(payload).toString("base64"), inner })

/** The message, unless it is one's own or none at all. */
export const unpack = (origin: string, packed: string): Message | undefined => {
  if (packed.startsWith(origin)) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(packed.slice(origin.length))
  } catch {
    return undefined
  }
  if (!isRecord(parsed)) return undefined
  const { event, payload, bytes, inner } = parsed
  if (typeof event !== "string") return undefined
  if (isRecord(payload)) return { event, payload: JSON.stringify(payload) }
  if (typeof bytes !== "string") return undefined
  return { event, payload: Buffer.from(bytes, "base64"), inner: typeof inner === "string" ? inner : undefined }
}
