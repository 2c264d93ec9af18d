/** What may be large, read by pages. */
import type { Port } from "../client/port.js"
import { isForeign } from "./calls.js"
import { list } from "./decoding.js"
import { fieldOf, type Keys, ownerOf } from "./keys.js"
import * as scripts from "./scripts.js"

/**
 * Topics on which a key may be, by pages of the key index. As long as somebody keeps none, or another program has written
 * there: by pages of all topics.
 */
export async function* topicsWith(
  port: Port,
  keys: Keys,
  key: string,
  onForeign: () => void
): AsyncGenerator<ReadonlyArray<string>, void> {
  for (let last = ""; ; ) {
    const page = await topicPage(port, keys, key, last, onForeign)
    if (page === undefined) return yield* topics(port, keys)
    yield page
    if (page.length < PAGE) return
    last = page.at(-1) ?? ""
  }
}

/** `undefined` where the key index is not to be believed. */
const topicPage = async (
  port: Port,
  keys: Keys,
  key: string,
  last: string,
  onForeign: () => void
): Promise<ReadonlyArray<string> | undefined> => {
  try {
    const reply = await port.run(scripts.where, [keys.leases, keys.keyIndex], [key, last, PAGE])
    return Array.isArray(reply) ? list(reply).map(String) : undefined
  } catch (cause) {
    if (!isForeign(cause)) throw cause
    onForeign()
    return undefined
  }
}

/** All topics by pages. */
export async function* topics(port: Port, keys: Keys): AsyncGenerator<ReadonlyArray<string>, void> {
  for await (const page of pages(port, keys.versions)) yield fieldsOf(page).filter((topic) => topic !== "")
}

/**
 * The places of a replica's connections by pages: from its index, or from all topics where somebody has deleted that.
 */
export async function* placesOf(port: Port, keys: Keys, replica: string): AsyncGenerator<ReadonlyArray<string>, void> {
  let hasIndex = false
  for await (const page of pages(port, keys.index(replica))) {
    const fields = fieldsOf(page)
    hasIndex ||= fields.includes("")
    yield fields
  }
  // Whose index goes with its lease was ended by somebody else.
  if (hasIndex || (await port.command("ZSCORE", [keys.leases, replica])) === null) return
  for await (const some of topics(port, keys)) {
    for (const topic of some) {
      for await (const page of pages(port, keys.members(topic))) {
        const owners = fieldsOf(page).map(ownerOf)
        yield owners.filter((owner) => owner.replica === replica).map(({ seq }) => fieldOf(seq, topic))
      }
    }
  }
}

/** Replicas that have members and no lease. */
export const ownersWithoutLease = async (port: Port, keys: Keys): Promise<ReadonlySet<string>> => {
  const owners = new Set<string>()
  for await (const some of topics(port, keys)) {
    for (const topic of some) {
      for await (const page of pages(port, keys.members(topic))) {
        for (const connection of fieldsOf(page)) owners.add(ownerOf(connection).replica)
      }
    }
  }
  for (const replica of list(await port.command("ZRANGE", [keys.leases, 0, -1]))) owners.delete(String(replica))
  return owners
}

/** A hash by pages of its fields and values by turns. A page may be empty, and what changes meanwhile on two or none. */
export async function* pages(port: Port, key: string): AsyncGenerator<ReadonlyArray<string>, void> {
  for (let cursor = "0"; ; ) {
    const reply = list(await port.command("HSCAN", [key, cursor, "COUNT", PAGE]))
    yield list(reply[1]).map(String)
    cursor = String(reply[0])
    if (cursor === "0") return
  }
}

/** Fields that a page has, about. */
const PAGE = 500

/** The fields of a page. */
const fieldsOf = (page: ReadonlyArray<string>): ReadonlyArray<string> => page.filter((_, index) => index % 2 === 0)
