/**
 * Who is here, folded from what the server tells: the whole state after each join, then diffs.
 *
 * Sorted by key, so that the order says nothing of how one heard it. What did not change is the same object as before,
 * down to the metas; an update keeps its place among the metas of its key.
 */

/**
 * A key with the metas of its connections, one for each tab or device. Frozen, never empty.
 *
 * @since 0.2.0
 * @category models
 */
export interface Entry<Meta extends object = Readonly<Record<string, unknown>>> {
  readonly key: string
  /** A meta that is no object, as another program may track it, comes as `{ value: meta }`. */
  readonly metas: ReadonlyArray<Meta>
}

export type Entries = ReadonlyArray<Entry>

interface WireMeta {
  /** Names a connection with its present meta. */
  readonly phx_ref: string
  /** Of the same connection, with the meta before. */
  readonly phx_ref_prev?: string
}

/** As it comes: a map, whatever its keys are called. */
export type State = Readonly<Record<string, { readonly metas: ReadonlyArray<WireMeta> }>>

export interface Diff {
  readonly joins: State
  readonly leaves: State
}

/** The list after a whole state. */
export const sync = (entries: Entries, state: State): Entries => {
  const before = new Map(entries.map((entry) => [entry.key, entry]))
  return sorted(
    entries,
    Object.entries(state).map(([key, { metas }]) => {
      const old = before.get(key)
      const next = metas.map((wire) => old?.metas.find((meta) => refs.get(meta) === wire.phx_ref) ?? read(wire))
      return old !== undefined && equal(old.metas, next) ? old : make(key, next)
    })
  )
}

/** The list after a diff. */
export const apply = (entries: Entries, { joins, leaves }: Diff): Entries => {
  const changed = new Map<string, Array<object>>()
  const metasOf = (key: string): Array<object> => {
    const metas = changed.get(key) ?? [...(entries.find((entry) => entry.key === key)?.metas ?? [])]
    changed.set(key, metas)
    return metas
  }
  for (const [key, { metas }] of Object.entries(joins)) {
    const here = metasOf(key)
    for (const wire of metas) {
      const at = here.findIndex((meta) => [wire.phx_ref, wire.phx_ref_prev].includes(refs.get(meta)))
      here.splice(at < 0 ? here.length : at, 1, read(wire))
    }
  }
  for (const [key, { metas }] of Object.entries(leaves)) {
    const here = metasOf(key)
    for (const { phx_ref } of metas) {
      const at = here.findIndex((meta) => refs.get(meta) === phx_ref)
      if (at >= 0) here.splice(at, 1)
    }
  }
  const next = entries.filter(({ key }) => !changed.has(key))
  for (const [key, metas] of changed) if (metas.length > 0) next.push(make(key, metas))
  return sorted(entries, next)
}

/** The list without a key; the same as before when nothing in it changed. */
export const without = (before: Entries, entries: Entries, key: string | undefined): Entries =>
  sorted(
    before,
    entries.filter((entry) => entry.key !== key)
  )

/** The ref that each meta came with, which is nobody's business. */
const refs = new WeakMap<object, string>()

const read = ({ phx_ref, phx_ref_prev, ...meta }: WireMeta): object => {
  refs.set(meta, phx_ref)
  return Object.freeze(meta)
}

const make = (key: string, metas: Array<object>): Entry =>
  Object.freeze({ key, metas: Object.freeze(metas) as Entry["metas"] })

const sorted = (before: Entries, entries: Array<Entry>): Entries => {
  entries.sort((a, b) => (a.key < b.key ? -1 : 1))
  return equal(before, entries) ? before : Object.freeze(entries)
}

const equal = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i])
