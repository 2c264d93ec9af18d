/**
 * The scripts, with their hashes.
 *
 * Each has a module of its own, whose first lines say what it is given and what it answers. None is a file that is read: whoever
 * bundles a program takes along modules, and nothing that lies beside them.
 */
import { createHash } from "node:crypto"
import { APPLY } from "./scripts/apply.js"
import { BEAT } from "./scripts/beat.js"
import { COUNTS } from "./scripts/counts.js"
import { GET } from "./scripts/get.js"
import { HAVING } from "./scripts/having.js"
import { READ } from "./scripts/read.js"
import { WHERE } from "./scripts/where.js"

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

export const apply = make("apply", APPLY)

/** The same for calls in which nobody joins or updates: also taken when the memory is full, as who leaves makes room. */
export const applyLeaves = make("apply", APPLY.replace("#!lua", "#!lua flags=allow-oom"))

export const beat = make("beat", BEAT)

export const read = make("read", READ)

export const get = make("get", GET)

export const counts = make("counts", COUNTS)

export const having = make("having", HAVING)

export const where = make("where", WHERE)
