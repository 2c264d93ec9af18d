/**
 * Who is on a topic, as the clients of a socket know it: the state at the last diff that was sent, kept as the JSON
 * that they are sent. Each meta is written once, when its connection comes, and cut into state and diffs from then on.
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

export class StateJson {
  private readonly keys = new Map<string, Array<Present>>()
  private text: string | undefined

  constructor(snapshot: Snapshot) {
    for (const connection of snapshot.connections) this.add(connection)
  }

  /** The payload of `presence_state`. */
  get state(): string {
    if (this.text !== undefined) return this.text
    const metas: Metas = new Map()
    for (const [key, present] of this.keys) {
      metas.set(
        key,
        present.map(({ json }) => json)
      )
    }
    this.text = write(metas)
    return this.text
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
    for (const [key, present] of Array.from(this.keys)) {
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
    this.text = undefined
    return `{"joins":${write(joined)},"leaves":${write(left)}}`
  }

  private add({ key, ref, meta }: Connection): Present {
    const present = { ref, json: encodeMeta(meta, ref) }
    const metas = this.keys.get(key)
    if (metas === undefined) this.keys.set(key, [present])
    else metas.push(present)
    return present
  }

  private replace(key: string, previousRef: string, present: Present): Present | undefined {
    const metas = this.keys.get(key) ?? []
    const at = metas.findIndex(({ ref }) => ref === previousRef)
    const old = metas[at]
    if (old === undefined) {
      this.keys.set(key, [...metas, present])
    } else {
      metas[at] = present
    }
    return old
  }

  private remove(key: string, ref: string): Present | undefined {
    const metas = this.keys.get(key)
    if (metas === undefined) return undefined
    const at = metas.findIndex((present) => present.ref === ref)
    if (at === -1) return undefined
    if (metas.length === 1) this.keys.delete(key)
    return metas.splice(at, 1)[0]
  }
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

const write = (metas: Metas): string => {
  let text = ""
  for (const [key, list] of metas) {
    text += `${text === "" ? "" : ","}${JSON.stringify(key)}:{"metas":[${list.join(",")}]}`
  }
  return `{${text}}`
}
