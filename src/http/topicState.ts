/**
 * Who is on a topic, as event streams know it: the state at the last diff that was sent. Its event is made once for all
 * who need it, in blocks, as they are read: one who reads nothing keeps a block and not a state.
 */
import type { Connection, Diff, Snapshot } from "../PresenceChange.js"

/** Characters of JSON that are made at once. */
const BLOCK = 65_536

/** A connection and its JSON, which is made when it is first needed. */
interface Present {
  readonly connection: Connection
  json: string | undefined
}

export class TopicState {
  private readonly keys = new Map<string, Array<Present>>()
  private event: SnapshotEvent | undefined
  epoch: string
  version: number

  constructor(snapshot: Snapshot) {
    this.epoch = snapshot.epoch
    this.version = snapshot.version
    this.become(snapshot)
  }

  /** Goes on to a state that came without the steps to it. */
  become(snapshot: Snapshot): void {
    this.keys.clear()
    for (const connection of snapshot.connections) this.add(connection)
    this.moveTo(snapshot)
  }

  /** Goes on to the state after a diff. */
  apply(diff: Diff): void {
    for (const { key, ref } of diff.leaves) this.remove(key, ref)
    for (const { key, ref, previousRef, meta } of diff.updates) this.replace(previousRef, { key, ref, meta })
    for (const connection of diff.joins) this.add(connection)
    this.moveTo(diff)
  }

  /** The event that tells the state. The same one until it changes. */
  snapshot(topic: string): SnapshotEvent {
    if (this.event !== undefined) return this.event
    const members: Array<Present> = []
    for (const key of Array.from(this.keys.keys()).sort()) {
      for (const present of this.keys.get(key) ?? []) members.push(present)
    }
    const { epoch, version } = this
    const head = JSON.stringify({ _tag: "Snapshot", topic, epoch, version }).slice(0, -1)
    this.event = new SnapshotEvent(`id: ${epoch}.${version}\nevent: snapshot\ndata: ${head},"connections":[`, members)
    return this.event
  }

  private moveTo({ epoch, version }: { readonly epoch: string; readonly version: number }): void {
    this.epoch = epoch
    this.version = version
    this.event?.forget()
    this.event = undefined
  }

  private add(connection: Connection): void {
    const present = { connection, json: undefined }
    const known = this.keys.get(connection.key)
    if (known === undefined) this.keys.set(connection.key, [present])
    else known.push(present)
  }

  private replace(previousRef: string, connection: Connection): void {
    const known = this.keys.get(connection.key)
    const at = known?.findIndex((present) => present.connection.ref === previousRef) ?? -1
    if (known === undefined || at === -1) this.add(connection)
    else known[at] = { connection, json: undefined }
  }

  private remove(key: string, ref: string): void {
    const left = this.keys.get(key)?.filter(({ connection }) => connection.ref !== ref) ?? []
    if (left.length > 0) this.keys.set(key, left)
    else this.keys.delete(key)
  }
}

export interface Block {
  readonly bytes: Uint8Array
  /** Where the next one begins. */
  readonly next: number
}

/** A snapshot as an event, block by block. */
export class SnapshotEvent {
  private blocks: Map<number, Block> | undefined = new Map()

  constructor(
    private readonly head: string,
    private readonly members: ReadonlyArray<Present>
  ) {}

  /** The block that begins at a place, the first at 0. There is none after the last. */
  block(at: number): Block | undefined {
    if (at > this.members.length) return undefined
    const known = this.blocks?.get(at)
    if (known !== undefined) return known
    const block = this.make(at)
    this.blocks?.set(at, block)
    return block
  }

  /** There is a newer one: who still reads this has each block made, so that what is read late costs nothing meanwhile. */
  forget(): void {
    this.blocks = undefined
  }

  private make(at: number): Block {
    let text = at === 0 ? this.head : ""
    let next = at
    for (; next < this.members.length && text.length < BLOCK; next++) {
      const present = this.members[next] as Present
      present.json ??= JSON.stringify(present.connection)
      text += next === 0 ? present.json : `,${present.json}`
    }
    if (next < this.members.length) return { bytes: Buffer.from(text), next }
    return { bytes: Buffer.from(`${text}]}\n\n`), next: next + 1 }
  }
}
