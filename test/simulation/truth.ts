/**
 * What is promised of replicas, from what really happened: who was silent for a lease while others were not, and who
 * may therefore be seen to leave. It reads true time, and neither what Redis keeps nor its clock.
 */

interface Heard {
  /** Where the time of this data set stood at its last heartbeat. */
  at: number
  readonly lease: number
  readonly heartbeat: number
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
    const shortest = Math.min(heartbeat, ...[...this.heard.values()].map((heard) => heard.heartbeat))
    const silence = now - this.beatenAt
    // The silence of all is nobody's death.
    if (!this.isNew && silence <= 2 * shortest) this.active += silence
    this.beatenAt = now
    this.isNew = false
    this.heard.set(replica, { at: this.active, lease, heartbeat })
  }

  forget(replica: string): void {
    this.heard.delete(replica)
  }

  /** Who has been silent for a whole lease, or all of it but for `allowance` heartbeats of the shortest. */
  silent(allowance: number): ReadonlyMap<string, number> {
    const shortest = Math.min(...[...this.heard.values()].map((heard) => heard.heartbeat))
    const found = new Map<string, number>()
    for (const [replica, { at, lease }] of this.heard) {
      const silence = this.active - at
      if (silence >= lease - allowance * shortest - 50) found.set(replica, silence)
    }
    return found
  }
}
