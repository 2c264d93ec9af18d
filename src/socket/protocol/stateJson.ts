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

/** Where a connection is. */
interface Place {
  readonly block: Block
  readonly metas: Array<Present>
  readonly at: number
  readonly old: Present
}

type Metas = Map<string, Array<string>>

/** Characters of metas from which on a block takes no more. */
const BLOCK = 32_768

/** How many times as many blocks as would do there may be. */
const SPARSE = 4

const OPEN = Buffer.from("{")
const CLOSE = Buffer.from("]}}")

/** What a key begins with: the end of the one before, of which the first has none. */
const NEXT = "]},"

/** Some metas one after the other, of keys in their order. */
class Block {
  readonly keys = new Map<string, Array<Present>>()
  /** Characters of its metas. */
  length = 0
  private text: string | undefined
  private bytes: Buffer | undefined

  constructor(
    /** Whether its first key has metas in the block before. */
    private goesOn = false
  ) {}

  changed(characters: number): void {
    this.length += characters
    this.text = undefined
    this.bytes = undefined
  }

  /** Whether the metas that it has of a key follow others of the block before. */
  goesOnWith(key: string): boolean {
    return this.goesOn && this.keys.keys().next().value === key
  }

  /** Its first key has no metas in the block before, if it ever had. */
  begin(): void {
    this.goesOn = false
    this.changed(0)
  }

  /** `]},"key":{"metas":[…]},"key":{"metas":[…`, or where it goes on `,…` */
  get json(): string {
    this.text ??= this.write()
    return this.text
  }

  get encoded(): Buffer {
    this.bytes ??= Buffer.from(this.write())
    return this.bytes
  }

  private write(): string {
    let text = ""
    let goesOn = this.goesOn
    for (const [key, present] of this.keys) {
      text += `${goesOn ? "," : `${NEXT}${JSON.stringify(key)}:{"metas":[`}${present.map(({ json }) => json).join(",")}`
      goesOn = false
    }
    return text
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
    if (this.blocks.length === 0) return "{}"
    if (this.length < BLOCK)
      return `{${this.blocks
        .map(({ json }) => json)
        .join("")
        .slice(NEXT.length)}]}}`
    const blocks = this.blocks.map(({ encoded }, index) => (index === 0 ? encoded.subarray(NEXT.length) : encoded))
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

  /** After the other metas of its key. */
  private append(key: string, present: Present): void {
    const block = this.blocks.findLast(({ keys }) => keys.has(key)) ?? this.roomy
    const metas = block.keys.get(key)
    if (metas === undefined) block.keys.set(key, [present])
    else metas.push(present)
    this.changed(block, present.json.length)
  }

  private replace(key: string, previousRef: string, present: Present): Present | undefined {
    const place = this.find(key, previousRef)
    if (place === undefined) {
      this.append(key, present)
      return undefined
    }
    const { block, metas, at, old } = place
    metas[at] = present
    this.changed(block, present.json.length - old.json.length)
    return old
  }

  private remove(key: string, ref: string): Present | undefined {
    const place = this.find(key, ref)
    if (place === undefined) return undefined
    const { block, metas, at, old } = place
    metas.splice(at, 1)
    if (metas.length === 0) this.removeLast(block, key)
    this.changed(block, -old.json.length)
    if (this.blocks.length > 4 + (SPARSE * this.length) / BLOCK) {
      // Of many blocks that others have left, few full ones.
      this.blocks = filled(this.blocks)
    }
    return old
  }

  /** A block has no more metas of a key. */
  private removeLast(block: Block, key: string): void {
    const index = this.blocks.indexOf(block)
    const next = this.blocks[index + 1]
    if (block.goesOnWith(key)) block.begin()
    else if (next?.goesOnWith(key) === true) next.begin()
    block.keys.delete(key)
    if (block.keys.size === 0) this.blocks.splice(index, 1)
  }

  private changed(block: Block, characters: number): void {
    block.changed(characters)
    this.length += characters
    // Metas of who is there may have grown.
    if (block.length > 2 * BLOCK) this.blocks.splice(this.blocks.indexOf(block), 1, ...filled([block]))
  }

  /** There are few blocks: to keep for each key where it is would cost every small topic. */
  private find(key: string, ref: string): Place | undefined {
    for (const block of this.blocks) {
      const metas = block.keys.get(key) ?? []
      const at = metas.findIndex((present) => present.ref === ref)
      const old = metas[at]
      if (old !== undefined) return { block, metas, at, old }
    }
    return undefined
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

/** Blocks of the metas of these, in their order. */
const filled = (blocks: ReadonlyArray<Block>): Array<Block> => {
  const made: Array<Block> = []
  let last: Block | undefined
  for (const block of blocks) {
    for (const [key, present] of block.keys) {
      let goesOn = block.goesOnWith(key)
      for (const one of present) {
        if (last === undefined || last.length >= BLOCK) {
          last = new Block(goesOn)
          made.push(last)
        }
        const metas = last.keys.get(key)
        if (metas === undefined) last.keys.set(key, [one])
        else metas.push(one)
        last.changed(one.json.length)
        goesOn = true
      }
    }
  }
  return made
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
