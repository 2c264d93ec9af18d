/**
 * What is promised of replicas, from what really happened: who was silent for a lease while others were not, and who
 * may therefore be seen to leave. It reads true time, and neither what Redis keeps nor its clock.
 */

interface Heard {
  /** Where the time of this data set stood at its last heartbeat. */
  at: number
  /** The true time of that, later by what counts as nobody's silence. */
  beatenAt: number
  readonly lease: number
  readonly heartbeat: number
  /** Whether it was found late: then nobody beats as often for its sake. */
  isLate: boolean
}

/** The heartbeats that one data set has taken. Its time stands still while nobody beats. */
export class Heartbeats {
  private readonly heard = new Map<string, Heard>()
  private active = 0
  private beatenAt = Number.NEGATIVE_INFINITY
  private isNew = false

  /** The same in another history: a copy that somebody takes over, or that is loaded. */
  copy(): Heartbeats {
    const copy = new Heartbeats()
    for (const [replica, heard] of this.heard) copy.heard.set(replica, { ...heard })
    copy.active = this.active
    copy.beatenAt = this.beatenAt
    copy.isNew = true
    return copy
  }

  /** A heartbeat was taken, at a true time in ms. */
  beat(replica: string, lease: number, heartbeat: number, now: number): void {
    const shortest = Math.min(heartbeat, this.shortest)
    const silence = now - this.beatenAt
    // The silence of all is nobody's death.
    if (!this.isNew && silence <= 2 * shortest) this.active += silence
    else for (const heard of this.heard.values()) heard.beatenAt += silence
    this.beatenAt = now
    this.isNew = false
    this.heard.set(replica, { at: this.active, beatenAt: now, lease, heartbeat, isLate: false })
  }

  foundLate(replica: string): void {
    const heard = this.heard.get(replica)
    if (heard !== undefined) heard.isLate = true
  }

  /** Whoever was heard has a whole lease again. */
  renew(): void {
    for (const heard of this.heard.values()) heard.at = this.active
  }

  /** It gives its lease back, and with it what is known of its heartbeats: time stands where others last beat. */
  forget(replica: string): void {
    this.heard.delete(replica)
    const last = [...this.heard.values()].sort((a, b) => b.beatenAt - a.beatenAt)[0]
    if (last === undefined) return
    this.active = last.at
    this.beatenAt = last.beatenAt
  }

  /** Who has been silent for a whole lease, or all of it but for `allowance` heartbeats of the shortest. */
  silent(allowance: number): ReadonlyMap<string, number> {
    const { shortest } = this
    const found = new Map<string, number>()
    for (const [replica, { at, lease }] of this.heard) {
      const silence = this.active - at
      if (silence >= lease - allowance * shortest - 50) found.set(replica, silence)
    }
    return found
  }

  private get shortest(): number {
    return Math.min(...[...this.heard.values()].filter(({ isLate }) => !isLate).map(({ heartbeat }) => heartbeat))
  }
}
