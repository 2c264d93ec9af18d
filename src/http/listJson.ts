/**
 * A list as JSON, in blocks: the metas of one topic may be many megabytes.
 */
import type { PresenceEntry } from "../PresenceEntry.js"

/** Characters of JSON that are made at once. */
const BLOCK = 65_536

export function* listJson(entries: ReadonlyArray<PresenceEntry>): Generator<Uint8Array, void> {
  let text = "["
  let isFirst = true
  for (const { key, metas } of entries) {
    text += `${isFirst ? "" : ","}{"key":${JSON.stringify(key)},"metas":[`
    isFirst = false
    for (let n = 0; n < metas.length; n++) {
      text += `${n === 0 ? "" : ","}${JSON.stringify(metas[n])}`
      if (text.length < BLOCK) continue
      yield Buffer.from(text)
      text = ""
    }
    text += "]}"
  }
  yield Buffer.from(`${text}]`)
}
