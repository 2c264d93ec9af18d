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

const make = (name: string, text: string): Script => ({
  name,
  text,
  hash: createHash("sha1").update(text).digest("hex")
})

const load = (name: string): Script =>
  make(name, readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), "utf8"))

export const apply = load("apply")

/** The same for calls in which nobody joins or updates: also taken when the memory is full, as who leaves makes room. */
export const applyLeaves = make(apply.name, apply.text.replace("#!lua", "#!lua flags=allow-oom"))

export const beat = load("beat")

export const read = load("read")

export const get = load("get")

export const counts = load("counts")

export const having = load("having")

export const where = load("where")
