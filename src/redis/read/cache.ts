/**
 * Reads of topics that nobody follows here.
 *
 * A small topic is one call; a large one is followed for the read, by pages, and for a while after it, as who lists
 * it once will list it again. Of small topics the last are remembered, so that a list is the same array until the
 * topic changes.
 */
import { weigh } from "../../internal/input/json.js"
import { Roster, type RosterMember } from "../../internal/state/roster.js"
import type { Port } from "../client/port.js"
import * as calls from "../protocol/calls.js"
import { type Keys, ownerOf } from "../protocol/keys.js"
import { topics } from "../protocol/pages.js"
import { byAge, type Standing, type StoredMember } from "../protocol/values.js"
import { CopyMember } from "./topicCopy.js"

/** What all that is remembered may weigh, in bytes, nearly. */
const BUDGET = 16 * 1_024 * 1_024

/** What a member takes beside its meta, and its topic beside its members, in bytes: measured, and rounded up. */
const MEMBER = 400
const TOPIC = 1_000

export interface Read {
  readonly standing: Standing
  readonly roster: Roster<CopyMember>
}

interface Remembered extends Read {
  readonly bytes: number
}

export class ReadCache {
  /** The last used is the last. */
  private readonly recent = new Map<string, Remembered>()
  private bytes = 0

  constructor(
    private readonly port: Port,
    private readonly budget = BUDGET
  ) {}

  /** A topic as it stands; `undefined` when it is too large for this. */
  async read(keys: Keys, topic: string, limit: number): Promise<Read | undefined> {
    const { standing, members: all, doubted } = await calls.read(this.port, keys, topic, limit)
    if (all === undefined) return undefined
    const members = doubted.size === 0 ? all : all.filter(({ connection }) => !doubted.has(ownerOf(connection).replica))
    const isWhole = members.length === all.length
    const known = this.recent.get(topic)
    if (known !== undefined) {
      this.forget(topic, known)
      if (isWhole && standing !== undefined && isSame(known.standing, standing)) return this.remember(topic, known)
    }
    const read = { standing: standing ?? { epoch: "", version: 0, tag: "" }, roster: rosterOf(topic, members) }
    if (members.length === 0 || !isWhole) return read
    return this.remember(topic, {
      ...read,
      bytes: members.reduce((sum, { meta }) => sum + MEMBER + weigh(meta), TOPIC)
    })
  }

  /** The connections of a key, oldest first. */
  async get(keys: Keys, topic: string, key: string): Promise<ReadonlyArray<RosterMember>> {
    return (await calls.get(this.port, keys, topic, key)).map((stored) => new CopyMember(stored, 0))
  }

  /** The topics of a partition, a page after the other. */
  async topics(keys: Keys): Promise<ReadonlySet<string>> {
    const found = new Set<string>()
    for await (const page of topics(this.port, keys)) for (const topic of page) found.add(topic)
    return found
  }

  private remember(topic: string, read: Remembered): Read {
    this.recent.set(topic, read)
    this.bytes += read.bytes
    for (const [other, oldest] of this.recent) {
      if (this.bytes <= this.budget) break
      this.forget(other, oldest)
    }
    return read
  }

  private forget(topic: string, { bytes }: Remembered): void {
    this.recent.delete(topic)
    this.bytes -= bytes
  }
}

const isSame = (a: Standing, b: Standing): boolean => a.epoch === b.epoch && a.version === b.version && a.tag === b.tag

const rosterOf = (topic: string, members: ReadonlyArray<StoredMember>): Roster<CopyMember> => {
  const roster = new Roster<CopyMember>(topic, "")
  for (const stored of Array.from(members).sort(byAge)) roster.add(new CopyMember(stored, 0))
  return roster
}
