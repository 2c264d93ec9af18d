/**
 * What travels over a Phoenix socket, as bytes and as values.
 *
 * `decode` is total: whatever a client sends it answers, and never throws. A frame that is no message at all is
 * `Malformed` (the socket closes with 1007), a binary frame of an unknown kind, or one that ends too early, is
 * `Unknown` (ignored, as Phoenix does). Whether a message makes sense is not asked here.
 *
 * The encoders write text by hand around JSON that is already there, so that a payload is encoded once however many
 * sockets get it, and so that a key such as `__proto__` is a name like any other.
 */

/** `1` sends objects, `2` lists; only `2` has binary frames. */
export type Version = 1 | 2

/** Made by the client, echoed, never read. */
export type Ref = string | number | null

/** A message from a client. `payload` is any JSON value, or bytes when it came in a binary frame. */
export interface ClientMessage {
  readonly joinRef: Ref
  readonly ref: Ref
  readonly topic: string
  readonly event: string
  readonly payload: unknown
  /** The event inside a broadcast whose payload is bytes (Supabase); elsewhere it stands in the payload. */
  readonly inner?: string
}

export type Decoded =
  | { readonly _tag: "Message"; readonly message: ClientMessage }
  | { readonly _tag: "Malformed"; readonly reason: string }
  | { readonly _tag: "Unknown" }

/** The version that a `vsn` parameter asks for; a missing one is 1.0.0. */
export const parseVersion = (vsn: string | null | undefined): Version | undefined =>
  vsn === undefined || vsn === null || vsn === "1.0.0" ? 1 : /^2\.\d+\.\d+$/.test(vsn) ? 2 : undefined

/** A text frame is a string, a binary frame its bytes. */
export const decode = (version: Version, frame: string | Uint8Array): Decoded => {
  if (typeof frame === "string") return decodeText(version, frame)
  // Some clients send JSON in binary frames. Version 1 has no other use for them; the kinds of version 2 are small.
  const isText = version === 1 || frame[0] === OPENING_LIST || frame[0] === OPENING_OBJECT
  if (!isText) return decodeBinary(frame)
  const text = readText(frame)
  return text === undefined ? malformed("invalid UTF-8") : decodeText(version, text)
}

/** `[` and `{` */
const OPENING_LIST = 0x5b
const OPENING_OBJECT = 0x7b

const UNKNOWN: Decoded = { _tag: "Unknown" }

const malformed = (reason: string): Decoded => ({ _tag: "Malformed", reason })

const decodeText = (version: Version, text: string): Decoded => {
  const json = parseJson(text)
  if (json === undefined) return malformed("no JSON")
  let fields: ReadonlyArray<unknown>
  if (version === 2) {
    if (!Array.isArray(json.value) || json.value.length !== 5) return malformed("no list of five")
    fields = json.value
  } else {
    if (!isRecord(json.value)) return malformed("no object")
    const { join_ref, ref, topic, event, payload } = json.value
    fields = [join_ref ?? null, ref ?? null, topic, event, payload]
  }
  const [joinRef, ref, topic, event, payload] = fields
  if (typeof topic !== "string") return malformed("topic is no string")
  if (typeof event !== "string") return malformed("event is no string")
  if (!isRef(joinRef) || !isRef(ref)) return malformed("a ref is neither string, number nor null")
  return { _tag: "Message", message: { joinRef, ref, topic, event, payload } }
}

/** The kinds of binary frames: the first byte. */
const kinds = { push: 0, reply: 1, broadcast: 2, userBroadcastPush: 3, userBroadcast: 4 } as const

/** How the payload of a Supabase broadcast is written. */
const encodings = { binary: 0, json: 1 } as const

const decodeBinary = (bytes: Uint8Array): Decoded => {
  switch (bytes[0]) {
    case kinds.push: {
      const fields = readFields(bytes, 1, 4, 5)
      if (fields === undefined) return UNKNOWN
      if (fields === "invalid") return malformed("invalid UTF-8")
      const [joinRef, ref, topic = "", event = ""] = fields.texts
      return {
        _tag: "Message",
        message: { joinRef: joinRef || null, ref: ref || null, topic, event, payload: fields.rest }
      }
    }
    case kinds.userBroadcastPush: {
      const fields = readFields(bytes, 1, 5, 7)
      if (fields === undefined) return UNKNOWN
      if (fields === "invalid") return malformed("invalid UTF-8")
      // The fifth field is metadata about storing the message: nothing is stored here.
      const [joinRef, ref, topic = "", inner = ""] = fields.texts
      const head = { joinRef: joinRef || null, ref: ref || null, topic, event: "broadcast" }
      if (bytes[6] === encodings.binary) return { _tag: "Message", message: { ...head, payload: fields.rest, inner } }
      if (bytes[6] !== encodings.json) return UNKNOWN
      const text = readText(fields.rest)
      if (text === undefined) return malformed("invalid UTF-8")
      const json = parseJson(text)
      if (json === undefined) return malformed("no JSON")
      return {
        _tag: "Message",
        message: { ...head, payload: { type: "broadcast", event: inner, payload: json.value } }
      }
    }
    default:
      return UNKNOWN
  }
}

/** Lengths stand from `lengthsAt` on, texts from `textsAt` on; what follows them is the payload. */
const readFields = (
  bytes: Uint8Array,
  lengthsAt: number,
  count: number,
  textsAt: number
): { readonly texts: ReadonlyArray<string>; readonly rest: Uint8Array } | "invalid" | undefined => {
  const texts: Array<string> = []
  let at = textsAt
  for (let i = 0; i < count; i++) {
    const end = at + (bytes[lengthsAt + i] ?? 0)
    if (end > bytes.length) return undefined
    const text = readText(bytes.subarray(at, end))
    if (text === undefined) return "invalid"
    texts.push(text)
    at = end
  }
  return { texts, rest: bytes.subarray(at) }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const readText = (bytes: Uint8Array): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const isRef = (value: unknown): value is Ref => value === null || typeof value === "string" || typeof value === "number"

/** Of what JSON can be, an object: no list, no null. */
export const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Whether lists and objects in JSON nest deeper than `max`. It looks no deeper, so that the deepest value costs little. */
export const isDeeper = (value: unknown, max: number): boolean => {
  if (typeof value !== "object" || value === null) return false
  if (max <= 0) return true
  if (Array.isArray(value)) return value.some((item) => isDeeper(item, max - 1))
  for (const name in value) if (isDeeper((value as Record<string, unknown>)[name], max - 1)) return true
  return false
}

/** A message to a client, its payload already written as JSON. */
export interface Text {
  readonly joinRef: Ref
  readonly ref: Ref
  readonly topic: string
  readonly event: string
  readonly payload: string
}

export const encodeText = (version: Version, text: Text): string => {
  const [before, after] = encodeAround(version, text)
  return before + text.payload + after
}

/** What stands before and after the payload. */
export const encodeAround = (
  version: Version,
  { joinRef, ref, topic, event }: Omit<Text, "payload">
): readonly [before: string, after: string] =>
  version === 2
    ? [`[${JSON.stringify(joinRef)},${JSON.stringify(ref)},${JSON.stringify(topic)},${JSON.stringify(event)},`, "]"]
    : [
        `{"topic":${JSON.stringify(topic)},"event":${JSON.stringify(event)},"payload":`,
        `,"ref":${JSON.stringify(ref)},"join_ref":${JSON.stringify(joinRef)}}`
      ]

/** Bytes for all members of a topic, or `undefined` when a name is over the 255 bytes that a binary frame can say. */
export const encodeBroadcast = (topic: string, event: string, payload: Uint8Array): Uint8Array | undefined =>
  writeFields([kinds.broadcast], [topic, event], [], payload)

/** The same as Supabase's client reads it: `event` is the one inside the broadcast. */
export const encodeUserBroadcast = (topic: string, event: string, payload: Uint8Array): Uint8Array | undefined =>
  writeFields([kinds.userBroadcast], [topic, event, ""], [encodings.binary], payload)

/** A reply whose response is bytes. */
export const encodeReply = (
  joinRef: Ref,
  ref: Ref,
  topic: string,
  status: string,
  payload: Uint8Array
): Uint8Array | undefined =>
  writeFields([kinds.reply], [String(joinRef ?? ""), String(ref ?? ""), topic, status], [], payload)

const encoder = new TextEncoder()

const writeFields = (
  before: ReadonlyArray<number>,
  texts: ReadonlyArray<string>,
  after: ReadonlyArray<number>,
  payload: Uint8Array
): Uint8Array | undefined => {
  const fields = texts.map((text) => encoder.encode(text))
  if (fields.some((field) => field.length > 255)) return undefined
  const head = [...before, ...fields.map((field) => field.length), ...after]
  const frame = new Uint8Array(fields.reduce((length, field) => length + field.length, head.length + payload.length))
  frame.set(head)
  let at = head.length
  for (const part of [...fields, payload]) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}
