/**
 * Who is on a topic, as its followers are told: the state after any number of changes, as a value.
 *
 * A `Snapshot` begins it, each `Diff` goes on from it. What a change leaves as it was is shared with the state before,
 * so whoever shows entries compares them by `===`. Nothing here needs Effect, Node or a clock: it serves a browser too,
 * which is told the same changes by server-sent events.
 *
 * @since 0.2.0
 */
import type { Json } from "./Json.js"
import type { Connection, Leave, PresenceChange, Update } from "./PresenceChange.js"
import type { PresenceEntry } from "./PresenceEntry.js"

/**
 * A topic at a version. `apply` gives the next state and leaves this one as it is.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Presence, PresenceState } from "effect-presence"
 *
 * const show = Effect.gen(function*() {
 *   const presence = yield* Presence
 *   yield* presence.changes("room:1").pipe(
 *     Stream.scan(PresenceState.empty(), (state, change) => state.apply(change)),
 *     Stream.runForEach(({ count, entries }) => Effect.log(`${count.keys} here`, entries))
 *   )
 * })
 * ```
 *
 * In a browser, of the event stream that `PresenceHttp` serves:
 *
 * ```ts
 * import { type PresenceChange, PresenceState } from "effect-presence/state"
 *
 * interface Message {
 *   readonly data: string
 * }
 * declare const source: { addEventListener(type: string, listener: (message: Message) => void): void } // an EventSource
 *
 * let state = PresenceState.empty()
 * const onChange = ({ data }: Message): void => {
 *   state = state.apply(JSON.parse(data) as PresenceChange)
 * }
 * source.addEventListener("snapshot", onChange)
 * source.addEventListener("diff", onChange)
 * ```
 *
 * A state also says where to go on from: `presence.changes(topic, { since: state })`.
 *
 * @since 0.2.0
 * @category models
 */
export class PresenceState<A = Json> {
  private constructor(
    /** `undefined` before the first snapshot. */
    readonly topic: string | undefined,
    /** Names the history that versions count in; empty before the first snapshot. */
    readonly epoch: string,
    readonly version: number,
    /** Sorted by key, metas oldest first, frozen. The same array, and in it the same entries, until they change. */
    readonly entries: ReadonlyArray<PresenceEntry<A>>,
    /** How many keys there are, and how many connections these have. */
    readonly count: { readonly keys: number; readonly connections: number }
  ) {}

  /** Nobody, on no topic yet: only a `Snapshot` can follow. */
  static empty<A = Json>(): PresenceState<A> {
    return new PresenceState<A>(undefined, "", 0, NOBODY, { keys: 0, connections: 0 })
  }

  /**
   * The state after a change. Throws a {@link ChangeGap} when the change does not go on from here, because something
   * was missed or came twice: then a `Snapshot` is needed. What is no change, as JSON that was not parsed, is a `TypeError`.
   */
  apply(change: PresenceChange<A>): PresenceState<A> {
    checkChange(change)
    const { topic, epoch, version } = change
    const draft = new Draft(this, change)
    if (change._tag === "Snapshot") {
      for (const connection of change.connections) draft.join(connection)
    } else {
      if (topic !== this.topic) throw draft.gap(`this is the state of ${show(this.topic)}`)
      if (change.from !== this.version) throw draft.gap(`it goes on from version ${change.from}`)
      // In this order whatever one diff says of one connection goes on from itself.
      for (const connection of change.joins) draft.join(connection)
      for (const connection of change.updates) draft.update(connection)
      for (const connection of change.leaves) draft.leave(connection)
    }
    const entries = draft.entries()
    const connections = this.count.connections + draft.added
    return new PresenceState<A>(topic, epoch, version, entries, { keys: entries.length, connections })
  }
}

/** As somebody gives it who has no types. */
const checkChange = (change: unknown): void => {
  const isObject = typeof change === "object" && change !== null
  const tag = isObject && "_tag" in change ? change._tag : undefined
  if (tag === "Snapshot" || tag === "Diff") return
  const what =
    typeof change === "string" ? "a text: JSON is to be parsed" : isObject ? "an object of another _tag" : change
  throw new TypeError(`a change is a Snapshot or a Diff, not ${what}`)
}

/**
 * A change that does not go on from the state it was applied to. The state is as it was; begin again with a `Snapshot`.
 *
 * @since 0.2.0
 * @category errors
 */
export class ChangeGap extends Error {
  readonly _tag = "ChangeGap"
  override readonly name = "ChangeGap"
  /** Of the change. */
  readonly topic: string
  /** Where the state stands: a diff has to go on from there. */
  readonly version: number

  constructor(options: { readonly topic: string; readonly version: number; readonly reason: string }) {
    super(options.reason)
    this.topic = options.topic
    this.version = options.version
  }
}

const NOBODY: ReadonlyArray<never> = Object.freeze([])

/** Of each entry made here, the refs of its metas. A ref stands for its meta too, so equal refs are equal entries. */
const refs = new WeakMap<PresenceEntry<unknown>, ReadonlyArray<string>>()

/** A key while its entry is made. */
interface DraftEntry<A> {
  readonly refs: Array<string>
  readonly metas: Array<A>
}

/** What one change makes of a state: only the keys that it names are looked at. */
class Draft<A> {
  /** Connections that there are more. */
  added = 0
  /** What remains of those before, but for the keys that the change names. */
  private readonly before: ReadonlyArray<PresenceEntry<A>>
  private readonly keys = new Map<string, DraftEntry<A>>()

  constructor(
    private readonly state: PresenceState<A>,
    private readonly change: PresenceChange<A>
  ) {
    this.before = change._tag === "Snapshot" ? NOBODY : state.entries
    if (change._tag === "Snapshot") this.added = -state.count.connections
  }

  join({ key, ref, meta }: Connection<A>): void {
    const { refs, metas } = this.key(key)
    if (refs.includes(ref)) throw this.gap(`${show(key)} joins with ${show(ref)}, and is there with that ref already`)
    refs.push(ref)
    metas.push(meta)
    this.added++
  }

  update({ key, ref, previousRef, meta }: Update<A>): void {
    const { refs, metas } = this.key(key)
    const at = this.find(key, previousRef, refs)
    refs[at] = ref
    metas[at] = meta
  }

  leave({ key, ref }: Leave<A>): void {
    const { refs, metas } = this.key(key)
    const at = this.find(key, ref, refs)
    refs.splice(at, 1)
    metas.splice(at, 1)
    this.added--
  }

  /** Those before when nothing has changed; else the same entries of all keys that did not. */
  entries(): ReadonlyArray<PresenceEntry<A>> {
    const { before, keys, state } = this
    const entries: Array<PresenceEntry<A>> = []
    let next = 0
    for (const key of Array.from(keys.keys()).sort()) {
      for (; next < before.length && (before[next] as PresenceEntry<A>).key < key; next++) {
        entries.push(before[next] as PresenceEntry<A>)
      }
      if (before[next]?.key === key) next++
      const entry = this.entry(key, keys.get(key) as DraftEntry<A>)
      if (entry !== undefined) entries.push(entry)
    }
    for (; next < before.length; next++) entries.push(before[next] as PresenceEntry<A>)
    return same(entries, state.entries) ? state.entries : Object.freeze(entries)
  }

  gap(reason: string): ChangeGap {
    const { topic, version } = this.state
    const what = `a ${this.change._tag} of ${show(this.change.topic)}`
    const where = topic === undefined ? "no Snapshot came before" : `it came to version ${version}`
    return new ChangeGap({
      topic: this.change.topic,
      version,
      reason: `${what} does not go on from here: ${reason}, and ${where}; begin again with a Snapshot`
    })
  }

  private key(key: string): DraftEntry<A> {
    let draft = this.keys.get(key)
    if (draft === undefined) {
      const entry = entryOf(this.before, key)
      draft = entry === undefined ? { refs: [], metas: [] } : { refs: [...refsOf(entry)], metas: [...entry.metas] }
      this.keys.set(key, draft)
    }
    return draft
  }

  private find(key: string, ref: string, refs: ReadonlyArray<string>): number {
    const at = refs.indexOf(ref)
    if (at === -1) throw this.gap(`${show(key)} is not there with the ref ${show(ref)}`)
    return at
  }

  private entry(key: string, draft: DraftEntry<A>): PresenceEntry<A> | undefined {
    if (draft.refs.length === 0) return undefined
    const known = entryOf(this.state.entries, key)
    if (known !== undefined && same(refsOf(known), draft.refs)) return known
    const entry = Object.freeze({ key, metas: Object.freeze(draft.metas) })
    refs.set(entry, draft.refs)
    return entry
  }
}

const refsOf = (entry: PresenceEntry<unknown>): ReadonlyArray<string> => refs.get(entry) ?? NOBODY

const same = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((value, index) => value === b[index])

const entryOf = <A>(entries: ReadonlyArray<PresenceEntry<A>>, key: string): PresenceEntry<A> | undefined => {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[middle] as PresenceEntry<A>).key < key) low = middle + 1
    else high = middle
  }
  return entries[low]?.key === key ? entries[low] : undefined
}

const show = (value: unknown): string => (value === undefined ? "no topic yet" : JSON.stringify(value))
