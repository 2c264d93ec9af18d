/**
 * Who is on a topic, as the clients of a socket know it: the state at the last diff that was sent, kept as the JSON
 * that they are sent. Each meta is written once, when its connection comes, and cut into state and diffs from then on.
 *
 * A large state is kept in blocks of bytes, which all who join are sent, and of which a change makes one anew.
 *
 * The JSON of maps is put together by hand: keys are names like any other, `__proto__` too, and stay in their order.
 */
import type { Json } from "../../Json.js"
import type { Connection, Diff, Snapshot } from "../../PresenceChange.js"
import { isRecord } from "./codec.js"

interface Present {
  readonly ref: string
  readonly json: string
}

type Metas = Map<string, Array<string>>

/** Characters of metas from which on a block takes no more keys. */
const BLOCK = 32_768

/** How many times as many blocks as would do there may be. */
const SPARSE = 4

const OPEN = Buffer.from("{")
const CLOSE = Buffer.from("}")

/** Some keys one after the other. */
class Block {
  readonly keys = new Map<string, Array<Present>>()
  /** Characters of its metas. */
  length = 0
  private text: string | undefined
  private bytes: Buffer | undefined

  changed(characters: number): void {
    this.length += characters
    this.text = undefined
    this.bytes = undefined
  }

  /** `"key":{"metas":[…]},…` */
  get json(): string {
    this.text ??= this.write()
    return this.text
  }

  /** The same after a comma. */
  get encoded(): Buffer {
    this.bytes ??= Buffer.from(`,${this.write()}`)
    return this.bytes
  }

  private write(): string {
    const metas: Metas = new Map()
    for (const [key, present] of this.keys) {
      metas.set(
        key,
        present.map(({ json }) => json)
      )
    }
    return write(metas)
  }
}

export class StateJson {
  private blocks: Array<Block> = []
  private length = 0

  constructor(snapshot: Snapshot) {
    for (const connection of snapshot.connections) this.add(connection)
  }

  /** The payload of `presence_state`: as text, or of a large one the bytes of its parts. */
  get state(): string | ReadonlyArray<Uint8Array> {
    if (this.length < BLOCK) return `{${this.blocks.map(({ json }) => json).join(",")}}`
    const blocks = this.blocks.map(({ encoded }, index) => (index === 0 ? encoded.subarray(1) : encoded))
    return [OPEN, ...blocks, CLOSE]
  }

  /** Goes on to the state after a diff. The payload of `presence_diff`. */
  apply({ joins, leaves, updates }: Diff): string {
    const joined: Metas = new Map()
    const left: Metas = new Map()
    for (const leave of leaves) {
      push(left, leave.key, this.remove(leave.key, leave.ref)?.json ?? encodeMeta(leave.meta, leave.ref))
    }
    for (const { key, ref, previousRef, meta } of updates) {
      const json = encodeMeta(meta, ref)
      const old = this.replace(key, previousRef, { ref, json })
      if (old !== undefined) push(left, key, old.json)
      push(joined, key, `${json.slice(0, -1)},"phx_ref_prev":${JSON.stringify(previousRef)}}`)
    }
    for (const join of joins) push(joined, join.key, this.add(join).json)
    return this.diff(joined, left)
  }

  /** Goes on to a state that came without the steps to it. The payload of `presence_diff`, if anything differs. */
  become({ connections }: Snapshot): string | undefined {
    const joined: Metas = new Map()
    const left: Metas = new Map()
    const refs = new Set<string>()
    for (const { ref } of connections) refs.add(ref)
    for (const [key, present] of this.blocks.flatMap(({ keys }) => Array.from(keys))) {
      for (const { ref, json } of Array.from(present)) {
        if (refs.delete(ref)) continue
        this.remove(key, ref)
        push(left, key, json)
      }
    }
    for (const connection of connections) {
      if (refs.has(connection.ref)) push(joined, connection.key, this.add(connection).json)
    }
    return joined.size > 0 || left.size > 0 ? this.diff(joined, left) : undefined
  }

  private diff(joined: Metas, left: Metas): string {
    return `{"joins":{${write(joined)}},"leaves":{${write(left)}}}`
  }

  private add({ key, ref, meta }: Connection): Present {
    const present = { ref, json: encodeMeta(meta, ref) }
    this.append(key, present)
    return present
  }

  private append(key: string, present: Present): void {
    const block = this.blockOf(key) ?? this.roomy
    const metas = block.keys.get(key)
    if (metas === undefined) block.keys.set(key, [present])
    else metas.push(present)
    this.changed(block, present.json.length)
  }

  private replace(key: string, previousRef: string, present: Present): Present | undefined {
    const block = this.blockOf(key)
    const metas = block?.keys.get(key) ?? []
    const at = metas.findIndex(({ ref }) => ref === previousRef)
    const old = metas[at]
    if (block === undefined || old === undefined) this.append(key, present)
    else {
      metas[at] = present
      this.changed(block, present.json.length - old.json.length)
    }
    return old
  }

  private remove(key: string, ref: string): Present | undefined {
    const block = this.blockOf(key)
    const metas = block?.keys.get(key) ?? []
    const at = metas.findIndex((present) => present.ref === ref)
    const [old] = at === -1 ? [] : metas.splice(at, 1)
    if (block === undefined || old === undefined) return undefined
    if (metas.length === 0) block.keys.delete(key)
    this.changed(block, -old.json.length)
    if (block.keys.size === 0) this.blocks.splice(this.blocks.indexOf(block), 1)
    else if (this.blocks.length > 4 + (SPARSE * this.length) / BLOCK) {
      // Of many blocks that others have left, few full ones.
      this.blocks = filled(this.blocks.flatMap(({ keys }) => Array.from(keys)))
    }
    return old
  }

  private changed(block: Block, characters: number): void {
    block.changed(characters)
    this.length += characters
    // Metas of who is there may have grown.
    if (block.length > 2 * BLOCK && block.keys.size > 1) {
      this.blocks.splice(this.blocks.indexOf(block), 1, ...filled(block.keys))
    }
  }

  /** There are few: to keep for each key where it is would cost every small topic. */
  private blockOf(key: string): Block | undefined {
    return this.blocks.find(({ keys }) => keys.has(key))
  }

  /** The last one, as long as it takes more. */
  private get roomy(): Block {
    const last = this.blocks.at(-1)
    if (last !== undefined && last.length < BLOCK) return last
    const block = new Block()
    this.blocks.push(block)
    return block
  }
}

/** Blocks of these keys, in their order. */
const filled = (keys: Iterable<readonly [string, Array<Present>]>): Array<Block> => {
  const blocks: Array<Block> = []
  let block: Block | undefined
  for (const [key, present] of keys) {
    if (block === undefined || block.length >= BLOCK) {
      block = new Block()
      blocks.push(block)
    }
    block.keys.set(key, present)
    for (const { json } of present) block.changed(json.length)
  }
  return blocks
}

/** Metas are objects on the wire, and the ref that stands in them is the connection's own. */
const encodeMeta = (meta: Json, ref: string): string => {
  const { phx_ref: _, phx_ref_prev: __, ...rest } = isRecord(meta) ? meta : { value: meta }
  const text = JSON.stringify(rest)
  return `${text.slice(0, -1)}${text === "{}" ? "" : ","}"phx_ref":${JSON.stringify(ref)}}`
}

const push = (metas: Metas, key: string, json: string): void => {
  const known = metas.get(key)
  if (known === undefined) metas.set(key, [json])
  else known.push(json)
}

/** `"key":{"metas":[…]},…` */
const write = (metas: Metas): string => {
  let text = ""
  for (const [key, list] of metas) {
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:{"metas":[${list.join(",")}]}`
  }
  return text
}
