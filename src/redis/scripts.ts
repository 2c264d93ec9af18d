/**
 * The scripts, as text beside this module, with their hashes.
 *
 * They are read once, when this module is loaded; each says in its header what it is given and what it answers.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"

/** A script and the name that Redis gives it. */
export interface Script {
  readonly name: string
  readonly text: string
  readonly hash: string
}

const load = (name: string): Script => {
  const text = readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), "utf8")
  return { name, text, hash: createHash("sha1").update(text).digest("hex") }
}

export const apply = load("apply")

export const beat = load("beat")

export const read = load("read")

export const get = load("get")
