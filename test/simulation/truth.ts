/**
 * What is promised of replicas, from what really happened: who was silent for a lease while others were not, and who
 * may therefore be seen to leave. It reads true time, and neither what Redis keeps nor its clock.
 */

import type { Life } from "./replica.js"

interface Heard {
  /** Where the time of this data set stood at its last heartbeat. */
  at: number
  /** The true time of that, later by what counts as nobody's silence. */
  beatenAt: number
  readonly lease: number
  readonly heartbeat: number
  /** Whether the data set does not count on it, as it was found late or lost: then nobody beats as often for its sake. */
  isOut: boolean
  /** Where time stood when this data set took the place of another, until the replica has had an answer since. */
  owesFrom: number | undefined
}

/** The heartbeats that one data set has taken. Its time stands still while nobody beats. */
export class Heartbeats {
  private readonly heard = new Map<string, Heard>()
  private active = 0
  private beatenAt = Number.NEGATIVE_INFINITY
  private isNew = false
  /** Whose leases are gone, and given anew with the next call. */
  private lost: ReadonlyArray<string> = []

  copy(): Heartbeats {
    const copy = new Heartbeats()
    for (const [replica, heard] of this.heard) copy.heard.set(replica, { ...heard })
    copy.active = this.active
    copy.beatenAt = this.beatenAt
    copy.isNew = this.isNew
    copy.lost = this.lost
    return copy
  }

  /**
   * Of a data set that takes the place of this one: nothing, or a copy that somebody takes over, or that is loaded. Whoever was
   * heard here has a whole lease, from the first heartbeat on, to say again what it holds.
   */
  followedBy(saved: Heartbeats = new Heartbeats()): Heartbeats {
    const next = saved.copy()
    next.isNew = true
    for (const [replica, { lease, heartbeat }] of this.heard) {
      const known = next.heard.get(replica)
      if (known !== undefined) known.owesFrom = next.active
      else {
        const at = next.active
        next.heard.set(replica, { at, beatenAt: next.beatenAt, lease, heartbeat, isOut: true, owesFrom: at })
      }
    }
    return next
  }

  /** A heartbeat was taken, at a true time in ms, and its answer comes in time or does not. */
  beat(replica: string, { lease, heartbeat }: Life, isAnswered: boolean, now: number): void {
    const silence = now - this.beatenAt
    // The silence of all is nobody's death.
    if (!this.isNew && silence <= 2 * Math.min(heartbeat, this.shortest)) this.active += silence
    else for (const heard of this.inTime) heard.beatenAt += silence
    this.beatenAt = now
    this.isNew = false
    this.giveLeases(now)
    const owesFrom = isAnswered ? undefined : this.heard.get(replica)?.owesFrom
    this.heard.set(replica, { at: this.active, beatenAt: now, lease, heartbeat, isOut: false, owesFrom })
  }

  /** A call came from somebody whose own lease is over, or not wanted any more: the silence of all ends with it. */
  hear({ heartbeat }: Life, now: number): void {
    const silence = now - this.beatenAt
    if (this.isNew || silence > 2 * Math.min(heartbeat, this.shortest)) {
      for (const heard of this.inTime) heard.beatenAt += silence
      this.beatenAt = now
    }
    this.giveLeases(now)
  }

  /**
   * It gives its lease back, and with that what is known of its heartbeats: time stands where others last beat. Where it
   * still has something it keeps it.
   */
  leave(replica: string, life: Life, isGone: boolean, now: number): void {
    this.hear(life, now)
    if (!isGone) return
    this.heard.delete(replica)
    const last = this.inTime.sort((a, b) => b.beatenAt - a.beatenAt)[0]
    if (last === undefined) return
    this.active = last.at
    this.beatenAt = last.beatenAt
  }

  foundLate(replica: string): void {
    const heard = this.heard.get(replica)
    if (heard !== undefined) heard.isOut = true
  }

  /** The leases are gone: with the next call whoever was heard, and is not let go yet, has a whole one again. */
  loseLeases(known: Iterable<string>): void {
    this.lost = [...known]
  }

  /** Who has been silent for a whole lease, or all of it but for `allowance` heartbeats of the shortest. */
  silent(allowance: number): ReadonlySet<string> {
    const { shortest } = this
    return this.since(({ at, lease }) => at + lease - allowance * shortest)
  }

  /** Who had no answer for a whole lease after what it had said was lost, whether or not it was heard. */
  get owing(): ReadonlySet<string> {
    return this.since(({ owesFrom = Number.POSITIVE_INFINITY, lease }) => owesFrom + lease)
  }

  private since(until: (heard: Heard) => number): ReadonlySet<string> {
    const found = [...this.heard].filter(([, heard]) => this.active >= until(heard) - 50)
    return new Set(found.map(([replica]) => replica))
  }

  private giveLeases(now: number): void {
    for (const replica of this.lost) {
      const heard = this.heard.get(replica)
      if (heard !== undefined) Object.assign(heard, { at: this.active, beatenAt: now, isOut: false })
    }
    this.lost = []
  }

  private get shortest(): number {
    return Math.min(...this.inTime.map(({ heartbeat }) => heartbeat))
  }

  private get inTime(): Array<Heard> {
    return [...this.heard.values()].filter(({ isOut }) => !isOut)
  }
}
