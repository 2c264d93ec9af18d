/**
 * On which topics each key is.
 *
 * Without it the question is a look at each topic there is; with it, at those of the key. A key on one topic, as most are,
 * holds its roster directly; one on more holds a set.
 */
import type { Roster, RosterMember } from "./roster.js"

export class KeyIndex<M extends RosterMember> {
  private readonly byKey = new Map<string, Roster<M> | Set<Roster<M>>>()

  of(key: string): Iterable<Roster<M>> {
    const held = this.byKey.get(key)
    return held === undefined ? [] : held instanceof Set ? held : [held]
  }

  /** Again: nothing. */
  add(key: string, roster: Roster<M>): void {
    const held = this.byKey.get(key)
    if (held === undefined) this.byKey.set(key, roster)
    else if (held instanceof Set) held.add(roster)
    else if (held !== roster) this.byKey.set(key, new Set([held, roster]))
  }

  delete(key: string, roster: Roster<M>): void {
    const held = this.byKey.get(key)
    if (held instanceof Set && held.size > 1) held.delete(roster)
    else this.byKey.delete(key)
  }
}
