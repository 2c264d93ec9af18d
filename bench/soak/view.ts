/** What one client sees of its room, folded from what it is told. */

/** One connection: whose it is, its present ref, and its meta. */
export interface Seen {
  readonly key: string
  readonly ref: string
  readonly n: number
}

export class View {
  private readonly keys = new Map<string, Map<string, number>>()

  /** A whole state. */
  is(connections: ReadonlyArray<Seen>): void {
    this.keys.clear()
    this.changes(connections, [])
  }

  /** A change of it. The answer: keys that are there no more. */
  changes(joins: ReadonlyArray<Seen>, leaves: ReadonlyArray<Omit<Seen, "n">>): ReadonlyArray<string> {
    for (const { key, ref, n } of joins) {
      const refs = this.keys.get(key)
      if (refs === undefined) this.keys.set(key, new Map([[ref, n]]))
      else refs.set(ref, n)
    }
    const gone: Array<string> = []
    for (const { key, ref } of leaves) {
      const refs = this.keys.get(key)
      if (refs === undefined || !refs.delete(ref) || refs.size > 0) continue
      this.keys.delete(key)
      gone.push(key)
    }
    return gone
  }

  /** As `check.ts` compares it. */
  get list(): ReadonlyMap<string, ReadonlyArray<number>> {
    return new Map(Array.from(this.keys, ([key, refs]) => [key, [...refs.values()]]))
  }
}
